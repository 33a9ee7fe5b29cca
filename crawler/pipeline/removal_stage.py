"""The stage of stale removal, after all is read: decides on what vanished, and marks it as removed."""

from collections.abc import AsyncIterator, Iterable

from msgspec import structs

from crawler.config.settings import MappingSettings, MlflowSettings
from crawler.errors import CrawlerError
from crawler.mapping.experiments import container_urn
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Experiment
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.plan import runs_of
from crawler.pipeline.run_stage import RemovalsOf, Send
from crawler.pipeline.source import RunSource
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.removal.open_removal import Removal
from crawler.removal.stale import Absent, Evidence, Verdict, Why, possible_names
from crawler.telemetry.events import Listener, RowsSkipped
from crawler.telemetry.findings import EXPERIMENT_UNREAD, UNREADABLE

DELETED_RUNS = "deleted runs"
_CONTAINER = "container"


class RemovalStage:
    """Marks as removed what the crawl did not list, as far as that means anything."""

    def __init__(
        self,
        client: MlflowClient,
        settings: MlflowSettings,
        mapping: MappingSettings,
        removal: Removal,
        listener: Listener,
        send: Send,
    ) -> None:
        self._client = client
        self._settings = settings
        self._mapping = mapping
        self._removal = removal
        self._send = send
        self._listener = listener
        self._deleted: dict[str, Experiment] = {}
        """Deleted experiments by the URN of their container."""
        self._with_unread_runs: set[str] = set()

    @property
    def removals_of(self) -> RemovalsOf:
        """Return what marks the deleted ones of some runs as removed."""
        return self._removal.deleted_runs.removals

    def add_deleted(self, experiments: Iterable[Experiment]) -> None:
        """Note experiments that MLflow lists as deleted."""
        self._deleted |= {container_urn(experiment, self._mapping): experiment for experiment in experiments}

    async def run(self) -> None:
        """Decide, mark the runs of experiments that were deleted, then all that is stale."""
        stale = self._removal.stale
        absent = await self._with_shown(stale.absent())
        verdicts = stale.decide(absent, await self._evidence(absent))
        await self._remove_runs(verdict.urn for verdict in verdicts if verdict.is_removed)
        verdicts = [
            Verdict(each.urn, is_removed=False, why=Why.RUNS_UNREAD) if each.urn in self._with_unread_runs else each
            for each in verdicts
        ]
        await self._send(stale.conclude(verdicts, absent.percent, self._listener), None)

    async def _with_shown(self, absent: Absent) -> Absent:
        """Add the experiments that MLflow lists as deleted and DataHub shows, whoever wrote them there."""
        others = [urn for urn in self._deleted if urn not in {*absent.urns, *self._removal.stale.record.urns}]
        if not others or self._removal.stale.record.failures or not self._removal.shown.are_known:
            return absent
        return structs.replace(absent, urns=[*absent.urns, *await self._removal.shown.of(_CONTAINER, others)])

    async def _evidence(self, absent: Absent) -> Evidence:
        record = self._removal.stale.record
        evidence = Evidence(
            failures=record.failures,
            is_resumed=record.is_resumed,
            empty=record.empty,
            deleted=self._deleted,
            is_confirmed=self._removal.is_confirmed,
        )
        is_certain = not absent.urns or evidence.is_confirmed or evidence.failures
        if is_certain or not await self._client.may_hide(self._settings):
            return evidence
        found = {group: await self._has_model(group) for group in absent.unlisted_groups}
        return structs.replace(
            evidence,
            may_hide=True,
            missing_models={group for group, is_there in found.items() if is_there is False},
            existing_models={group for group, is_there in found.items() if is_there},
        )

    async def _has_model(self, group: str) -> bool | None:
        """Ask MLflow for the model of a group; None where it does not tell."""
        answers = [await self._client.has_model(name) for name in possible_names(group)]
        return True if True in answers else None if None in answers else False

    async def _remove_runs(self, containers: Iterable[str]) -> None:
        """Mark the runs of those of these experiments that MLflow lists as deleted, several experiments at a time."""

        async def deleted() -> AsyncIterator[str]:
            for urn in containers:
                if urn in self._deleted:
                    yield urn

        async def work(urn: str, _queue: WorkStealingQueue[str]) -> None:
            try:
                await self._remove_runs_of(self._deleted[urn])
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                self._with_unread_runs.add(urn)
                experiment = self._deleted[urn]
                self._listener(EXPERIMENT_UNREAD.found(f"{experiment.experiment_id} {experiment.name}: {error}"))

        await work_through(deleted(), work, self._settings.tracking.concurrency)

    async def _remove_runs_of(self, experiment: Experiment) -> None:
        (partition,) = runs_of(self._client.url, [experiment.experiment_id])
        source = RunSource(partition, self._client.runs)
        while not source.is_done:
            async with source.next_step(hurry=False) as step:
                for text in step.unreadable:
                    self._listener(UNREADABLE["runs"].found(text))
                deleted = sum(run.deleted for run in step.rows)
                self._listener(RowsSkipped(DELETED_RUNS, deleted))
                await self._send(await self.removals_of(step.rows), None)
