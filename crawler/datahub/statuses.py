"""The aspect `status`: which entities DataHub shows, and how a part of the aspect is changed. Pure.

DataHub 1.7 keeps the lifecycle stage of an entity in the same aspect, which an UPSERT would wipe, so there it is
patched, as by acryl-datahub (`auto_status_aspect.py`). Older servers answer 500 to a patch of it.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from crawler.datahub.aspects.entities import Status
from crawler.errors import DecodeError

_encode = msgspec.json.Encoder().encode


class _Value(msgspec.Struct):
    value: Status


class _Entity(msgspec.Struct):
    urn: str
    status: _Value | None = None


class _Change(msgspec.Struct):
    """One operation of a JSON patch (RFC 6902)."""

    op: str
    path: str
    value: Any


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


def patch_of(status: bytes) -> bytes:
    """Return the patch that changes a status, both as JSON; what the status does not name stays as it is."""
    return _encode([_Change("add", f"/{name}", value) for name, value in msgspec.json.decode(status).items()])


def status_of(patch: bytes | str) -> bytes:
    """Return the status that a patch of `patch_of` was made of."""
    changes = msgspec.json.decode(patch, type=list[_Change])
    return _encode({change.path.removeprefix("/"): change.value for change in changes})
