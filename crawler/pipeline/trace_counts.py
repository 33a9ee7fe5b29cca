"""How many traces experiments have (MLflow 3.9 and later): counted by MLflow, never read one by one.

MLflow counts the traces of all experiments that a request names together, not of each. Most experiments have none, so
those of a page are counted in one request, and only where there are traces are parts of them counted.
"""

import asyncio
from collections.abc import Sequence

from crawler.errors import CrawlerError
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.experiment_sets import slices
from crawler.telemetry.events import Listener, RowsSkipped
from crawler.telemetry.findings.reading import TRACES_NOT_COUNTED

PARTS = 8
"""Of experiments that have traces: few requests where few of them have any, and few more than one each where all do."""
REQUESTS_AT_ONCE = 4
"""Pages of runs are read beside them."""
TRACES = "traces (counted, not read)"
"""The word for them in reports."""


class TraceCounts:
    """Counts the traces of experiments, until MLflow refuses."""

    def __init__(self, client: MlflowClient, listener: Listener) -> None:
        self._client = client
        self._listener = listener
        self._requests = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._is_refused = False
        self._is_expected = False
        """Whether the server should be able to count, by its version."""

    async def of(self, experiment_ids: Sequence[str], *, is_expected: bool) -> dict[str, int]:
        """Return how many traces each experiment has that has any.

        A refusal is a finding where it `is_expected`, by the server's version, that MLflow counts.
        """
        self._is_expected = is_expected
        counts: dict[str, int] = {}
        if experiment_ids:
            await self._count(experiment_ids, counts)
        if counts:
            self._listener(RowsSkipped(TRACES, sum(counts.values())))
        return counts

    async def together(self, experiment_ids: Sequence[str], *, is_expected: bool) -> int | None:
        """Return how many traces some experiments have together, in one request; None where MLflow does not count."""
        self._is_expected = is_expected
        total = await self._ask(experiment_ids) if experiment_ids else 0
        return None if self._is_refused else total

    async def _count(self, experiment_ids: Sequence[str], counts: dict[str, int]) -> None:
        total = await self._ask(experiment_ids)
        if total > 0 and len(experiment_ids) == 1:
            counts[experiment_ids[0]] = total
        elif total > 0:
            async with asyncio.TaskGroup() as tasks:
                for part in slices(experiment_ids, -(-len(experiment_ids) // PARTS)):
                    tasks.create_task(self._count(part, counts))

    async def _ask(self, experiment_ids: Sequence[str]) -> int:
        """Return how many traces some experiments have together; 0 once MLflow has refused to count."""
        async with self._requests:
            if self._is_refused:
                return 0
            try:
                return await self._client.count_traces(experiment_ids)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                if self._is_expected and not is_missing(error) and not self._is_refused:
                    self._listener(TRACES_NOT_COUNTED.found(str(error)))
                self._is_refused = True
                return 0
