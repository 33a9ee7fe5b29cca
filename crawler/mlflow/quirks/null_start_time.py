"""Runs that have no start_time in MLflow's database.

MLflow (1.27 to 3.18 alike) answers 500 for every page that would hold one, so only their experiments can be named.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from crawler.errors import CrawlerError, DecodeError, RequestRefused
from crawler.http import Response
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.experiment_id_limit import ExperimentIdLimit
from crawler.mlflow.paging.keyset import ALL, RunQuery
from crawler.mlflow.paging.offset import MAX_SKIPPED, OVERLAP
from crawler.mlflow.paging.tokens import is_offset, offset_token
from crawler.mlflow.row_errors import is_of_one_request, row_error_text

STEP_BACK = 1_000
MAX_PAGES = 1_000

_ANSWER = b"start_time cannot be None"

Search = Callable[[list[str], RunQuery], Awaitable[Page[Run]]]


class NullStartTimeFindings(msgspec.Struct, frozen=True):
    """Texts: `unreadable` of experiments that have such runs, `unknown` of those where that cannot be found out."""

    unreadable: list[str] = []
    unknown: list[str] = []


def is_final(response: Response) -> bool:
    """Return whether MLflow answers 500 for what it will never be able to answer: a run without start_time."""
    return _ANSWER in response.body


def is_null_start_time(error: CrawlerError) -> bool:
    """Return whether a page was refused because it would hold a run without start_time."""
    return isinstance(error, RequestRefused) and _ANSWER.decode() in error.answer


class NullStartTimes:
    """Finds out which experiments have such runs, without reading them.

    They sort last, so the number of all other runs says where they would be listed. Runs are counted for experiments
    that are read with a filter, which leaves out those without start_time.
    """

    def __init__(self, search: Search, limit: ExperimentIdLimit) -> None:
        """Search no more experiments at once than the limit says."""
        self._search = search
        self._limit = limit
        # By experiment, including those of which none has been read yet.
        self._others: dict[str, int] = {}
        self.chosen = ALL
        """Which runs are read, and looked for, at all."""

    def refused(self, experiment_ids: Sequence[str], query: RunQuery, error: CrawlerError) -> list[str] | None:
        """Return what is unreadable if such runs are why this query is refused, None for another reason.

        Of several experiments `find` finds out later which ones have them.
        """
        if query.is_bounded or not is_null_start_time(error):
            return None
        if len(experiment_ids) > 1:
            self._start_counting(experiment_ids)
            return []
        self.stop_counting(experiment_ids[0])
        return [_text(experiment_ids[0])]

    def page_read(self, experiment_ids: Sequence[str], query: RunQuery, page: Page[Run], runs: Sequence[Run]) -> None:
        """Count the new `runs` of a page of these experiments."""
        if page.token and not is_offset(page.token):
            for experiment_id in experiment_ids:
                self.stop_counting(experiment_id)
        elif page.token and not query.is_bounded:
            self._start_counting(experiment_ids)
        if len(experiment_ids) == 1:
            self._count(experiment_ids[0], len(runs))
        elif self._others:
            for experiment_id, rows in Counter(run.info.experiment_id for run in runs).items():
                self._count(experiment_id, rows)

    def skipped(self, experiment_id: str, rows: int) -> None:
        """Count runs that were left out."""
        self._count(experiment_id, rows)

    def stop_counting(self, experiment_id: str) -> None:
        """Leave an experiment to itself: its runs could not all be read, or it is known to have such runs."""
        self._others.pop(experiment_id, None)

    def forget(self) -> None:
        """Begin anew, with other experiments."""
        self._others.clear()

    def resume_count(self, experiment_id: str, rows: int) -> None:
        """Count on from `rows` runs of an experiment, which an earlier crawl has read."""
        self._start_counting([experiment_id])
        self._count(experiment_id, rows)

    async def find(self) -> NullStartTimeFindings:
        """Find the experiments that have such runs, beyond those that were met.

        One request for as many experiments of several pages as the server takes, and some more where there are such
        runs.
        """
        findings = NullStartTimeFindings()
        experiment_ids = sorted(self._others)
        while experiment_ids:
            some = experiment_ids[-self._limit.ids :]
            del experiment_ids[-len(some) :]
            await self._find(some, findings)
        return findings

    async def _find(self, experiment_ids: list[str], findings: NullStartTimeFindings) -> None:
        """Add what is found out about these experiments to the findings, by bisection."""
        try:
            if not await self._are_there(experiment_ids, findings):
                return
            found, text = findings.unreadable, _text(experiment_ids[0])
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            found, text = findings.unknown, f"experiment {experiment_ids[0]}: {error}"
        if len(experiment_ids) == 1:
            found.append(text)
            return
        middle = len(experiment_ids) // 2
        await self._find(experiment_ids[:middle], findings)
        await self._find(experiment_ids[middle:], findings)

    async def _are_there(self, experiment_ids: list[str], findings: NullStartTimeFindings) -> bool:
        """Look from the last of the others to the end: one request, unless runs came or went since."""
        offset = max(0, sum(self._others[experiment_id] for experiment_id in experiment_ids) - 1)
        is_exact, failed = False, 0
        for _ in range(MAX_PAGES):
            try:
                query = RunQuery(token=offset_token(offset), chosen=self.chosen)
                page = await self._search(experiment_ids, query)
                findings.unreadable.extend(page.unreadable)
            except RequestRefused as refused:
                if is_null_start_time(refused):
                    return True
                failed += 1
                if row_error_text(refused) is None or failed > MAX_SKIPPED:
                    raise
                # The row there fails in another way, and is named where the others are read.
                page = Page([], offset_token(offset + 1), unreadable=[str(refused)])
            if any(run.info.start_time is None for run in page.rows):
                return True
            rows = len(page.rows) + len(page.unreadable)
            is_end = not page.token if rows else is_exact or offset == 0
            if is_end:
                return False
            # Rows may be purged meanwhile, so that later ones move up: some come once more.
            overlap = min(OVERLAP, rows - 1) if rows else 0
            is_exact = rows > 0 and overlap == 0
            offset = offset + rows - overlap if rows else max(0, offset - STEP_BACK)
        raise DecodeError(f"MLflow's listing of runs had no end within {MAX_PAGES:,} pages.")

    def _start_counting(self, experiment_ids: Sequence[str]) -> None:
        for experiment_id in experiment_ids:
            self._others.setdefault(experiment_id, 0)

    def _count(self, experiment_id: str, rows: int) -> None:
        if experiment_id in self._others:
            self._others[experiment_id] += rows


def _text(experiment_id: str) -> str:
    return f"experiment {experiment_id}: runs that have no start_time in MLflow's database"
