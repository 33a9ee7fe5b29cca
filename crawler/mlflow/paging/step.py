"""Provisional."""

from typing import Generic, TypeVar

import msgspec

from crawler.mlflow.paging.coverage import Window

Row = TypeVar("Row")


class Step(msgspec.Struct, Generic[Row], frozen=True):
    rows: list[Row]
    window: Window | None = None
    unreadable: list[str] = []
    is_last: bool = False
