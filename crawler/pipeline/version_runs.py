"""Runs that model versions name and that were not read: of deleted experiments, or of servers that list none.

A crawl that reads only what may have changed finds here the runs of new versions, which have these as outputs.
"""

from collections.abc import AsyncIterator, Sequence

from crawler.checkpoint.acks import Window
from crawler.checkpoint.protocol import Progress
from crawler.errors import CrawlerError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Run
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.experiment_sets import search_scopes, slices
from crawler.pipeline.metric_histories import MetricHistories
from crawler.pipeline.model_files import ModelFiles
from crawler.pipeline.parent_runs import ParentRuns
from crawler.pipeline.run_choice import RunChoice
from crawler.pipeline.run_stage import Send
from crawler.pipeline.work_stealing import work_through
from crawler.telemetry.events import Listener, RowsRead
from crawler.telemetry.findings.reading import EXPERIMENT_UNREAD, LOST_RUNS, RUNS_OF_VERSIONS_UNREAD, row_findings

RUN_IDS_A_REQUEST = 200


class VersionRuns:
    """Finds such runs by their ids, and sends the versions that wait for them; the others go without a run."""

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        send: Send,
        listener: Listener,
        progress: Progress,
        parents: ParentRuns,
        choice: RunChoice,
        files: ModelFiles,
        histories: MetricHistories,
        workers: int,
    ) -> None:
        """Look in at most `workers` requests at a time."""
        self._choice = choice
        self._client = client
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._progress = progress
        self._parents = parents
        self._files = files
        self._histories = histories
        self._workers = workers

    async def find(self, experiment_ids: Sequence[str]) -> None:
        """Look for all of them within these experiments, deleted ones included."""

        async def batches() -> AsyncIterator[Sequence[str]]:
            for run_ids in slices(self._mapper.missing_runs, min(RUN_IDS_A_REQUEST, self._client.runs.page_rows)):
                yield run_ids

        await work_through(batches(), lambda run_ids, _: self._find(run_ids, experiment_ids), self._workers)

    async def _find(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> None:
        missing = set(run_ids)
        is_unread = True
        try:
            is_unread = await self._look_in(experiment_ids, missing)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._listener(RUNS_OF_VERSIONS_UNREAD.found(str(error)))
        else:
            for run_id in sorted(missing):
                self._listener(LOST_RUNS.found(f"run {run_id}"))
        await self._files.read_of_lost(missing)
        await self._send(self._mapper.lost_runs(sorted(missing), unread=is_unread), None)

    async def _look_in(self, experiment_ids: Sequence[str], missing: set[str]) -> bool:
        """Take out of `missing` the runs that are found, and send their versions. Returns whether any failed."""
        has_failed = False
        for some in search_scopes(experiment_ids, self._client.runs.experiment_ids.ids, len(missing)):
            found = await self._client.runs.by_id(sorted(missing), some)
            for finding in row_findings("runs", found.unreadable, found.mended):
                self._listener(finding)
            for text in found.failed:
                has_failed = True
                self._listener(RUNS_OF_VERSIONS_UNREAD.found(text))
            for run in found.runs:
                missing.discard(run.info.run_id)
                await self._send_found(run)
            if not missing:
                break
        return has_failed

    async def _send_found(self, run: Run) -> None:
        """Send a run that is crawled and was not read now, with its new outputs; of others only their versions."""
        await self._files.read_of_runs([run])
        experiment_id = run.info.experiment_id
        memory = self._progress.memory
        if memory is None or not self._parents.are_of(experiment_id) or not await self._is_written(run):
            await self._send(self._mapper.found_run(run), None)
            return
        if self._mapper.container_of(experiment_id) is None and not await self._find_experiment(experiment_id):
            memory.experiments.forget([experiment_id])
            await self._send(self._mapper.found_run(run), None)
            return
        start = run.info.start_time or 0
        # A crawl that goes on has counted it, if it was read before: only its version had to wait.
        if not self._progress.has_read(experiment_id, start):
            self._listener(RowsRead(RUNS.name, 1))
        parents = await self._parents.of([run])
        ack = self._progress.new_ack(whole=False)
        async with self._histories.read([run]):
            await self._send(self._mapper.run(run, parents, writes_deleted=self._choice.writes_deleted), ack)
        if ack is not None:
            ack.seal([Window(experiment_id, start, start + 1, 1, 1, 0)])

    async def _is_written(self, run: Run) -> bool:
        """Return whether a run is one that is crawled."""
        return self._choice.writes(run) and bool(await self._client.runs.passing([run], self._choice.filter.text))

    async def _find_experiment(self, experiment_id: str) -> bool:
        """Have the mapper know an experiment. Returns False where MLflow does not give it."""
        try:
            self._mapper.experiment(await self._client.experiment(experiment_id))
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._listener(EXPERIMENT_UNREAD.found(f"{experiment_id}: {error}"))
            return False
        return True
