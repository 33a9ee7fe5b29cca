"""Runs that model versions name and that no listing had: in deleted experiments, or on servers that list none."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.experiment_sets import search_scopes, slices
from crawler.pipeline.work_stealing import work_through
from crawler.telemetry.events import Listener
from crawler.telemetry.findings import LOST_RUNS, RUNS_OF_VERSIONS_UNREAD, row_findings

RUN_IDS_A_REQUEST = 200


class VersionRuns:
    """Finds such runs by their ids, and sends the versions that wait for them; the others go without a run."""

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        send: Callable[[Iterable[Entity]], Awaitable[None]],
        listener: Listener,
        workers: int,
    ) -> None:
        """Look in at most `workers` requests at a time."""
        self._client = client
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._workers = workers

    async def find(self, experiment_ids: Sequence[str]) -> None:
        """Look for all of them within these experiments, deleted ones included."""

        async def batches() -> AsyncIterator[Sequence[str]]:
            for run_ids in slices(self._mapper.missing_runs, min(RUN_IDS_A_REQUEST, self._client.runs.page_rows)):
                yield run_ids

        await work_through(batches(), lambda run_ids, _: self._find(run_ids, experiment_ids), self._workers)

    async def _find(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> None:
        missing = set(run_ids)
        try:
            await self._look_in(experiment_ids, missing)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._listener(RUNS_OF_VERSIONS_UNREAD.found(str(error)))
        else:
            for run_id in sorted(missing):
                self._listener(LOST_RUNS.found(f"run {run_id}"))
        await self._send(self._mapper.lost_runs(sorted(missing)))

    async def _look_in(self, experiment_ids: Sequence[str], missing: set[str]) -> None:
        """Take out of `missing` the runs that are found, and send their versions."""
        for some in search_scopes(experiment_ids, self._client.runs.experiment_ids.ids, len(missing)):
            found = await self._client.runs.by_id(sorted(missing), some)
            for finding in row_findings("runs", found.unreadable, found.mended):
                self._listener(finding)
            for text in found.failed:
                self._listener(RUNS_OF_VERSIONS_UNREAD.found(text))
            for run in found.runs:
                missing.discard(run.info.run_id)
                await self._send(self._mapper.found_run(run))
            if not missing:
                return
