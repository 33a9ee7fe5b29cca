"""Paging by offset that stays exact while others write: a pure state machine.

MLflow's page tokens are offsets. A row that vanishes before the offset moves all later ones up, so a cursor that trusts
its token misses one. `OffsetCursor` therefore asks for a few rows that it knows already and goes on behind them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic

from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.paging.loop_guard import LoopGuard
from crawler.mlflow.paging.page_bisection import Gap, PageBisector
from crawler.mlflow.paging.skipped import Skipped
from crawler.mlflow.paging.step import Step
from crawler.mlflow.paging.tokens import offset_token, parse_offset
from crawler.mlflow.run_traits import RunTraits

OVERLAP = 16
MAX_SKIPPED = 10


class OffsetCursor(Generic[Row]):
    """The place in a listing of a fixed order. `token` is the next page's, None at the end.

    Rows that make every page fail are left out (`failed`). `known` are rows that lie before the ones to read, and that
    the first page holds once more.
    """

    def __init__(
        self, key: Callable[[Row], object], bisector: PageBisector | None = None, known: Sequence[Row] = ()
    ) -> None:
        self.token: str | None = ""
        self.bisector = bisector or PageBisector()
        self._key = key
        self._known: deque[object] = deque(map(key, known[-OVERLAP:]), maxlen=OVERLAP)
        self._last = known[-1] if known else None
        self._repeated = len(known)
        self._expects_known = False
        self._counts_rows = True
        self._gap: Gap[Row] | None = None
        self._guard = LoopGuard()

    @property
    def is_bisecting(self) -> bool:
        """Whether pages are small since one failed or timed out."""
        return self._gap is not None or self.bisector.is_active

    @property
    def most(self) -> int:
        """How many rows to ask for at most; 0: any number."""
        if self._gap is not None:
            return 1 if self._gap.page is None else self._known_before(self._gap)
        return self.bisector.rows and self.bisector.rows + self._repeated

    def take(self, page: Page[Row]) -> Step[Row]:
        """Return the new rows of the page that was asked for. Raise ServerError where pages have no end."""
        traits = page.traits
        if self._gap is not None:
            rows, skipped = self._take_at_gap(self._gap, page)
            # These may be rows of an earlier page, which was held.
            traits = RunTraits()
        else:
            rows, skipped = self._new_rows(page), []
        return Step(rows, None, page.unreadable, page.mended, skipped, self.token is None, traits)

    def new_rows(self, rows: int) -> int:
        """Return how many of `rows` rows of the next page do not come once more."""
        return rows - self._repeated

    def failed(self, rows: int, error_text: str) -> bool:
        """Ask for less, because a page of `rows` failed.

        Return False where that cannot help: tokens are no offsets, or one row after the other fails.
        """
        offset = self._offset
        if offset is None or not self._counts_rows:
            return False
        if self._gap is not None:
            return self._gap_failed(self._gap, error_text)
        fresh = self.new_rows(rows)
        self.bisector.begin(rows if self._expects_known else fresh)
        if fresh > 1:
            self.bisector.suspect(fresh)
            self._shorten()
        elif self._expects_known and not self._repeated and offset:
            # It is looking for rows that are known.
            self._look_back(OVERLAP)
        else:
            self._gap = Gap(offset + self._repeated)
            if not self._repeated:
                return self._gap_failed(self._gap, error_text)
            # Perhaps the known ones fail by now: ask for the new one alone.
            self.token = offset_token(self._gap.position)
        return True

    def slow(self, rows: int) -> bool:
        """Ask for less, because a page of `rows` timed out. Return False for a single row: that one has `failed`."""
        if self._gap is not None or self.new_rows(rows) <= 1:
            self.bisector.slow_alone()
            return False
        self.bisector.slow(self.new_rows(rows))
        self._shorten()
        return True

    @property
    def _offset(self) -> int | None:
        """The offset of the next page; None where its token is no offset."""
        return parse_offset(self.token or "")

    def _new_rows(self, page: Page[Row]) -> list[Row]:
        fresh = self._behind_known(page)
        if fresh is None:
            self._step_back(len(page.rows))
            return []
        self._guard.page_read(is_fruitful=bool(fresh), has_next=bool(page.token))
        self._known.extend(map(self._key, fresh[-OVERLAP:]))
        if fresh:
            self._last = fresh[-1]
        self.token = self._next(page.token, len(page.rows)) if page.token else None
        return fresh

    def _shorten(self) -> None:
        """Ask the first page for no more known rows than it takes to see whether any have moved."""
        known = len(self._known)
        if self._repeated > known:
            self.token = offset_token(self._repeated - known)
            self._repeated = known
            self._expects_known = True

    def _gap_failed(self, gap: Gap[Row], error_text: str) -> bool:
        if gap.page is not None:
            # Rows have moved: one that fails lies where the known ones were. Or these fail by now.
            self._doubt(gap)
            return True
        if len(gap.error_texts) == MAX_SKIPPED:
            return False
        gap.error_texts = [*gap.error_texts, error_text]
        self.token = offset_token(gap.end)
        return True

    def _take_at_gap(self, gap: Gap[Row], page: Page[Row]) -> tuple[list[Row], list[Skipped[Row]]]:
        """Hold the page behind a gap until the rows before the gap prove to be in place: none has moved into it."""
        if gap.page is None:
            gap.page = page
            known = self._known_before(gap)
            if not known or not self._guard.may_doubt:
                return self._close(gap, page)
            self.token = offset_token(gap.position - known)
            return [], []
        if page.unreadable or (page.rows and self._key(page.rows[-1]) == self._known[-1]):
            return self._close(gap, gap.page)
        self._doubt(gap)
        return [], []

    def _known_before(self, gap: Gap[Row]) -> int:
        return min(len(self._known), gap.position)

    def _close(self, gap: Gap[Row], page: Page[Row]) -> tuple[list[Row], list[Skipped[Row]]]:
        """Leave the rows of the gap out and go on behind it with the page that was read there."""
        before = page.rows[0] if page.rows else None
        skipped = [Skipped(self._last, before, error_text) for error_text in gap.error_texts]
        self._gap = None
        self._known.clear()
        self._repeated = 0
        self._expects_known = False
        self.token = offset_token(gap.end)
        self.bisector.skipped()
        return self._new_rows(page), skipped

    def _doubt(self, gap: Gap[Row]) -> None:
        """Forget a gap, and look where the known rows before it are now."""
        self._gap = None
        self._guard.doubt()
        self.token = offset_token(gap.position)
        self._look_back(2 * OVERLAP)

    def _look_back(self, rows: int) -> None:
        self.bisector.suspect(2 * OVERLAP)
        self._step_back(rows)

    def _behind_known(self, page: Page[Row]) -> list[Row] | None:
        """Return the rows behind the last known one; None where the page holds none, so that some may be missed.

        Rows that cannot be read may be the ones that were expected.
        """
        if not self._expects_known:
            return page.rows
        known = set(self._known)
        behind = next((i for i in range(len(page.rows), 0, -1) if self._key(page.rows[i - 1]) in known), 0)
        if behind == 0 and not page.unreadable and self._offset:
            return None
        return page.rows[behind:]

    def _step_back(self, rows: int) -> None:
        """Go to the page before, until one holds rows that are known, or to the first."""
        self._repeated = 0
        self._expects_known = True
        self.token = offset_token(max(0, (self._offset or 0) - max(rows, OVERLAP) * self._guard.step_back()))

    def _next(self, token: str, rows: int) -> str:
        offset = parse_offset(token)
        self._guard.follow(token)
        overlap = None if offset is None else self._overlap(offset - (self._offset or 0), rows)
        if offset is None or overlap is None:
            # It counts something else than rows: follow it as it stands.
            self._expects_known = self._counts_rows = False
            self._repeated = 0
            return token
        self._repeated = overlap
        self._expects_known = overlap > 0
        return offset_token(offset - overlap)

    def _overlap(self, progress: int, rows: int) -> int | None:
        """Return how many known rows the next page, `progress` rows behind this one of `rows`, holds once more.

        None where it would not begin behind this one then.
        """
        known = len(self._known)
        if self.bisector.rows and progress > 0:
            whole = self.bisector.whole
            self.bisector.read(progress - self._repeated)
            if self.bisector.rows:
                # They are asked for beside those that are new.
                return min(known, progress)
            rows = min(rows - self._repeated, whole)
        # Where rows of a page cannot be read, fewer are left than come once more.
        overlap = max(0, min(known, rows // 2))
        return overlap if progress > overlap else None
