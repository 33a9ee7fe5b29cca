"""Paging by offset that stays exact while others write: a pure state machine that says which page to ask for and which
rows of it are new.

MLflow's page tokens are offsets (base64 of `{"offset": n}`). A row that vanishes before the offset moves all later
ones up, so a walk that trusts its token steps over one. `OffsetWalk` therefore asks for a few rows that it knows
already and goes on behind them.
"""

import base64
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from crawler.errors import ServerError
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.paging.page_bisection import Gap, PageBisector, Skipped

OVERLAP = 16
MAX_FRUITLESS_PAGES = 100
MAX_STEPS_BACK = 1_000
MAX_SKIPPED = 10
MAX_DOUBTS = 3
PAGE_BYTES = 4_000_000
PAGES_BYTES = 14_000_000
"""Of all pages that are asked for at once: they may all come before the first of them is worked through."""
FEWEST_ROWS = 2
"""Beside a new row, a page holds a known one: else nothing shows that no row has moved."""


class _Offset(msgspec.Struct, forbid_unknown_fields=True):
    offset: int


class PageRows:
    """How many rows to ask for: `limit`, or fewer where rows are so heavy that a page would exceed PAGE_BYTES, or all
    pages that are asked for at once PAGES_BYTES; never fewer than FEWEST_ROWS.
    """

    def __init__(self, limit: int) -> None:
        self.rows = self.limit = max(FEWEST_ROWS, limit)

    def learn(self, rows: int, size: int, at_once: int = 1) -> None:
        """Takes what one page held, in rows and bytes, and how many are asked for at once; grows at most twofold, since
        the next rows may be heavier.
        """
        if rows:
            page_bytes = min(PAGE_BYTES, PAGES_BYTES // at_once)
            self.rows = max(FEWEST_ROWS, min(self.limit, 2 * self.rows, page_bytes * rows // size))


class OffsetWalk(Generic[Row]):
    """Pages of one listing with a fixed order. `token` is what to ask for next, None at the end; `most` is how many
    rows to ask for at most, 0 for as many as the caller likes.

    A page that cannot be had is told with `failed`: its rows are read all the same but for those that make it fail,
    which `take_skipped` names. `known` are rows that lie before the ones to be read, and that the first page holds
    once more.
    """

    def __init__(
        self, key: Callable[[Row], object], narrowing: PageBisector | None = None, known: Sequence[Row] = ()
    ) -> None:
        self._key = key
        self._narrowing = narrowing or PageBisector()
        self._known: deque[object] = deque(map(key, known[-OVERLAP:]), maxlen=OVERLAP)
        self._last = known[-1] if known else None
        self._again = len(known)
        self._asked: set[str] = set()
        self._expects_known = False
        self._counts_rows = True
        self._fruitless = 0
        self._steps_back = 0
        self._stride = 1
        self._gap: Gap[Row] | None = None
        self._doubts = 0
        self._skipped: list[Skipped[Row]] = []
        self.token: str | None = ""

    @property
    def is_narrow(self) -> bool:
        """Whether it is busy with rows that fail."""
        return self._gap is not None or self._narrowing.is_active

    @property
    def most(self) -> int:
        """How many rows to ask for at most; 0: as many as the caller likes."""
        if self._gap is not None:
            return 1 if self._gap.page is None else self._known_before(self._gap)
        return self._narrowing.rows and self._narrowing.rows + self._again

    def take(self, page: Page[Row]) -> list[Row]:
        """The rows of the page that are new. Raises ServerError where the server's tokens go round in a circle."""
        if self._gap is not None:
            return self._take_behind(self._gap, page)
        return self._take(page)

    def take_skipped(self) -> list[Skipped[Row]]:
        """The rows that had to be left out since it was asked last."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def failed(self, rows: int, words: str) -> bool:
        """The page of so many rows cannot be had. Whether asking for less may help: not where tokens are no offsets,
        and not where one row after the other fails.
        """
        offset = self._here
        if offset is None or not self._counts_rows:
            return False
        if self._gap is not None:
            return self._gap_failed(self._gap, words)
        fresh = rows - self._again
        self._narrowing.begin(rows if self._expects_known else fresh)
        if fresh > 1:
            self._narrowing.suspect(fresh)
            self._shorten()
        elif self._expects_known and not self._again and offset:
            # It is looking for rows that are known.
            self._look_back(OVERLAP)
        else:
            self._gap = Gap(offset + self._again)
            if not self._again:
                return self._gap_failed(self._gap, words)
            # Perhaps it is the known ones that fail by now: alone, without them.
            self.token = offset_token(self._gap.position)
        return True

    def slow(self, rows: int) -> bool:
        """The page of so many rows does not come in time. Whether asking for less may help; one alone has `failed`."""
        if self._gap is not None or rows - self._again <= 1:
            self._narrowing.slow_alone()
            return False
        self._narrowing.slow(rows - self._again)
        self._shorten()
        return True

    @property
    def _here(self) -> int | None:
        """The offset of the page to ask for next; None where its token is no offset."""
        return _offset(self.token or "")

    def _take(self, page: Page[Row]) -> list[Row]:
        fresh = self._behind_known(page)
        if fresh is None:
            self._step_back(len(page.rows))
            return []
        self._stride = 1
        self._count_fruitless(page, fresh)
        self._known.extend(map(self._key, fresh))
        if fresh:
            self._last = fresh[-1]
        self.token = self._next(page.token, len(page.rows)) if page.token else None
        return fresh

    def _shorten(self) -> None:
        """Of the first page, asks for no more known rows than it takes to see whether any have moved."""
        known = len(self._known)
        if self._again > known:
            self.token = offset_token(self._again - known)
            self._again = known
            self._expects_known = True

    def _gap_failed(self, gap: Gap[Row], words: str) -> bool:
        if gap.page is not None:
            # Rows have moved, so that one that fails lies where the known ones were, or these fail by now.
            self._doubt(gap)
            return True
        if len(gap.words) == MAX_SKIPPED:
            return False
        gap.words = [*gap.words, words]
        self.token = offset_token(gap.end)
        return True

    def _take_behind(self, gap: Gap[Row], page: Page[Row]) -> list[Row]:
        """Holds what was read behind a gap until the rows before it prove to be where they were: then none has moved
        into it meanwhile.
        """
        if gap.page is None:
            gap.page = page
            known = self._known_before(gap)
            if not known or self._doubts == MAX_DOUBTS:
                return self._close(gap, page)
            self.token = offset_token(gap.position - known)
            return []
        if page.unreadable or (page.rows and self._key(page.rows[-1]) == self._known[-1]):
            return self._close(gap, gap.page)
        self._doubt(gap)
        return []

    def _known_before(self, gap: Gap[Row]) -> int:
        return min(len(self._known), gap.position)

    def _close(self, gap: Gap[Row], page: Page[Row]) -> list[Row]:
        """Names what was left out, and goes on behind it with the page that was read there."""
        before = page.rows[0] if page.rows else None
        self._skipped += [Skipped(self._last, before, words) for words in gap.words]
        self._gap = None
        self._known.clear()
        self._again = 0
        self._expects_known = False
        self.token = offset_token(gap.end)
        self._narrowing.skipped()
        return self._take(page)

    def _doubt(self, gap: Gap[Row]) -> None:
        """Forgets a gap, and looks where the known rows before it are now."""
        self._gap = None
        self._doubts += 1
        self.token = offset_token(gap.position)
        self._look_back(2 * OVERLAP)

    def _look_back(self, rows: int) -> None:
        self._narrowing.suspect(2 * OVERLAP)
        self._step_back(rows)

    def _behind_known(self, page: Page[Row]) -> list[Row] | None:
        """The rows behind the last known one; None where the page begins behind it, so that some may have been
        stepped over. Rows that cannot be read may be the ones that were expected.
        """
        if not self._expects_known:
            return page.rows
        known = set(self._known)
        behind = next((i for i in range(len(page.rows), 0, -1) if self._key(page.rows[i - 1]) in known), 0)
        if behind == 0 and not page.unreadable and self._here:
            return None
        return page.rows[behind:]

    def _step_back(self, rows: int) -> None:
        """To the page before, until one holds rows that are known, or the first."""
        self._steps_back += 1
        if self._steps_back > MAX_STEPS_BACK:
            raise ServerError("MLflow lists its rows in another order each time, so they cannot be read page by page.")
        self._asked.clear()
        self._again = 0
        self._expects_known = True
        # Twice as far each time: what was known may be gone, and then only the beginning is sure.
        self.token = offset_token(max(0, (self._here or 0) - max(rows, OVERLAP) * self._stride))
        self._stride *= 2

    def _next(self, token: str, rows: int) -> str:
        offset = _offset(token)
        if token in self._asked:
            raise ServerError(
                "MLflow gave one page token twice, so its pages have no end.",
                "Ask whoever runs the server, or the proxy before it, whether it drops the parameter page_token.",
            )
        self._asked.add(token)
        overlap = None if offset is None else self._overlap(offset - (self._here or 0), rows)
        if offset is None or overlap is None:
            # Not a number of rows, whatever it is: followed as it stands.
            self._expects_known = self._counts_rows = False
            self._again = 0
            return token
        self._again = overlap
        self._expects_known = overlap > 0
        return offset_token(offset - overlap)

    def _overlap(self, progress: int, rows: int) -> int | None:
        """How many known rows the next page holds once more, where it begins `progress` rows behind this one of `rows`;
        None where it would not begin behind it without them.
        """
        known = len(self._known)
        if self._narrowing.rows and progress > 0:
            whole = self._narrowing.whole
            self._narrowing.read(progress - self._again)
            if self._narrowing.rows:
                # They are asked for beside those that are new.
                return min(known, progress)
            rows = min(rows - self._again, whole)
        # Of a page whose rows cannot be read, fewer are left than come once more.
        overlap = max(0, min(known, rows // 2))
        return overlap if progress > overlap else None

    def _count_fruitless(self, page: Page[Row], fresh: list[Row]) -> None:
        self._fruitless = 0 if fresh else self._fruitless + 1
        if page.token and self._fruitless > MAX_FRUITLESS_PAGES:
            raise ServerError(
                f"MLflow gave {MAX_FRUITLESS_PAGES} pages in a row with nothing new, each with a token of a next one."
            )


def is_offset(token: str) -> bool:
    """Whether this is a token of MLflow's own kind, of a next page."""
    return bool(token) and _offset(token) is not None


def _offset(token: str) -> int | None:
    """The offset in MLflow's own token, 0 for none; None for another server's opaque one."""
    if not token:
        return 0
    try:
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Offset).offset
    except (msgspec.DecodeError, ValueError):
        return None


def offset_token(offset: int) -> str:
    """MLflow's own token of the page that begins behind so many rows."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode() if offset else ""
