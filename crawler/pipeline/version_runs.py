"""Runs that model versions name and that were not read: of deleted experiments, or of servers that list none.

A crawl that reads only what may have changed finds here the runs of new versions, which have these as outputs.
"""

from collections.abc import AsyncIterator, Sequence

from crawler.checkpoint.acks import Window
from crawler.errors import CrawlerError
from crawler.mlflow.entities import Run
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import is_of_one_request
from crawler.mlflow.run_lookup import RUN_IDS_A_REQUEST
from crawler.pipeline.experiment_sets import search_scopes, slices
from crawler.pipeline.metric_histories import MetricHistories
from crawler.pipeline.model_files import ModelFiles
from crawler.pipeline.parent_runs import ParentRuns
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.work_stealing import work_through
from crawler.telemetry.events import RowsRead
from crawler.telemetry.findings.reading import EXPERIMENT_UNREAD, LOST_RUNS, RUNS_OF_VERSIONS_UNREAD, row_findings


class VersionRuns:
    """Finds such runs by their ids, and sends the versions that wait for them; the others go without a run."""

    def __init__(
        self, context: ReadContext, parents: ParentRuns, files: ModelFiles, histories: MetricHistories
    ) -> None:
        self._context = context
        self._parents = parents
        self._files = files
        self._histories = histories

    async def find(self, experiment_ids: Sequence[str]) -> None:
        """Look for all of them within these experiments, deleted ones included."""

        async def batches() -> AsyncIterator[Sequence[str]]:
            size = min(RUN_IDS_A_REQUEST, self._context.client.runs.page_rows)
            for run_ids in slices(self._context.mapper.missing_runs, size):
                yield run_ids

        await work_through(batches(), lambda run_ids, _: self._find(run_ids, experiment_ids), self._context.workers)

    async def _find(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> None:
        missing = set(run_ids)
        is_unread = True
        try:
            is_unread = await self._look_in(experiment_ids, missing)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._context.listener(RUNS_OF_VERSIONS_UNREAD.found(str(error)))
        else:
            for run_id in sorted(missing):
                # Those of versions that a crawl delivered before it was cut off are told.
                if self._context.mapper.versions_of_lost([run_id]):
                    self._context.listener(LOST_RUNS.found(f"run {run_id}"))
        await self._files.read_of_lost(missing)
        await self._context.send(self._context.mapper.lost_runs(sorted(missing), unread=is_unread), None)

    async def _look_in(self, experiment_ids: Sequence[str], missing: set[str]) -> bool:
        """Take out of `missing` the runs that are found, and send their versions. Returns whether any failed."""
        has_failed = False
        for some in search_scopes(experiment_ids, self._context.client.runs.experiment_ids.ids, len(missing)):
            found = await self._context.client.runs.by_id(sorted(missing), some)
            for finding in row_findings("runs", found.unreadable, found.mended):
                self._context.listener(finding)
            for text in found.failed:
                has_failed = True
                self._context.listener(RUNS_OF_VERSIONS_UNREAD.found(text))
            await self._send_found(found.runs)
            missing.difference_update(run.info.run_id for run in found.runs)
            if not missing:
                break
        return has_failed

    async def _send_found(self, runs: list[Run]) -> None:
        """Send runs that are crawled and were not read now, with their new outputs; of others only their versions."""
        written = await self._written(runs)
        parents = await self._parents.of([run for run in runs if run.info.run_id in written])
        await self._files.read_of_runs(runs)
        for run in runs:
            if run.info.run_id in written:
                await self._send_written(run, parents)
            else:
                await self._context.send(self._context.mapper.found_run(run), None)

    async def _send_written(self, run: Run, parents: frozenset[str]) -> None:
        writes_deleted = self._context.choice.writes_deleted
        if self._context.uncounted([run]):
            self._context.listener(RowsRead(RUNS.name, 1))
        ack = self._context.progress.new_ack(whole=False)
        async with self._histories.read([run]):
            await self._context.send(self._context.mapper.run(run, parents, writes_deleted=writes_deleted), ack)
        if ack is not None:
            start = run.info.start_time or 0
            ack.seal([Window(run.info.experiment_id, start, start + 1, 1, 1, 0)])

    async def _written(self, runs: Sequence[Run]) -> set[str]:
        """Return the ids of the runs that are crawled, and whose experiments can be mapped."""
        memory, choice = self._context.progress.memory, self._context.choice
        if memory is None:
            return set()
        chosen = [run for run in runs if self._parents.are_of(run.info.experiment_id) and choice.writes(run)]
        passing = await self._context.client.runs.passing(chosen, choice.filter.text)
        chosen = [run for run in chosen if run.info.run_id in passing]
        unread = [each for each in _experiments_of(chosen) if not await self._knows_experiment(each)]
        memory.experiments.forget(unread)
        return {run.info.run_id for run in chosen if run.info.experiment_id not in unread}

    async def _knows_experiment(self, experiment_id: str) -> bool:
        """Return whether the mapper knows an experiment, or gets to know it. False where MLflow does not give it."""
        if self._context.mapper.container_of(experiment_id) is not None:
            return True
        try:
            self._context.mapper.experiment(await self._context.client.experiment(experiment_id))
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._context.listener(EXPERIMENT_UNREAD.found(f"{experiment_id}: {error}"))
            return False
        return True


def _experiments_of(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.info.experiment_id for run in runs))
