"""All that a crawl must remember to map MLflow's rows: which versions a run made, which users and datasets are
written already.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.aspects import Edge
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import DatasetMapper
from crawler.mapping.experiments import experiment_entity
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mapping.reducers.versions import VersionIndex
from crawler.mapping.registered_models import registered_model_entity
from crawler.mapping.runs import RunContext, run_context, run_entity, run_user
from crawler.mapping.stages import stage_tags
from crawler.mapping.users import user_entity
from crawler.mlflow.entities import Experiment, ModelVersion, RegisteredModel, Run

REMEMBERED_USERS = 100_000


class MappingNotice(msgspec.Struct, frozen=True):
    """Something to tell the user about one row: a warning, or a failure where something of it is not written."""

    code: str
    sample: str
    failure: bool = False


class CrawlMapper:
    """Maps the rows of one crawl in the order of reading: models, versions, `versions_complete`, experiments with
    runs, rest.

    Pure but for its memory. `delivered` tells of which URNs an earlier part of this crawl was rid of.
    """

    def __init__(self, settings: MappingSettings, delivered: Callable[[str], bool] = lambda _urn: False) -> None:
        self._settings = settings
        self._delivered = delivered
        self._versions = VersionIndex(settings)
        self._dataset_mapper = DatasetMapper(settings)
        self.datasets = DatasetReducer()
        self._users = SeenKeys(REMEMBERED_USERS)
        self._remarks: list[MappingNotice] = []
        self._contexts: dict[str, RunContext] = {}

    def stages(self) -> list[Entity]:
        """The tags of MLflow's model stages."""
        return stage_tags()

    def registered_model(self, model: RegisteredModel) -> Entity:
        """The model's group; its aliases are kept for its versions."""
        self._versions.add_model(model)
        return registered_model_entity(model, self._settings)

    def model_version(self, version: ModelVersion) -> list[Entity]:
        """The version's user, if new; the version itself waits until it can leave in order."""
        if taken_by := self._versions.add(version, self._delivered):
            sample = f"{version.name} {version.version}: its URN is one of {taken_by}"
            self._remarks.append(MappingNotice("urn_taken", sample, failure=True))
        elif version.user_id and self._users.first(version.user_id):
            return [user_entity(version.user_id)]
        return []

    def versions_complete(self) -> Iterator[Entity]:
        """The versions that wait for no run."""
        return self._versions.seal()

    def experiment(self, experiment: Experiment) -> Entity:
        """The experiment's container."""
        self._contexts[experiment.experiment_id] = run_context(experiment, self._settings)
        return experiment_entity(experiment, self._settings)

    def runs_of(self, experiment: Experiment) -> RunContext:
        """What the runs of one experiment share; `run` wants it."""
        return run_context(experiment, self._settings)

    def run(self, run: Run, context: RunContext | None = None) -> list[Entity]:
        """The run with its user and settled datasets, and the versions that waited for it. A deleted run only frees
        versions.
        """
        context = context or self._contexts[run.info.experiment_id]
        entities: list[Entity] = []
        if not run.deleted:
            user = run_user(run)
            if self._users.first(user):
                entities.append(user_entity(user))
            inputs = self._inputs(run, entities) if run.inputs else []
            entities.append(run_entity(run, context, inputs, self._versions.outputs(run.info.run_id)))
        entities += self._versions.resolve(run)
        return entities

    @property
    def missing_runs(self) -> list[str]:
        """Run ids that versions name and that did not come by."""
        return self._versions.unseen

    def found_run(self, run: Run) -> list[Entity]:
        """The versions that waited for a run which is not crawled itself."""
        return self._versions.resolve(run)

    def lost_runs(self, run_ids: Iterable[str]) -> Iterator[Entity]:
        """The versions whose run is nowhere."""
        return self._versions.give_up(run_ids)

    def waiting_versions(self) -> list[str]:
        """The URNs of the versions whose run did not come by before the crawl ended."""
        return self._versions.waiting()

    def held(self) -> Iterator[Entity]:
        """What is mapped and was held back, at the end of the crawl, early or not: datasets, versions out of turn."""
        yield from self._versions.ready()
        yield from self.datasets.drain()

    def take_notices(self):
        from crawler.telemetry import findings

        table = {k.code: k for k in findings.CATALOGUE}
        return [table[r.code].found(r.sample) for r in self.take_remarks()]

    def take_remarks(self) -> list[MappingNotice]:
        """What the user should know of the rows mapped since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def _inputs(self, run: Run, settled: list[Entity]) -> list[Edge]:
        """The run's edges to the datasets that it used, each once; datasets that are settled by it are added."""
        edges: list[Edge] = []
        for dataset_input in run.inputs.dataset_inputs if run.inputs else ():
            use = self._dataset_mapper.use(dataset_input)
            if use.warning:
                self._remarks.append(MappingNotice("dataset_schema_cut", use.warning))
            if use.failure:
                self._remarks.append(
                    MappingNotice("dataset_platform_unknown", f"run {run.info.run_id}: {use.failure}", failure=True)
                )
            # An edge to a dataset that DataHub cannot take would lead nowhere.
            if use.edge and use.edge not in edges and not urns.problem(use.edge.destination_urn):
                edges.append(use.edge)
            for dataset in use.entities:
                settled += self.datasets.offer(dataset, run)
        return edges
