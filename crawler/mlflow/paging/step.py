"""What one page of a listing brings."""

from typing import Generic

import msgspec

from crawler.mlflow.decoding import Row
from crawler.mlflow.paging.coverage import Window
from crawler.mlflow.paging.skipped import Skipped
from crawler.mlflow.run_traits import RunTraits


class Step(msgspec.Struct, Generic[Row], frozen=True):
    """The new rows of one page, each once, and the window of start times that the page completed, if any.

    `unreadable` describes rows that are lost: of a wrong shape, left out since the server fails for every page that
    holds them, or listed twice with different data. A cursor returns those that it left out as `skipped`; readers
    describe them in `unreadable`. `mended` describes values that were changed. `is_last` is True where nothing follows.
    `traits` tell of rows that are runs.
    """

    rows: list[Row] = []
    window: Window | None = None
    unreadable: list[str] = []
    mended: list[str] = []
    skipped: list[Skipped[Row]] = []
    is_last: bool = False
    traits: RunTraits = RunTraits()
