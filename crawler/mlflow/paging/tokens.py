"""MLflow's page tokens: offsets, as base64 of `{"offset": n}`; those of some listings hold their query, too."""

import base64
from collections.abc import Mapping

import msgspec


class _Offset(msgspec.Struct, forbid_unknown_fields=True):
    offset: int


def parse_offset(token: str) -> int | None:
    """Return the offset in MLflow's own token, 0 for an empty one; None for an opaque token of another server."""
    if not token:
        return 0
    try:
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Offset).offset
    except (msgspec.DecodeError, ValueError):
        return None


class _OffsetOfQuery(msgspec.Struct):
    offset: int


def without_query(token: str) -> str:
    """Return the token of the same offset that holds nothing else; one that is no offset as it is."""
    if not token:
        return token
    try:
        return offset_token(msgspec.json.decode(base64.b64decode(token, validate=True), type=_OffsetOfQuery).offset)
    except (msgspec.DecodeError, ValueError):
        return token


def with_query(token: str, query: Mapping[str, object]) -> str:
    """Return the token of the same offset as a listing wants it that compares it with its query."""
    offset = parse_offset(token)
    return base64.b64encode(msgspec.json.encode({**query, "offset": offset})).decode() if offset else token


def offset_token(offset: int) -> str:
    """Return MLflow's own token of the page that begins at this offset; empty for the first page."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode() if offset else ""


def is_offset(token: str) -> bool:
    """Return whether this is MLflow's own token of a next page."""
    return bool(token) and parse_offset(token) is not None
