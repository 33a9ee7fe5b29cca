"""Rows of the model of MLflow, pages of them, and its refusals."""

import json
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

Entity = TypeVar("Entity")


class Row(msgspec.Struct, Generic[Entity], frozen=True):
    """One state of a row: as MLflow writes it, and as it is read; `entity` is None where it cannot be read."""

    fields: dict[str, Any]
    json: bytes
    entity: Entity | None
    active: bool = True


class Refusal(Exception):
    """MLflow's error answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error_code": code, "message": message}).encode()


def row_of(fields: dict[str, Any], entity: type[Entity], *, active: bool = True) -> Row[Entity]:
    """A state of a row of this kind."""
    text = json.dumps(_shown(fields)).encode()
    try:
        read = msgspec.json.decode(text, type=entity, strict=False)
    except msgspec.ValidationError:
        read = None
    return Row(fields, text, read, active)


def page_of(kind: str, rows: Iterable[Row[Any]], token: bytes | None) -> bytes:
    """A page of a listing, with the token of the next one, if any."""
    parts = []
    listed = b", ".join(row.json for row in rows)
    if listed:
        parts.append(b'"%b": [%b]' % (kind.encode(), listed))
    if token is not None:
        parts.append(b'"next_page_token": "%b"' % token)
    return b"{%b}" % b", ".join(parts)


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is None or an empty list, as protobuf's JSON leaves them out."""
    return {
        name: _shown(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None and value != []
    }
