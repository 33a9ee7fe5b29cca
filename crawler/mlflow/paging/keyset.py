"""Reading one experiment's runs by start time, in one stretch or in several at once: pure, exact while others write.

A walk asks for runs from the last start time seen on, so that rows which come and go elsewhere move nothing, and needs
offsets only among runs of one start time. What is left of it can be split at any start time: each run starts in one
stretch only, so nothing is read twice or missed at the seams.
"""

from collections.abc import Callable
from itertools import pairwise

import msgspec

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.deduplicate import deduplicate
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.offset import OVERLAP, OffsetWalk
from crawler.mlflow.paging.page_bisection import PageBisector, Skipped

PAGES_WORTH_A_WALK = 2
PAGES_OF_PROOF = 2
SEEN_AT_MOST = 10_000
"""Run ids that a walk remembers of one start time."""
EARLIEST = -(2**63)
LATEST = 2**62
"""No start time is later; those beyond 2**63 no database can compare with."""


class RunQuery(msgspec.Struct, frozen=True):
    """One `runs/search`: runs that started at `since` or later and before `until` (ms since epoch), where given.

    `known` of them are known already and come once more, first. `most` is how many rows to ask for at most, 0 for as
    many as the caller likes.
    """

    since: int | None = None
    until: int | None = None
    token: str = ""
    known: int = 0
    most: int = 0

    @property
    def filter(self) -> str:
        """The query's `filter`; empty where it asks for all."""
        bounds = []
        if self.since is not None:
            bounds.append(f"attributes.start_time >= {self.since}")
        if self.until is not None:
            bounds.append(f"attributes.start_time < {self.until}")
        return " AND ".join(bounds)


class Covered(msgspec.Struct, frozen=True):
    """A window of start times that is read: from `since` on and before `until` (ms since epoch), None for an open end.

    `rows` runs lie in it, those included that are in the trash or had to be left out.
    """

    since: int | None
    until: int | None
    rows: int


class RunWalk:
    """One experiment's runs by start time, deleted ones included (they keep their place).

    The first page is asked without a filter, unless the walk is a part; each next one from the last start time seen on.
    Runs without a start time sort last and are met only where no filter leaves them out. A server that keeps neither
    order nor filter is read from the beginning by its tokens alone.

    `since` and `until` bound a walk to a part of the experiment. `covered` is the window of start times that the last
    page completed, None where it completed none. `lost` are runs that the last page held besides another one of the
    same id.
    """

    def __init__(self, since: int | None = None, until: int | None = None) -> None:
        self.covered: Covered | None = None
        self.lost: list[Run] = []
        self._ended = False
        self._token = ""
        self._first = since
        self._since = since
        self._until = until
        self._by_time = True
        self._filter_holds = False
        self._is_part = False
        self._earliest: int | None = None
        self._pages = 0
        self._pages_before = 0
        self._given = 0
        self._pace = 0.0
        self._seen: set[str] = set()
        self._tied: set[str] = set()
        self._latest = EARLIEST
        self._known = 0
        self._narrowing = PageBisector()
        self._ties = OffsetWalk(_run_id, self._narrowing)
        self._skipped: list[Skipped[Run]] = []
        self._behind_skipped: int | None = None
        self._covered_to = since
        self._uncovered = 0

    @property
    def since(self) -> int | None:
        return self._since

    @property
    def until(self) -> int | None:
        return self._until

    @property
    def query(self) -> RunQuery | None:
        """What to ask for next; None at the end."""
        if self._ended:
            return None
        most = self._ties.most
        known = 0 if most else min(self._known, OVERLAP) if self._token else self._known
        return RunQuery(self._since, self._until, self._token, known, most)

    def take(self, page: Page[Run]) -> list[Run]:
        """The runs of the page that are new. Raises ServerError where the server's tokens go round in a circle,
        DecodeError where it suddenly ignores filter or order.
        """
        self.covered, self.lost = None, []
        if self._by_time and not self._goes_by_time(page.rows):
            if self._is_part:
                raise DecodeError("MLflow's answer holds other runs than those of the start times that were asked for.")
            self._by_time = False
            if self._since != self._first:
                self.begin(self._first)
                return []
        page = self._within(page)
        self._learn(page.rows)
        fresh = self._ties.take(page)
        self._note_skipped()
        rows, self.lost = self._once(fresh)
        self._uncovered += self._in_window(rows)
        last = fresh[-1].info.start_time if fresh else None
        if self._ties.token is None:
            self._end()
        elif last is not None and self._can_go_on_from(last):
            self._go_on_from(last, fresh)
        else:
            self._token = self._ties.token
            self._see(fresh)
        if last is not None:
            self._latest = max(self._latest, last)
        return rows

    def take_skipped(self) -> list[Skipped[Run]]:
        """The runs that had to be left out since it was asked last."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def failed(self, query: RunQuery, rows: int, words: str) -> bool:
        """The page of so many rows that was asked for cannot be had. Whether asking for less may help."""
        return self._narrower(query, lambda: self._ties.failed(rows, words))

    def slow(self, query: RunQuery, rows: int) -> bool:
        """The page of so many rows that was asked for does not come in time. Whether asking for less may help."""
        return self._narrower(query, lambda: self._ties.slow(rows))

    def begin(self, since: int | None) -> None:
        """Starts again, at `since`."""
        self._first = self._since = since
        self._known = 0
        self._token = ""
        self._seen = self._tied = set()
        self._uncovered = 0
        self._behind_skipped = None
        self._ties = OffsetWalk(_run_id, self._narrowing)

    def leave_out_untimed(self) -> None:
        """From now on, runs without start time are left out. They sort last, so no other one changes its place."""
        self._first = self._since = EARLIEST

    @property
    def is_unproven(self) -> bool:
        """Whether a second page may yet show that the server keeps the filter, so that the walk can be split."""
        return not self._filter_holds and self._pages < PAGES_OF_PROOF

    def pages_left(self, page_rows: int) -> float:
        """How many pages of `page_rows` there may be behind the one that is asked for, as far as the last one tells.

        A walk without an end is taken to be as long again as it was so far. 0 unless the server is known to keep the
        filter.
        """
        if self._ended or self._token or not self._by_time or not self._filter_holds or self._since is None:
            return 0.0
        if self._ties.is_narrow:
            return 0.0
        if self._until is None:
            return float(self._pages_before + self._pages)
        page_ms = self._pace * page_rows
        return max((self._until - self._since) / page_ms - 1, 0.0) if page_ms >= 1 else 0.0

    def split(self, parts: int, page_rows: int) -> list["RunWalk"]:
        """Gives later stretches of what is left behind the page that is asked for to at most `parts` other walks, each
        worth pages enough. Of a walk without an end, what lies beyond its `pages_left` is one stretch.

        The page may be on its way: what it holds of the stretches given away is left to these. A walk gives no more
        parts than it has read pages, so that stretches that turn out to be empty cost as many requests at most.
        """
        left, page_ms = self.pages_left(page_rows), self._pace * page_rows
        parts = min(parts, self._pages - self._given)
        stretches = min(int(left / PAGES_WORTH_A_WALK), parts + (self._until is not None))
        if self._since is None or stretches < 1 or parts < 1 or page_ms < 1:
            return []
        step = left * page_ms / stretches
        ends = stretches + (self._until is None)
        cuts = [self._since + round(page_ms + step * number) for number in range(1, ends)]
        if not cuts or cuts[-1] > LATEST:
            return []
        given = [self._part(*bounds) for bounds in pairwise([*cuts, self._until])]
        self._is_part = True
        self._until = cuts[0]
        self._given += len(given)
        return given

    def _part(self, since: int | None, until: int | None) -> "RunWalk":
        part = RunWalk(since, until)
        part._is_part = part._filter_holds = True
        part._pace, part._pages_before = self._pace, self._pages_before + self._pages
        part._narrow_to(self._narrowing.ceiling)
        return part

    def _narrow_to(self, ceiling: int) -> None:
        self._narrowing = PageBisector(ceiling)
        self._ties = OffsetWalk(_run_id, self._narrowing)

    def _narrower(self, query: RunQuery, narrow: Callable[[], bool]) -> bool:
        self.covered, self.lost = None, []
        if query != self.query:
            # A part was given away meanwhile, perhaps with the row that fails.
            return True
        helps = narrow()
        self._token = self._ties.token or ""
        return helps

    def _once(self, fresh: list[Run]) -> tuple[list[Run], list[Run]]:
        """The new ones among these runs, each once, and those that are not the same as another one of their id."""
        rows = [run for run in fresh if run.info.run_id not in self._seen]
        if len({run.info.run_id for run in rows}) == len(rows):
            return rows, []
        return deduplicate(rows, _run_id)

    def _see(self, fresh: list[Run]) -> None:
        """Where rows fail or are purged, a walk steps back among equal start times: more than a page comes again."""
        if len(self._seen) > SEEN_AT_MOST:
            self._seen = set(self._tied)
        self._seen = self._seen.union(run.info.run_id for run in fresh)

    def _note_skipped(self) -> None:
        skipped = self._ties.take_skipped()
        if not skipped:
            return
        self._skipped += skipped
        self._uncovered += len(skipped)
        behind = skipped[-1].before
        self._behind_skipped = behind.info.start_time if behind else LATEST

    def _can_go_on_from(self, start_time: int) -> bool:
        """Whether runs of this start time are the first that need to come again: not those of what was left out."""
        after = self._since if self._behind_skipped is None else self._behind_skipped
        return self._by_time and (after is None or start_time > after)

    def _in_window(self, rows: list[Run]) -> int:
        """How many of these runs lie in what is not covered yet."""
        if not rows or (self._by_time and rows[-1].info.start_time is not None):
            return len(rows)
        since = EARLIEST if self._covered_to is None else self._covered_to
        until = LATEST if self._until is None else self._until
        return sum(since <= run.info.start_time < until for run in rows if run.info.start_time is not None)

    def _end(self) -> None:
        self._ended = True
        self._cover(self._until, 0)

    def _cover(self, until: int | None, beyond: int) -> None:
        self.covered = Covered(self._covered_to, until, self._uncovered - beyond)
        self._covered_to, self._uncovered = until, beyond

    def _goes_by_time(self, rows: list[Run]) -> bool:
        """Whether these are runs in the order and behind the filter that were asked for."""
        times = [run.info.start_time for run in rows if run.info.start_time is not None]
        return times == sorted(times) and (self._since is None or not times or times[0] >= self._since)

    def _within(self, page: Page[Run]) -> Page[Run]:
        """The page without runs that belong to another stretch; they sort last, so nothing of this one follows."""
        until = self._until
        if until is None or not self._by_time or not page.rows or (page.rows[-1].info.start_time or 0) < until:
            return page
        return Page([run for run in page.rows if (run.info.start_time or 0) < until], "", page.unreadable)

    def _learn(self, rows: list[Run]) -> None:
        """How many ms lie between two runs, and whether the server keeps the filter: it left earlier runs out."""
        if not self._by_time or not rows:
            return
        self._pages += 1
        first, last = rows[0].info.start_time, rows[-1].info.start_time
        if first is None or last is None:
            return
        self._pace = (last - first) / len(rows)
        if self._earliest is None:
            self._earliest = first
        if self._since is not None and not self._token and first > self._earliest:
            self._filter_holds = True

    def _go_on_from(self, start_time: int, rows: list[Run]) -> None:
        ties = [run for run in rows if run.info.start_time == start_time]
        self._since = start_time
        self._tied = {run.info.run_id for run in ties}
        if start_time > self._latest:
            self._seen = self._tied
        else:
            # It has stepped back: what was read of later ones comes again.
            self._see(rows)
        self._known = len(self._tied)
        self._cover(start_time, self._known)
        self._token = ""
        self._behind_skipped = None
        self._ties = OffsetWalk(_run_id, self._narrowing, ties)


def _run_id(run: Run) -> str:
    return run.info.run_id


RunCursor = RunWalk
