"""How many rows to ask for where a page cannot be had: pure bisection, until a row that fails stands alone."""

from typing import Generic

import msgspec

from crawler.mlflow.decoding import Page, Row


class PageBisector:
    """`rows` is the most that a page may ask for, 0: no bound; `whole` is what one asked for before it failed, 0: none.

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
        """Whether pages are smaller than they could be since one of them failed, or took too long and nobody knows yet
        whether for its size or for one row.
        """
        return self.whole > 0 or self._slow > 0

    def begin(self, rows: int) -> None:
        """A page of so many rows failed; where it was a smaller one already, the first one counts."""
        self.whole = self.whole or rows

    def suspect(self, rows: int) -> None:
        """One that fails is among the next so many rows, or may be."""
        self._suspect = rows
        self.rows = max(1, rows // 2)

    def slow(self, rows: int) -> None:
        """So many rows take too long: no page of this walk asks for as many again, for each try costs a time-out,
        unless it turns out that only one of them does.
        """
        if not self._slow:
            self._ceiling_before = self.ceiling
        self._slow = max(self._slow, rows)
        self._slow_suspect = rows
        self.rows = self.ceiling = max(1, rows // 2)
        self._suspect = 0

    def slow_alone(self) -> None:
        """A single row takes too long: pages were slow for its sake, not for their size, and may grow behind it."""
        if self._slow:
            self.whole = max(self.whole, self._slow)
            self.ceiling, self._slow = self._ceiling_before, 0

    def skipped(self) -> None:
        """The row that failed is left behind; whether others follow is not known."""
        self._suspect = 0
        self.rows = 1

    def read(self, rows: int) -> None:
        """The next so many rows were read."""
        self._slow_suspect = max(0, self._slow_suspect - rows)
        if not self._slow_suspect:
            self._slow = 0
        if not self.whole:
            return
        self._suspect = max(0, self._suspect - rows)
        self.rows = max(1, self._suspect // 2) if self._suspect else 2 * self.rows
        if self.rows > min(self.whole, self.ceiling or self.whole):
            self.rows, self.whole = self.ceiling, 0


class Skipped(msgspec.Struct, Generic[Row], frozen=True):
    """A row that cannot be read: it lies between two that can, None where there is none; `words` say why."""

    after: Row | None
    before: Row | None
    words: str

    def behind(self, after: Row | None) -> "Skipped[Row]":
        """The same, behind another row."""
        return Skipped(after, self.before, self.words)


class Gap(msgspec.Struct, Generic[Row]):
    """Rows of a listing, from offset `position` on, that cannot be read together with those before them.

    `words` say of each of the first ones why it was left out; `page` is what was read behind them, if anything yet.
    """

    position: int
    words: list[str] = []
    page: Page[Row] | None = None

    @property
    def end(self) -> int:
        """The offset of the first row that is not left out."""
        return self.position + len(self.words)
