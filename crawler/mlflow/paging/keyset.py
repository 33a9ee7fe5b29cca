"""Paging through runs by start time, in one stretch or in several at once: pure, exact while others write.

A cursor asks for runs from the last start time seen on, so that rows which come and go elsewhere move nothing, and
needs offsets only among runs of one start time. What is left of it can be split at any start time: each run starts in
one stretch only, so nothing is read twice or missed at the seams.
"""

from collections.abc import Collection
from copy import copy
from itertools import pairwise

import msgspec

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST, LATEST, Coverage, Window
from crawler.mlflow.paging.offset import OVERLAP, OffsetCursor
from crawler.mlflow.paging.pace import Pace
from crawler.mlflow.paging.page_bisection import PageBisector
from crawler.mlflow.paging.seen_runs import SeenRuns, run_id
from crawler.mlflow.paging.skipped import Skipped
from crawler.mlflow.paging.step import Step

DELETED = "deleted"
"""The condition of runs that are in MLflow's trash: no filter knows it, but a view of `runs/search` is theirs."""


class RunFilter(msgspec.Struct, frozen=True):
    """Which runs a crawl is to read at all: those that pass the `text`, a filter of MLflow (empty: all).

    If `only_deleted`, those of them that are in MLflow's trash.
    """

    text: str = ""
    only_deleted: bool = False


ALL = RunFilter()


class RunQuery(msgspec.Struct, frozen=True):
    """One `runs/search` for runs that started in [since, until) (ms since epoch, None: no bound) on a `condition`.

    `known` runs are known already and come once more, first. `most` is how many rows to ask for at most; 0: any number.
    `chosen` are the runs that are to be read at all.
    """

    since: int | None = None
    until: int | None = None
    token: str = ""
    known: int = 0
    most: int = 0
    condition: str = ""
    chosen: RunFilter = ALL

    @property
    def view(self) -> str:
        """The query's `run_view_type`."""
        return "DELETED_ONLY" if self.condition == DELETED or self.chosen.only_deleted else "ALL"

    @property
    def is_bounded(self) -> bool:
        """Whether it leaves out runs without start time."""
        return self.since is not None or self.until is not None

    @property
    def conditions(self) -> list[str]:
        """Its parts of a `filter`, but for the bounds."""
        return [each for each in (self.condition, self.chosen.text) if each not in {"", DELETED}]

    @property
    def filter(self) -> str:
        """The query's `filter`; empty where it asks for all."""
        bounds = self.conditions
        if self.since is not None:
            bounds.append(f"attributes.start_time >= {self.since}")
        if self.until is not None:
            bounds.append(f"attributes.start_time < {self.until}")
        return " AND ".join(bounds)


class RunCursor:
    """The place in a listing of runs by start time, of one experiment or several, deleted runs included.

    `since` and `until` bound it to a part of the runs. The first page is asked for without a filter, unless it is
    bounded; each next one from the last start time seen on. Runs without a start time sort last and are met only where
    no filter leaves them out. A server that keeps neither order nor filter is read from the beginning by its tokens.
    With a `condition`, a filter of MLflow or DELETED, the runs are those that pass it; all are of the `chosen` ones.
    """

    def __init__(
        self, since: int | None = None, until: int | None = None, condition: str = "", chosen: RunFilter = ALL
    ) -> None:
        self._condition = condition
        self._chosen = chosen
        self._first = self._since = since
        self._until = until
        self._by_time = True
        self._is_part = False
        self._behind_skipped: int | None = None
        self._pace = Pace()
        self._coverage = Coverage(since)
        self._seen = SeenRuns()
        self._mended: list[str] = []
        self._ties = OffsetCursor(run_id)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The start times that are left to be read: from the first on, before the second; None is an open end."""
        return self._since, self._until

    @property
    def query(self) -> RunQuery | None:
        """What to ask for next; None at the end."""
        if self._ties.token is None:
            return None
        token, most, known = self._ties.token, self._ties.most, len(self._seen.ties)
        known = 0 if most else min(known, OVERLAP) if token else known
        return RunQuery(self._since, self._until, token, known, most, self._condition, self._chosen)

    def take(self, page: Page[Run]) -> Step[Run]:
        """Return what is new in the page that was asked for.

        Raise ServerError where the server's pages have no end, DecodeError where it suddenly ignores filter or order.
        """
        if self._by_time and not self._is_in_order(page.rows):
            if self._is_part:
                raise DecodeError("MLflow's answer holds other runs than those of the start times that were asked for.")
            self._by_time = False
            if self._since != self._first:
                self.restart(self._first)
                return Step(unreadable=page.unreadable, mended=page.mended)
        page = self._within(page)
        if self._by_time:
            self._pace.learn(page.rows, None if self._ties.token else self._since)
        step = self._ties.take(page)
        self._note_skipped(step.skipped)
        rows, lost = self._seen.split(step.rows)
        self._count(rows)
        window = self._advance(step.rows)
        # Runs that come once more are mended once more.
        mended = [text for text in step.mended if text not in self._mended]
        self._mended = step.mended
        unreadable = [f"run {run.info.run_id} comes twice, with other data: only the first is kept" for run in lost]
        return Step(rows, window, [*step.unreadable, *unreadable], mended, step.skipped, step.is_last, step.traits)

    def new_rows(self, rows: int) -> int:
        """Return how many of `rows` rows of the next page may be new."""
        return self._ties.new_rows(rows)

    def failed(self, query: RunQuery, rows: int, error_text: str) -> bool:
        """Ask for less, because the page of `rows` of this query failed. Return False where that cannot help."""
        return self._was_split_since(query) or self._ties.failed(rows, error_text)

    def slow(self, query: RunQuery, rows: int) -> bool:
        """Ask for less, because the page of `rows` of this query timed out. Return False where that cannot help."""
        return self._was_split_since(query) or self._ties.slow(rows)

    def restart(self, since: int | None) -> None:
        """Start again, at `since`."""
        self._first = self._since = since
        self._seen.clear()
        self._coverage.restart()
        self._behind_skipped = None
        self._ties = OffsetCursor(run_id, self._ties.bisector)

    def leave_out_null_start_times(self) -> None:
        """From now on leave out runs without start time. They sort last, so no other one changes its place."""
        self._first = self._since = EARLIEST

    @property
    def is_unproven(self) -> bool:
        """Whether a second page may yet show that the server keeps the filter, so that the rest can be split."""
        return self._pace.is_unproven

    @property
    def wants_newest(self) -> bool:
        """Whether it would help to know when its newest run started: its end is open, and more than a page away."""
        return self._until is None and self._split_from is not None and self._pace.wants_newest

    def learn_newest(self, start_time: int | None) -> None:
        """Note when the newest of its runs started (ms since epoch), so that the rest can be split; None: not known."""
        since = self._split_from
        self._pace.learn_newest(None if start_time is None or since is None or start_time <= since else start_time)

    def pages_left(self, page_rows: int) -> float:
        """Return how many pages of `page_rows` may follow the one that is asked for; 0 where it cannot be split."""
        return 0.0 if self._split_from is None else self._pace.pages_left(self._split_from, self._until, page_rows)

    def split(self, parts: int, page_rows: int) -> list["RunCursor"]:
        """Give later stretches of what is left to at most `parts` other cursors, and return these.

        The page that is asked for may be in flight: what it holds of the stretches given away is left to these.
        """
        if self._split_from is None:
            return []
        cuts = self._pace.cut(self._split_from, self._until, parts, page_rows)
        if not cuts:
            return []
        given = [self._part(*bounds) for bounds in pairwise([*cuts, self._until])]
        self._is_part = True
        self._until = cuts[0]
        return given

    def of_experiments(self, experiment_ids: Collection[str]) -> "RunCursor":
        """Return a cursor at the same place for some of the experiments that this one reads: it goes on in its stead.

        Runs that this one has returned do not come again.
        """
        part = RunCursor(self._since, self._until, self._condition, self._chosen)
        part._first, part._by_time, part._is_part = self._first, self._by_time, self._is_part
        part._pace = copy(self._pace)
        part._coverage = self._coverage.of_experiments(experiment_ids)
        part._seen = self._seen.of_experiments(experiment_ids)
        part._ties = OffsetCursor(run_id, PageBisector(self._ties.bisector.ceiling))
        return part

    @property
    def _split_from(self) -> int | None:
        """The start time from which on the rest can be split; None where it cannot be, now."""
        return self._since if self._by_time and self._ties.token == "" and not self._ties.is_bisecting else None

    def _part(self, since: int | None, until: int | None) -> "RunCursor":
        part = RunCursor(since, until, self._condition, self._chosen)
        part._is_part = True
        part._pace = self._pace.of_part()
        part._ties = OffsetCursor(run_id, PageBisector(self._ties.bisector.ceiling))
        return part

    def _was_split_since(self, query: RunQuery) -> bool:
        """Return whether a part was given away since this query, perhaps with the row that fails."""
        return query != self.query

    def _note_skipped(self, skipped: list[Skipped[Run]]) -> None:
        if skipped:
            self._coverage.skip(len(skipped))
            behind = skipped[-1].before
            self._behind_skipped = behind.info.start_time if behind else LATEST

    def _can_go_on_from(self, start_time: int) -> bool:
        """Return whether runs of this start time are the first that need to come again: none that was left out."""
        after = self._since if self._behind_skipped is None else self._behind_skipped
        return self._by_time and (after is None or start_time > after)

    def _count(self, rows: list[Run]) -> None:
        if rows and self._by_time and rows[-1].info.start_time is not None:
            self._coverage.add(rows)
        else:
            self._coverage.add_unordered(rows, self._until)

    def _is_in_order(self, rows: list[Run]) -> bool:
        """Return whether these are runs in the order and behind the filter that were asked for."""
        times = [run.info.start_time for run in rows if run.info.start_time is not None]
        return times == sorted(times) and (self._since is None or not times or times[0] >= self._since)

    def _within(self, page: Page[Run]) -> Page[Run]:
        """Return the page without runs of a later stretch; they sort last, so nothing of this one follows them."""
        until = self._until
        if until is None or not self._by_time or _last_start_time(page.rows) < until:
            return page
        rows = [run for run in page.rows if (run.info.start_time or 0) < until]
        return Page(rows, "", page.unreadable, page.mended, page.traits)

    def _advance(self, fresh: list[Run]) -> Window | None:
        """Go on behind a page with these runs, and return the window that it completed, if any."""
        window: Window | None = None
        last = fresh[-1].info.start_time if fresh else None
        if self._ties.token is None:
            window = self._coverage.complete(self._until)
        elif last is not None and self._can_go_on_from(last):
            window = self._go_on_from(last, fresh)
        else:
            self._seen.add(fresh)
        if last is not None:
            self._seen.reached(last)
        return window

    def _go_on_from(self, start_time: int, rows: list[Run]) -> Window:
        self._since = start_time
        ties = [run for run in rows if run.info.start_time == start_time]
        self._seen.go_on_from(start_time, rows, ties)
        self._behind_skipped = None
        self._ties = OffsetCursor(run_id, self._ties.bisector, ties)
        return self._coverage.complete(start_time, self._seen.ties.values())


def _last_start_time(rows: list[Run]) -> int:
    """Return the start time of the last run that has one, else 0."""
    return next((time for run in reversed(rows) if (time := run.info.start_time) is not None), 0)
