"""Reading one experiment's runs by start time, in one stretch or in several at once: pure, exact while others write.

A walk asks for runs from the last start time seen on, so that rows which come and go elsewhere move nothing, and needs
offsets only among runs of one start time. What is left of it can be split at any start time: each run starts in one
stretch only, so nothing is read twice or missed at the seams.
"""

from itertools import pairwise

import msgspec

from crawler.errors import DecodeError
from crawler.mlflow.entities import Run
from crawler.mlflow.pages import Page
from crawler.mlflow.paging import OffsetWalk

PAGES_WORTH_A_WALK = 2


class RunQuery(msgspec.Struct, frozen=True):
    """One `runs/search`: runs that started at `since` or later and before `until` (ms since epoch), where given.

    `known` of them are known already and come once more, first.
    """

    since: int | None = None
    until: int | None = None
    token: str = ""
    known: int = 0

    @property
    def filter(self) -> str:
        """The query's `filter`; empty where it asks for all."""
        bounds = []
        if self.since is not None:
            bounds.append(f"attributes.start_time >= {self.since}")
        if self.until is not None:
            bounds.append(f"attributes.start_time < {self.until}")
        return " AND ".join(bounds)


class RunWalk:
    """One experiment's runs by start time, deleted ones included (they keep their place). `query` is None at the end.

    The first page is asked without a filter; each next one from the last start time seen on. Runs without a start time
    sort last and are met only where no filter leaves them out. A server that keeps neither order nor filter is read
    from the beginning by its tokens alone.
    """

    def __init__(self, since: int | None = None, until: int | None = None) -> None:
        self.query: RunQuery | None = RunQuery(since, until)
        self._first = since
        self._since = since
        self._until = until
        self._by_time = True
        self._filter_holds = False
        self._is_part = False
        self._earliest: int | None = None
        self._pages = 0
        self._pace = 0.0
        self._seen: set[str] = set()
        self._known = 0
        self._ties = OffsetWalk(_run_id)

    def take(self, page: Page[Run]) -> list[Run]:
        """The runs of the page that are new. Raises ServerError where the server's tokens go round in a circle,
        DecodeError where it suddenly ignores filter or order.
        """
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
        rows = [run for run in fresh if run.info.run_id not in self._seen]
        self._seen.update(run.info.run_id for run in rows)
        last = fresh[-1].info.start_time if fresh else None
        if self._ties.token is None:
            self.query = None
        elif self._by_time and last is not None and (self._since is None or last > self._since):
            self._go_on_from(last, page.rows)
        else:
            self.query = RunQuery(self._since, self._until, self._ties.token, self._known)
        return rows

    def begin(self, since: int | None) -> None:
        """Starts again, at `since`."""
        self._first = self._since = since
        self._known = 0
        self._ties = OffsetWalk(_run_id)
        self.query = RunQuery(since, self._until)

    def split(self, parts: int, page_rows: int) -> list["RunWalk"]:
        """Gives later stretches of what is left to at most `parts` other walks, each worth some pages of `page_rows` as
        far as the last page tells.

        None before a second page has shown that the server keeps the filter. A walk without an end is taken to be as
        long again as it was so far: what lies beyond that is one stretch.
        """
        page_ms = self._pace * page_rows
        if self.query is None or self.query.token or not self._filter_holds or self._since is None or page_ms < 1:
            return []
        end = self._until if self._until is not None else self._since + int(self._pages * page_ms)
        beyond = [] if self._until is not None else [end]
        stretches = min(int((end - self._since) / page_ms) // PAGES_WORTH_A_WALK, parts + 1 - len(beyond))
        step = (end - self._since) / max(stretches, 1)
        cuts = [self._since + int(step * number) for number in range(1, stretches)] + beyond
        given = [self._part(*bounds) for bounds in pairwise([*cuts, self._until])]
        if given:
            self._is_part = True
            self._until = cuts[0]
            self.query = RunQuery(self._since, self._until, known=self._known)
        return given

    def _part(self, since: int | None, until: int | None) -> "RunWalk":
        part = RunWalk(since, until)
        part._is_part = part._filter_holds = True
        part._pages, part._pace = self._pages, self._pace
        return part

    def _goes_by_time(self, rows: list[Run]) -> bool:
        """Whether these are runs in the order and behind the filter that were asked for."""
        times = [run.info.start_time for run in rows if run.info.start_time is not None]
        return times == sorted(times) and (self._since is None or not times or times[0] >= self._since)

    def _within(self, page: Page[Run]) -> Page[Run]:
        """The page without runs that belong to another stretch; they sort last, so nothing of this one follows."""
        until = self._until
        if until is None or not page.rows or (page.rows[-1].info.start_time or 0) < until:
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
        asked = self.query
        if asked and asked.since is not None and not asked.token and first > self._earliest:
            self._filter_holds = True

    def _go_on_from(self, start_time: int, rows: list[Run]) -> None:
        self._since = start_time
        self._seen = {run.info.run_id for run in rows if run.info.start_time == start_time}
        self._known = len(self._seen)
        self._ties = OffsetWalk(_run_id)
        self.query = RunQuery(start_time, self._until, known=self._known)


def _run_id(run: Run) -> str:
    return run.info.run_id
