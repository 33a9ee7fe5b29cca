"""The order of reading: models, prompts, their versions, experiments with runs, what is left over, logged models."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from crawler.checkpoint.intervals import EVERYTHING
from crawler.datahub.proposals import Entity
from crawler.mlflow.entities import Experiment
from crawler.mlflow.resources import EVALUATION_DATASETS, EXPERIMENTS, PROMPT_VERSIONS, PROMPTS, REGISTERED_MODELS
from crawler.pipeline.changed_runs import changed_runs
from crawler.pipeline.evaluation_datasets import EvaluationDatasetStage
from crawler.pipeline.experiment_sets import ExperimentSet, even_size, experiment_sets
from crawler.pipeline.listings import Listings
from crawler.pipeline.logged_model_stage import LoggedModelStage
from crawler.pipeline.metric_histories import MetricHistories
from crawler.pipeline.model_files import ModelFiles
from crawler.pipeline.newer_listings import (
    asks_evaluation_datasets,
    asks_logged_models,
    asks_prompts,
    asks_trace_counts,
)
from crawler.pipeline.newest_runs import find_newest
from crawler.pipeline.parent_runs import ParentRuns
from crawler.pipeline.plan import Stretch
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.registry_stage import RegistryStage
from crawler.pipeline.run_stage import RunStage
from crawler.pipeline.trace_counts import TraceCounts
from crawler.pipeline.version_runs import VersionRuns
from crawler.settings.patterns import ALL
from crawler.telemetry.events import (
    ExperimentDone,
    ExperimentsListed,
    RowsRead,
    RowsSkipped,
    rows_left_out,
)
from crawler.telemetry.findings.reading import NOT_READ, NULL_START_TIME_UNKNOWN, UNREADABLE


class Reader:
    """Reads one MLflow server without workspaces, or one of them, once, and sends what its rows map to."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._experiment_ids: list[str] = []
        """Of all experiments that are listed, chosen or not."""
        self._unbounded: set[str] = set()
        """Ids of experiments of which it could not be told where their newest runs begin."""
        self._to_read = 0
        selection = context.selection
        self._listings = Listings(context.client, context.listener, asks_registry=selection.include.registered_models)
        self._parents = ParentRuns(context)
        self._files = ModelFiles(context)
        histories = MetricHistories(context)
        self._registry = RegistryStage(
            context, self._listings, selection.registered_model_pattern, takes_prompts=selection.include.prompts
        )
        self._prompts = RegistryStage(context, self._listings, ALL, PROMPTS, PROMPT_VERSIONS)
        self._evaluation_datasets = EvaluationDatasetStage(context, self._listings)
        self._trace_counts = TraceCounts(context.client, context.listener)
        self._runs = RunStage(context, self._parents, self._files, histories)
        self._version_runs = VersionRuns(context, self._parents, self._files, histories)
        self._logged_models: LoggedModelStage | None = None

    async def read(self, version: str | None, *, registry: bool = True) -> None:
        """Read all of it from an MLflow of this version, models and prompts only with `registry`.

        A listing that fails costs only itself. Raises ServerError, or the server's refusal, where it cannot go on.
        """
        if registry:
            await self._read_registry(version)
        await self._read_evaluation_datasets(version)
        if asks_logged_models(self._context.selection.include, version):
            self._context.mapper.expect_logged_models()
            self._logged_models = LoggedModelStage(self._context, version)
        await self._runs.read(self._plan_runs(version))
        await self._version_runs.find(self._experiment_ids)
        if self._logged_models is not None:
            await self._logged_models.read()
        await self._name_null_start_times()

    @property
    def lists_nothing(self) -> bool:
        """Whether it has neither models nor experiments."""
        return self._listings.are_empty

    def tell_notices(self) -> None:
        """Tell the findings about rows that were mapped since the last call."""
        for finding in self._context.mapper.take_notices():
            self._context.listener(finding)

    def held_rows(self) -> Iterator[Entity]:
        """Yield what was held back of its rows, however the reading ended."""
        for urn in self._context.mapper.waiting_versions():
            self._context.listener(NOT_READ.found(urn))
        yield from self._context.mapper.held_rows()

    async def _read_registry(self, version: str | None) -> None:
        if self._context.selection.include.registered_models:
            await self._registry.read()
        await self._read_prompts(version)
        await self._files.read_of_no_run()
        await self._context.send(self._context.mapper.versions_complete(), None)

    async def _read_prompts(self, version: str | None) -> None:
        """Read them where the registry may have any; the version of one beside the tracking server is not known."""
        version = self._context.client.version_of_registry(version)
        if asks_prompts(self._context.selection.include, version) and not self._listings.lacks(REGISTERED_MODELS):
            await self._prompts.read()
            # Versions are asked for where there are prompts only: there the server has them.
            self._listings.forgive_missing(PROMPTS, or_refused=version is None)

    async def _read_evaluation_datasets(self, version: str | None) -> None:
        """Take them before any run, which may have been given one."""
        if asks_evaluation_datasets(self._context.selection.include, version):
            await self._evaluation_datasets.read()
            self._listings.forgive_missing(EVALUATION_DATASETS, or_refused=version is None)

    async def _traces_of(self, experiments: Sequence[Experiment], version: str | None) -> dict[str, int]:
        """Return how many traces each experiment has that has any, by its id."""
        if not asks_trace_counts(self._context.selection.include, version):
            return {}
        ids = [experiment.experiment_id for experiment in experiments]
        return await self._trace_counts.of(ids, is_expected=version is not None)

    async def _plan_runs(self, version: str | None) -> AsyncIterator[ExperimentSet]:
        """Send the containers of all chosen experiments, and yield them in sets, a page of the listing at a time."""
        async for step in self._listings.steps(EXPERIMENTS):
            self._listings.tell_failures()
            listed = [experiment.experiment_id for experiment in step.rows]
            self._experiment_ids += listed
            # Before any name of an experiment passes by, and before its runs.
            await self._evaluation_datasets.read_of(listed, is_expected=version is not None)
            chosen = self._chosen(step.rows)
            self._parents.add_experiments((each.experiment_id for each in chosen), are_last=step.is_last)
            traces = await self._traces_of(chosen, version)
            mapper = self._context.mapper
            await self._context.send(
                (mapper.experiment(each, traces.get(each.experiment_id, 0)) for each in chosen), None
            )
            self._note_listed(step.rows)
            if self._logged_models is not None:
                self._logged_models.add(chosen)
            if step.is_last:
                self._context.listener(ExperimentsListed())
            await self._find_newest(chosen)
            names = {experiment.experiment_id: experiment.name for experiment in chosen}
            del step, chosen
            for experiment_set in experiment_sets(
                self._context.client.url, names, self._stretches, self._set_size, self._context.choice.filter
            ):
                yield experiment_set
        await self._listings.require_any()
        self._listings.tell_failures()

    def _chosen(self, listed: list[Experiment]) -> list[Experiment]:
        """Return the experiments of a page that are written, and tell of the others."""
        chosen, deleted, left_out = self._context.choice.divide_experiments(listed)
        self._context.listener(RowsRead(EXPERIMENTS.name, len(chosen)))
        if deleted:
            self._context.listener(RowsSkipped("deleted experiments", len(deleted)))
            self._context.mapper.deleted_experiments(deleted)
        if left_out:
            self._context.listener(rows_left_out(EXPERIMENTS.name, left_out, lambda experiment: experiment.name))
            self._context.mapper.left_out_experiments(left_out)
        return chosen

    async def _find_newest(self, experiments: Sequence[Experiment]) -> None:
        """Have only the newest runs of experiments read, where no more are chosen."""
        failed = await find_newest(self._context, experiments)
        self._unbounded.update(failed)
        if failed and self._context.progress.memory is not None:
            self._context.progress.memory.experiments.forget(failed)

    def _note_listed(self, experiments: Iterable[Experiment]) -> None:
        """Note a page of experiments for the crawls that follow."""
        if self._context.progress.memory is None:
            return
        looks: dict[str, str] = {}
        deleted: list[str] = []
        for experiment in experiments:
            container = self._context.mapper.container_of(experiment.experiment_id)
            if container is None:
                deleted.append(experiment.experiment_id)
            else:
                # Its time tells of one that was deleted and restored, which its tags and runs do not move.
                looks[experiment.experiment_id] = f"{container} {experiment.last_update_time}"
        self._context.progress.memory.experiments.listed(looks, deleted)

    def _stretches(self, experiment_id: str) -> list[Stretch]:
        """Return what is to be read of an experiment: what no earlier crawl has read, and what may have changed."""
        stretches = self._chosen_stretches(experiment_id)
        if stretches:
            self._to_read += 1
        else:
            self._context.mapper.forget([experiment_id])
            self._context.listener(ExperimentDone())
        return stretches

    def _chosen_stretches(self, experiment_id: str) -> list[Stretch]:
        if not self._context.choice.reads_runs or experiment_id in self._unbounded:
            return []
        since = self._context.choice.since_of(experiment_id)
        gaps = self._context.progress.gaps(experiment_id)
        stretches = [Stretch(*bounds) for bounds in gaps]
        memory = self._context.progress.memory
        if memory is not None and memory.is_known(experiment_id):
            needs_deleted = self._context.removals_of is not None or self._context.choice.writes_deleted
            stretches += changed_runs(memory.scope, deleted=needs_deleted)
        elif gaps != [EVERYTHING] and since is None:
            done = self._context.progress.rows(experiment_id)
            self._context.client.runs.null_start_times.resume_count(experiment_id, done)
        if since is None:
            return stretches
        return [part for stretch in stretches if (part := stretch.since_or_later(since)) is not None]

    def _set_size(self, stretches: Sequence[Stretch]) -> int:
        limit = self._context.client.runs.experiment_ids.ids
        # What a condition finds is little: then it is the searches that cost.
        return limit if any(stretch.condition for stretch in stretches) else even_size(self._to_read, limit)

    async def _name_null_start_times(self) -> None:
        """Name the experiments that have runs without start time, which no page shows."""
        found = await self._context.client.runs.null_start_times.find()
        for text in found.unreadable:
            self._context.listener(UNREADABLE["runs"].found(text))
        for text in found.unknown:
            self._context.listener(NULL_START_TIME_UNKNOWN.found(text))
