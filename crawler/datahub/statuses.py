"""Reads which entities DataHub shows: those that it has and that are not marked as removed. Pure."""

from collections.abc import Iterable

import msgspec

from crawler.datahub.aspects import Status
from crawler.errors import DecodeError

_encode = msgspec.json.Encoder().encode


class _Value(msgspec.Struct):
    value: Status


class _Entity(msgspec.Struct):
    urn: str
    status: _Value | None = None


def body(urns: Iterable[str]) -> bytes:
    """Return the body of a request for the status of entities of one type (`readback.path`)."""
    return b"[%b]" % b",".join(b'{"urn":%b,"status":{}}' % _encode(urn) for urn in urns)


def shown(answer: bytes) -> set[str]:
    """Return the entities in an answer that are not removed. Raises DecodeError."""
    try:
        entities = msgspec.json.decode(answer, type=list[_Entity])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"What DataHub read back is no list of entities: {error}.") from None
    return {entity.urn for entity in entities if entity.status is not None and not entity.status.value.removed}
