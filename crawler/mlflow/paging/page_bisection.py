"""How many rows to ask for where a page fails: pure bisection, until a row that fails stands alone."""

from typing import Generic

import msgspec

from crawler.mlflow.decoding import Page, Row


class PageBisector:
    """Limits pages to `rows` rows (0: no limit); a page asked for `whole` rows before it failed (0: none has failed).

    Where a page fails, its halves are asked for, then the halves of the one that fails: the logarithm of its rows in
    requests, not its rows. After each page that can be read behind it, twice as many, until it is a whole page again.
    """

    def __init__(self, ceiling: int = 0) -> None:
        self.rows = self.ceiling = ceiling
        self.whole = 0
        self._suspect = 0
        self._slow = self._slow_suspect = self._ceiling_before = 0

    @property
    def is_active(self) -> bool:
        """Whether pages are smaller than they could be.

        That is since one of them failed, or timed out and it is not known yet whether for its size or for one row.
        """
        return self.whole > 0 or self._slow > 0

    def begin(self, rows: int) -> None:
        """Note that a page of `rows` failed; where a part of a page fails, the first one counts."""
        self.whole = self.whole or rows

    def suspect(self, rows: int) -> None:
        """Halve the pages, because one of the next `rows` rows fails, or may fail."""
        self._suspect = rows
        self.rows = max(1, rows // 2)

    def slow(self, rows: int) -> None:
        """Cap pages at half of `rows` because a page of `rows` timed out: each further try would cost a time-out.

        The cap is lifted where a single row turns out to be the cause.
        """
        if not self._slow:
            self._ceiling_before = self.ceiling
        self._slow = max(self._slow, rows)
        self._slow_suspect = rows
        self.rows = self.ceiling = max(1, rows // 2)
        self._suspect = 0

    def slow_alone(self) -> None:
        """Lift the cap, because a single row times out: pages were slow for its sake, not for their size."""
        if self._slow:
            self.whole = max(self.whole, self._slow)
            self.ceiling, self._slow = self._ceiling_before, 0

    def skipped(self) -> None:
        """Go on one row at a time behind a row that was left out, since others that fail may follow."""
        self._suspect = 0
        self.rows = 1

    def read(self, rows: int) -> None:
        """Note that the next `rows` rows were read."""
        self._slow_suspect = max(0, self._slow_suspect - rows)
        if not self._slow_suspect:
            self._slow = 0
        if not self.whole:
            return
        self._suspect = max(0, self._suspect - rows)
        self.rows = max(1, self._suspect // 2) if self._suspect else 2 * self.rows
        if self.rows > min(self.whole, self.ceiling or self.whole):
            self.rows, self.whole = self.ceiling, 0


class Gap(msgspec.Struct, Generic[Row]):
    """Rows of a listing, from offset `position` on, that cannot be read together with those before them.

    `error_texts` say of each of the first ones why it is left out; `page` is the first page read behind them, if any.
    """

    position: int
    error_texts: list[str] = []
    page: Page[Row] | None = None

    @property
    def end(self) -> int:
        """The offset of the first row that is not left out."""
        return self.position + len(self.error_texts)
