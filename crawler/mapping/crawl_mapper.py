"""Rows of one crawl → entities: the pure mapping of each row, with the reducers that remember across rows."""

from collections.abc import Callable, Iterable, Iterator

from msgspec import structs

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.aspects import Edge
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import DatasetMapper
from crawler.mapping.experiments import experiment_entity
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mapping.reducers.users import UserReducer
from crawler.mapping.reducers.versions import VersionIndex
from crawler.mapping.registered_models import registered_model_entity
from crawler.mapping.runs import RunContext, run_context, run_entity, run_user, unknown_context
from crawler.mapping.stages import stage_tags
from crawler.mlflow.entities import Experiment, ModelVersion, RegisteredModel, Run
from crawler.telemetry.findings import DATASET_PLATFORM_UNKNOWN, DATASET_SCHEMA_CUT, URN_TAKEN, Finding


class CrawlMapper:
    """Maps the rows of one crawl in the order of reading.

    The order: models and versions, `versions_complete`, experiments and their runs, the runs that versions still miss.
    `delivered(urn)` is true for entities that a resumed crawl already delivered.
    """

    def __init__(self, settings: MappingSettings, delivered: Callable[[str], bool] = lambda _urn: False) -> None:
        self._settings = settings
        self._delivered = delivered
        self._map_dataset_input = DatasetMapper(settings).use
        self._versions = VersionIndex(settings)
        self._users = UserReducer()
        self.datasets = DatasetReducer()
        self._contexts: dict[str, RunContext] = {}
        """What the runs of an experiment share, by its id."""
        self._notices: list[Finding] = []

    def in_workspace(self, name: str) -> None:
        """Name the workspace in all links. Call it before anything is mapped."""
        self._settings = structs.replace(self._settings, workspace=name)
        self._versions = VersionIndex(self._settings)

    def stages(self) -> list[Entity]:
        """Return the tags of MLflow's model stages."""
        return stage_tags()

    def registered_model(self, model: RegisteredModel) -> Entity:
        """Map a model to its group, and keep its aliases for its versions."""
        self._versions.add_model(model)
        return registered_model_entity(model, self._settings)

    def model_version(self, version: ModelVersion) -> list[Entity]:
        """Return the version's user, if new; the version itself is returned later, in order."""
        if taken_by := self._versions.add(version, self._delivered):
            self._notices.append(URN_TAKEN.found(f"{version.name} {version.version}: its URN is one of {taken_by}"))
            return []
        return self._users.take(version.user_id) if version.user_id else []

    def versions_complete(self) -> Iterator[Entity]:
        """Yield the versions that wait for no run, once all models and versions are mapped."""
        return self._versions.seal()

    def experiment(self, experiment: Experiment) -> Entity:
        """Map an experiment to its container; from now on its runs can be mapped."""
        self._contexts[experiment.experiment_id] = run_context(experiment, self._settings)
        return experiment_entity(experiment, self._settings)

    def forget(self, experiment_ids: Iterable[str]) -> None:
        """Drop what the runs of experiments share, once all of these runs are mapped."""
        for experiment_id in experiment_ids:
            self._contexts.pop(experiment_id, None)

    def run(self, run: Run) -> list[Entity]:
        """Map a run with its user, the datasets that it completes, and the versions that waited for it.

        A deleted run only completes versions.
        """
        if run.deleted:
            return self._versions.take(run)
        context = self._contexts.get(run.info.experiment_id)
        if context is None:
            context = unknown_context(run.info.experiment_id, self._settings)
        entities = self._users.take(run_user(run))
        inputs = self._inputs(run, entities) if run.inputs else ()
        entities.append(run_entity(run, context, inputs, self._versions.outputs(run.info.run_id)))
        entities += self._versions.take(run)
        return entities

    @property
    def missing_runs(self) -> list[str]:
        """Run ids that versions name and that were not mapped."""
        return self._versions.unseen

    def found_run(self, run: Run) -> list[Entity]:
        """Return the versions that waited for a run which is not crawled itself."""
        return self._versions.take(run)

    def lost_runs(self, run_ids: Iterable[str]) -> Iterator[Entity]:
        """Yield the versions of runs that do not exist."""
        return self._versions.give_up(run_ids)

    def waiting_versions(self) -> list[str]:
        """Return the URNs of the versions whose run was not mapped."""
        return self._versions.waiting()

    def held(self) -> Iterator[Entity]:
        """Yield what the reducers hold at the end of the crawl, early or not: versions out of order, datasets."""
        yield from self._versions.finish()
        yield from self.datasets.finish()

    def take_notices(self) -> list[Finding]:
        """Return the findings about rows mapped since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _inputs(self, run: Run, completed: list[Entity]) -> list[Edge]:
        """Return the run's edges to its datasets, each once; datasets that it completes are added to `completed`."""
        edges: list[Edge] = []
        for dataset_input in run.inputs.dataset_inputs if run.inputs else ():
            use = self._map_dataset_input(dataset_input)
            if use.warning:
                self._notices.append(DATASET_SCHEMA_CUT.found(use.warning))
            if use.failure:
                self._notices.append(DATASET_PLATFORM_UNKNOWN.found(f"run {run.info.run_id}: {use.failure}"))
            # An edge to a dataset that DataHub cannot take would lead nowhere.
            if use.edge and use.edge not in edges and not urns.problem(use.edge.destination_urn):
                edges.append(use.edge)
            for dataset in use.entities:
                completed += self.datasets.merge(dataset, run)
        return edges
