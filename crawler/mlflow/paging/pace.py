"""How far apart runs start, and from that how much is left to read and where to split it."""

from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import LATEST

PAGES_WORTH_A_CURSOR = 2
PAGES_OF_PROOF = 2


class Pace:
    """The pages that one cursor has read: how many ms lie between two runs, and whether the server keeps the filter."""

    def __init__(self) -> None:
        self.filter_holds = False
        self._newest: int | None = None
        self._asks_newest = True
        self._gives_all = False
        self._earliest: int | None = None
        self._pages = 0
        self._pages_before = 0
        self._parts_given = 0
        self._ms_per_run = 0.0

    @property
    def is_unproven(self) -> bool:
        """Whether a second page may yet show that the server keeps the filter, so that the rest can be split."""
        return not self.filter_holds and self._pages < PAGES_OF_PROOF

    @property
    def wants_newest(self) -> bool:
        """Whether a page was read, and when the newest run started was not asked for."""
        return self._asks_newest and self._pages > 0

    def learn_newest(self, start_time: int | None) -> None:
        """Note when the newest run started (ms since epoch), which is about where an open end lies; None: not known."""
        self._asks_newest = False
        self._newest = start_time
        self._gives_all = start_time is not None

    def learn(self, rows: list[Run], since: int | None) -> None:
        """Note a page of runs. `since` is the start time that it was asked for from; None with a token or no filter.

        The filter holds where it left out earlier runs, which are known to be there.
        """
        if not rows:
            return
        self._pages += 1
        first, last = rows[0].info.start_time, rows[-1].info.start_time
        if first is None or last is None:
            return
        self._ms_per_run = (last - first) / len(rows)
        if self._earliest is None:
            self._earliest = first
        if since is not None and first > self._earliest:
            self.filter_holds = True

    def pages_left(self, since: int, until: int | None, page_rows: int) -> float:
        """Return how many pages may lie in [since, until) behind the next page, judging by the last one.

        An open end is taken to be as far as the beginning, unless it is known where the newest run is. 0 unless the
        server is known to keep the filter.
        """
        if not self.filter_holds:
            return 0.0
        end = self._end(until)
        if end is None:
            return float(self._pages_before + self._pages)
        page_ms = self._ms_per_run * page_rows
        return max((end - since) / page_ms - 1, 0.0) if page_ms >= 1 else 0.0

    def cut(self, since: int, until: int | None, parts: int, page_rows: int) -> list[int]:
        """Return where to cut [since, until) into the next page's stretch and at most `parts` later ones, ascending.

        Each stretch is worth pages enough; beyond `pages_left` of an unknown end lies one. A cursor gives no more parts
        than it has read pages, but for once when it learns where its open end is: stretches that turn out to be empty
        cost as many requests at most.
        """
        left, page_ms = self.pages_left(since, until, page_rows), self._ms_per_run * page_rows
        parts = parts if self._gives_all else min(parts, self._pages - self._parts_given)
        is_known = self._end(until) is not None
        stretches = min(int(left / PAGES_WORTH_A_CURSOR), parts + is_known)
        if stretches < 1 or parts < 1 or page_ms < 1:
            return []
        step = left * page_ms / stretches
        cuts = [since + round(page_ms + step * number) for number in range(1, stretches + (not is_known))]
        if not cuts or cuts[-1] > LATEST:
            return []
        self._gives_all = False
        self._parts_given += len(cuts)
        return cuts

    def of_part(self) -> "Pace":
        """Return the pace of a part that was cut off."""
        pace = Pace()
        pace.filter_holds = True
        pace._ms_per_run, pace._pages_before = self._ms_per_run, self._pages_before + self._pages
        pace._newest, pace._asks_newest = self._newest, self._asks_newest
        return pace

    def _end(self, until: int | None) -> int | None:
        """Return about where [..., until) ends; None where an open end lies anywhere."""
        return self._newest if until is None else until
