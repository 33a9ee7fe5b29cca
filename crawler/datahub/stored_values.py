"""Reads the values that DataHub stores, of entities of several types at once where it can: pure.

`EntityController.java`, `getEntityBatch` and `batchGetGenericEntities`. Entities that are not there, and aspects that
are not, are left out of an answer. A timeseries aspect comes with its latest value, for which GMS asks its search index
once for each entity.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from crawler.errors import DecodeError

SEVERAL_TYPES = "/openapi/v3/entity/generic/batchGet"

Values = dict[str, dict[str, dict[str, Any]]]
"""The JSON of aspects by URN and name."""


class Wanted(msgspec.Struct, frozen=True):
    """An entity of which the values of some aspects are wanted."""

    entity_type: str
    urn: str
    aspects: Sequence[str]


class _Stored(msgspec.Struct):
    value: dict[str, Any] | None = None


_Listed = list[dict[str, _Stored | str]]

_encode = msgspec.json.Encoder().encode
_decode_one_type = msgspec.json.Decoder(_Listed).decode
_decode_several_types = msgspec.json.Decoder(dict[str, _Listed] | list[Any]).decode


def path_of(entity_type: str) -> str:
    """Return where entities of one type are read."""
    return f"/openapi/v3/entity/{entity_type}/batchGet"


def by_type(wanted: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    """Return the entities by type, in order."""
    groups: dict[str, list[Wanted]] = {}
    for each in wanted:
        groups.setdefault(each.entity_type, []).append(each)
    return groups


def body_of_one_type(wanted: Iterable[Wanted]) -> bytes:
    """Return the body of a request for entities of one type."""
    return _encode(_items(wanted))


def body_of_several_types(wanted: Iterable[Wanted]) -> bytes:
    """Return the body of a request for entities of any types."""
    return _encode({entity_type: _items(group) for entity_type, group in by_type(wanted).items()})


def decode_one_type(answer: bytes) -> Values:
    """Return the values in an answer for one type. Raises DecodeError."""
    try:
        return _values(_decode_one_type(answer))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(error) from None


def decode_several_types(answer: bytes) -> Values | None:
    """Return the values in an answer for several types. Raises DecodeError.

    None for a list: an older GMS takes `generic` for an entity type, and the request for one of no entities.
    """
    try:
        listed = _decode_several_types(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(error) from None
    if isinstance(listed, list):
        return None
    values: Values = {}
    for entities in listed.values():
        values |= _values(entities)
    return values


def _items(wanted: Iterable[Wanted]) -> list[Mapping[str, object]]:
    nothing: dict[str, object] = {}
    return [{"urn": each.urn} | dict.fromkeys(each.aspects, nothing) for each in wanted]


def _values(listed: _Listed) -> Values:
    values: Values = {}
    for entity in listed:
        urn = entity.get("urn")
        if isinstance(urn, str):
            values[urn] = {
                name: stored.value
                for name, stored in entity.items()
                if isinstance(stored, _Stored) and stored.value is not None
            }
    return values


def _wrong(error: Exception) -> DecodeError:
    return DecodeError(f"What DataHub read back is no list of entities: {error}.")
