"""Provisional."""

import msgspec


class Window(msgspec.Struct, frozen=True):
    since: int | None
    until: int | None
    rows: dict[str, int]
