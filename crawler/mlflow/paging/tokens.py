"""MLflow's page tokens: offsets, as base64 of `{"offset": n}`."""

import base64

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


def offset_token(offset: int) -> str:
    """Return MLflow's own token of the page that begins at this offset; empty for the first page."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode() if offset else ""


def is_offset(token: str) -> bool:
    """Return whether this is MLflow's own token of a next page."""
    return bool(token) and parse_offset(token) is not None
