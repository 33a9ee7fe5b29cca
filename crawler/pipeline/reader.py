"""The order of reading: stages, models, prompts, their versions, experiments with runs, then what is left over."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from crawler.checkpoint.intervals import EVERYTHING
from crawler.checkpoint.protocol import Progress
from crawler.config.selection import Selection
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Experiment
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.resources import EVALUATION_DATASETS, EXPERIMENTS, PROMPT_VERSIONS, PROMPTS, REGISTERED_MODELS
from crawler.mlflow.server_version import is_older
from crawler.pipeline.changed_runs import changed_runs
from crawler.pipeline.evaluation_datasets import EvaluationDatasetStage
from crawler.pipeline.experiment_sets import ExperimentSet, even_size, experiment_sets
from crawler.pipeline.listings import Listings
from crawler.pipeline.parent_runs import ParentRuns
from crawler.pipeline.plan import Stretch
from crawler.pipeline.registry_stage import RegistryStage
from crawler.pipeline.run_stage import RemovalsOf, RunStage, Send
from crawler.pipeline.trace_counts import TraceCounts
from crawler.pipeline.version_runs import VersionRuns
from crawler.pipeline.workspaces import choose_workspace
from crawler.telemetry.events import ExperimentDone, ExperimentsListed, Listener, RowsRead, RowsSkipped, SourceOpened
from crawler.telemetry.findings.reading import NOT_READ, NULL_START_TIME_UNKNOWN, UNREADABLE


class Reader:
    """Reads one MLflow server once and sends what its rows map to. What `progress` says is done is not read again."""

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        send: Send,
        listener: Listener,
        workers: int,
        progress: Progress,
        selection: Selection,
        removals_of: RemovalsOf | None = None,
    ) -> None:
        """Read what is selected, at most `workers` pages at a time."""
        self._client = client
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._progress = progress
        self._selection = selection
        self._removes = removals_of is not None
        self._experiment_ids: list[str] = []
        self._to_read = 0
        self._listings = Listings(client, listener)
        self._registry = RegistryStage(self._listings, mapper, send, listener, workers)
        self._prompts = RegistryStage(self._listings, mapper, send, listener, workers, PROMPTS, PROMPT_VERSIONS)
        self._evaluation_datasets = EvaluationDatasetStage(client, self._listings, mapper, listener, workers)
        self._trace_counts = TraceCounts(client, listener)
        self._parents = ParentRuns(client, listener)
        self._runs = RunStage(client, mapper, send, listener, progress, self._parents, workers, removals_of)
        self._version_runs = VersionRuns(client, mapper, send, listener, progress, self._parents, workers)
        self._is_complete = False

    async def read(self) -> None:
        """Read the whole server; a listing that fails costs only itself. Raises ServerError where it cannot go on."""
        version = await self._client.version()
        self._listener(SourceOpened(self._client.url, version))
        if (workspace := await choose_workspace(self._client, version, self._listener)) is not None:
            self._mapper.in_workspace(workspace)
        await self._send(self._mapper.stages(), None)
        await self._registry.read()
        await self._read_prompts(version)
        await self._send(self._mapper.versions_complete(), None)
        await self._read_evaluation_datasets(version)
        await self._runs.read(self._plan_runs(version))
        await self._version_runs.find(self._experiment_ids)
        await self._name_null_start_times()
        self._listings.tell_nothing()
        self._is_complete = True

    def held(self) -> Iterator[Entity]:
        """Yield what was held back, however the reading ended.

        With a checkpoint it waits for the crawl that goes on: later runs may say other things of the same datasets.
        """
        if self._is_complete or not self._progress.is_kept:
            for urn in self._mapper.waiting_versions():
                self._listener(NOT_READ.found(urn))
            yield from self._mapper.held()

    async def _read_prompts(self, version: str | None) -> None:
        """Read them where the registry may have any; the version of one beside the tracking server is not known."""
        if self._client.registry_url != self._client.url:
            version = None
        no_models = self._listings.error_of(REGISTERED_MODELS)
        has_registry = no_models is None or not is_missing(no_models)
        if self._selection.include.prompts and has_registry and not is_older(version, 2, 21):
            await self._prompts.read()
            for listing in (PROMPTS, PROMPT_VERSIONS):
                self._listings.forgive_missing(listing, or_refused=version is None)

    async def _read_evaluation_datasets(self, version: str | None) -> None:
        """Take them before any run, which may have been given one."""
        if self._selection.include.evaluation_datasets and not is_older(version, 3, 4):
            await self._evaluation_datasets.read()
            self._listings.forgive_missing(EVALUATION_DATASETS, or_refused=version is None)

    async def _traces_of(self, experiments: Sequence[Experiment], version: str | None) -> dict[str, int]:
        """Return how many traces each experiment has that has any, by its id."""
        if not self._selection.include.trace_counts or is_older(version, 3, 9):
            return {}
        ids = [experiment.experiment_id for experiment in experiments]
        return await self._trace_counts.of(ids, is_expected=version is not None)

    async def _plan_runs(self, version: str | None) -> AsyncIterator[ExperimentSet]:
        """Send the containers of all active experiments, and yield them in sets, a page of the listing at a time."""
        async for step in self._listings.steps(EXPERIMENTS):
            self._listings.tell_failures()
            self._experiment_ids += [experiment.experiment_id for experiment in step.rows]
            active = [experiment for experiment in step.rows if experiment.lifecycle_stage != "deleted"]
            self._listener(RowsRead(EXPERIMENTS.name, len(active)))
            if deleted := [experiment for experiment in step.rows if experiment.lifecycle_stage == "deleted"]:
                self._listener(RowsSkipped("deleted experiments", len(deleted)))
                self._mapper.deleted_experiments(deleted)
            self._parents.add_experiments((each.experiment_id for each in active), are_last=step.is_last)
            traces = await self._traces_of(active, version)
            await self._send(
                (self._mapper.experiment(each, traces.get(each.experiment_id, 0)) for each in active), None
            )
            self._note_listed(step.rows)
            if step.is_last:
                self._listener(ExperimentsListed())
            names = {experiment.experiment_id: experiment.name for experiment in active}
            del step, active, deleted
            for experiment_set in experiment_sets(self._client.url, names, self._stretches, self._set_size):
                yield experiment_set
        await self._listings.require_any()
        self._listings.tell_failures()

    def _note_listed(self, experiments: Iterable[Experiment]) -> None:
        """Note a page of experiments for the crawls that follow."""
        if self._progress.memory is None:
            return
        looks: dict[str, str] = {}
        deleted: list[str] = []
        for experiment in experiments:
            container = self._mapper.container_of(experiment.experiment_id)
            if container is None:
                deleted.append(experiment.experiment_id)
            else:
                # Its time tells of one that was deleted and restored, which its tags and runs do not move.
                looks[experiment.experiment_id] = f"{container} {experiment.last_update_time}"
        self._progress.memory.experiments.listed(looks, deleted)

    def _stretches(self, experiment_id: str) -> list[Stretch]:
        """Return what is to be read of an experiment: what no earlier crawl has read, and what may have changed."""
        gaps = self._progress.gaps(experiment_id)
        stretches = [Stretch(*bounds) for bounds in gaps]
        memory = self._progress.memory
        if memory is not None and memory.is_known(experiment_id):
            stretches += changed_runs(memory.scope, deleted=self._removes)
        elif gaps != [EVERYTHING]:
            self._client.runs.null_start_times.resume_count(experiment_id, self._progress.rows(experiment_id))
        if stretches:
            self._to_read += 1
        else:
            self._mapper.forget([experiment_id])
            self._listener(ExperimentDone())
        return stretches

    def _set_size(self, stretches: Sequence[Stretch]) -> int:
        limit = self._client.runs.experiment_ids.ids
        # What a condition finds is little: then it is the searches that cost.
        return limit if any(stretch.condition for stretch in stretches) else even_size(self._to_read, limit)

    async def _name_null_start_times(self) -> None:
        """Name the experiments that have runs without start time, which no page shows."""
        found = await self._client.runs.null_start_times.find()
        for text in found.unreadable:
            self._listener(UNREADABLE["runs"].found(text))
        for text in found.unknown:
            self._listener(NULL_START_TIME_UNKNOWN.found(text))
