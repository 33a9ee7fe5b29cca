"""What metrics were before their latest values, read before their runs are mapped (`metric_history: all`)."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate

from crawler.errors import CrawlerError
from crawler.mapping.metric_history import MetricHistory, kept_history, most_points
from crawler.mlflow.entities import Run
from crawler.mlflow.metric_history import POINTS_A_REQUEST, RUNS_A_REQUEST
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.experiment_sets import slices
from crawler.pipeline.failure_streak import FailureStreak
from crawler.pipeline.read_context import ReadContext
from crawler.telemetry.events import RowsSkipped
from crawler.telemetry.findings.reading import METRIC_HISTORY_MISSING, METRIC_HISTORY_UNREAD

FAILURES_IN_A_ROW = 20
"""After so many, the server is taken to give no histories at all: no other is asked for."""
PARTS_AT_ONCE = 2
"""Of pages of runs, whose points are in memory until the runs are mapped."""
REQUESTS_AT_ONCE = 2
"""Of a part, so that there are four in all: as many as MLflow has workers by default."""
POINTS_OF_A_PART = 100_000
"""The most that runs of a part may keep: 30 MB."""
POINTS = "points of metrics"
"""The word for those that are left out in reports."""


class MetricHistories:
    """Reads histories for the mapper, of few runs at a time; of none where the latest values are chosen."""

    def __init__(self, context: ReadContext) -> None:
        """Read what is selected, of runs that are written."""
        self._context = context
        self._is_wanted = context.selection.metric_history == "all"
        self._most = context.selection.max_metric_points
        self._parts = asyncio.Semaphore(PARTS_AT_ONCE)
        self._is_answered = False
        self._is_missing = False
        self._streak = FailureStreak(FAILURES_IN_A_ROW)

    def parts(self, runs: list[Run]) -> Iterator[list[Run]]:
        """Yield the runs, which leave the list, in parts that `read` takes; all at once where none is read."""
        if not self._is_wanted:
            yield runs
            return
        while runs:
            sizes = accumulate(self._most_of(run) * len(run.data.metrics) for run in runs[:RUNS_A_REQUEST])
            count = max(1, sum(size <= POINTS_OF_A_PART for size in sizes))
            part = runs[:count]
            del runs[:count]
            yield part

    @asynccontextmanager
    async def read(self, runs: Sequence[Run]) -> AsyncIterator[None]:
        """Have the mapper know the histories of these runs, each of which must be mapped before the context ends."""
        if not self._is_wanted:
            yield
            return
        async with self._parts:
            await self._read([run for run in runs if self._context.choice.writes_deleted or not run.deleted])
            yield

    async def _read(self, runs: Sequence[Run]) -> None:
        by_metric: dict[str, dict[str, Run]] = {}
        for run in runs:
            for metric in run.data.metrics:
                by_metric.setdefault(metric.key, {})[run.info.run_id] = run
        waiting = iter(by_metric.items())

        async def worker() -> None:
            for key, having in waiting:
                await self._read_metric(key, having)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(REQUESTS_AT_ONCE, len(by_metric))):
                tasks.create_task(worker())

    async def _read_metric(self, key: str, runs: dict[str, Run]) -> None:
        """Read the history of a metric in runs, by id; where that fails, in fewer of them."""
        batches = [*slices([*runs], self._context.client.metric_history.runs_a_request)]
        while batches and not self._is_missing:
            batch = batches.pop()
            if self._streak.is_over:
                self._fail(key, batch, runs, self._streak.reason)
                continue
            try:
                left = await self._ask(key, batch, runs)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                batches += self._after(error, key, batch, runs)
                continue
            self._streak.succeeded()
            if left:
                batches.append(left)

    async def _ask(self, key: str, run_ids: Sequence[str], runs: dict[str, Run]) -> list[str]:
        """Ask for what these runs have of a metric. Returns the ids of those of which there was no room for it."""
        found = await self._context.client.metric_history.read(key, run_ids)
        self._is_answered = True
        self._name_unreadable(key, found.unreadable)
        for run_id, points in found.points.items():
            self._take(key, run_id, kept_history(points, self._most_of(runs[run_id])))
        if found.too_long is None:
            return found.left
        run_id, *left = found.left
        most = self._most_of(runs[run_id])
        sample = await self._context.client.metric_history.sample(key, run_id, most)
        self._name_unreadable(key, sample.unreadable)
        self._take(key, run_id, kept_history(sample.rows, most, sampled_from=POINTS_A_REQUEST))
        return left

    def _name_unreadable(self, key: str, unreadable: Sequence[str]) -> None:
        for text in unreadable:
            self._context.listener(METRIC_HISTORY_UNREAD.found(f"{key}: {text}"))

    def _take(self, key: str, run_id: str, history: MetricHistory) -> None:
        self._context.mapper.metric_history(run_id, key, history)
        if history.left_out:
            self._context.listener(RowsSkipped(POINTS, history.left_out))

    def _after(self, error: CrawlerError, key: str, batch: Sequence[str], runs: dict[str, Run]) -> list[Sequence[str]]:
        """Return what to ask for after a failure: parts of several runs, nothing where MLflow has no histories."""
        if is_missing(error) and not self._is_answered:
            if not self._is_missing:
                self._context.listener(METRIC_HISTORY_MISSING.found(str(error)))
            self._is_missing = True
            return []
        self._streak.failed()
        if len(batch) > 1:
            return [*slices(batch, min((len(batch) + 1) // 2, self._context.client.metric_history.runs_a_request))]
        self._fail(key, batch, runs, str(error))
        return []

    def _fail(self, key: str, run_ids: Sequence[str], runs: dict[str, Run], why: str) -> None:
        """Name histories that are not read. The next crawl reads these runs again."""
        self._context.listener(METRIC_HISTORY_UNREAD.found(f"{key} of run {run_ids[0]}: {why}", count=len(run_ids)))
        if self._context.progress.memory is not None:
            self._context.progress.memory.experiments.forget({runs[run_id].info.experiment_id for run_id in run_ids})

    def _most_of(self, run: Run) -> int:
        return most_points(len(run.data.metrics), self._most)
