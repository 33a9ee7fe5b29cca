"""Reads timeseries aspects through Rest.li (`AspectResource.java`, getTimeseriesAspectValues): pure."""

import msgspec

from crawler.errors import DecodeError

PATH = "/aspects?action=getTimeseriesAspectValues"


class _Aspect(msgspec.Struct):
    value: str


class _Value(msgspec.Struct):
    aspect: _Aspect


class _Values(msgspec.Struct):
    values: list[_Value] = []


class _Answer(msgspec.Struct):
    value: _Values


def query_latest(urn: str, entity_type: str, aspect_name: str, **equal: str) -> bytes:
    """Return the body of a request for the newest aspect of an entity in which these fields have these values."""
    criteria = [{"field": field, "values": [value], "condition": "EQUAL"} for field, value in equal.items()]
    return msgspec.json.encode(
        {
            "urn": urn,
            "entity": entity_type,
            "aspect": aspect_name,
            "limit": 1,
            "filter": {"or": [{"and": criteria}]},
        }
    )


def latest(answer: bytes) -> str | None:
    """Return the JSON of the newest aspect; None where the entity has none. Raises DecodeError."""
    try:
        values = msgspec.json.decode(answer, type=_Answer).value.values
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"DataHub's answer has no timeseries aspects: {error}.") from None
    return values[0].aspect.value if values else None
