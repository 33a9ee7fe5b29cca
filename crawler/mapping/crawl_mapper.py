"""Rows of one crawl → entities: the pure mapping of each row, with the reducers that remember across rows."""

from collections.abc import Callable, Container, Iterable, Iterator

from msgspec import structs

from crawler.datahub.proposals import Entity
from crawler.mapping.cleaning import Listed, clean_logged_model, clean_row, clean_run
from crawler.mapping.experiments import container_urn, experiment_entity
from crawler.mapping.logged_models import (
    PointKey,
    is_logged_model,
    logged_model_entity,
    logged_model_urn,
)
from crawler.mapping.metric_history import MetricHistory
from crawler.mapping.model_versions import extract_of, model_urn
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mapping.reducers.evaluation_datasets import EvaluationDatasetIndex
from crawler.mapping.reducers.registrations import Registrations
from crawler.mapping.reducers.users import UserReducer
from crawler.mapping.reducers.versions import VersionIndex
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.run_edges import RunEdges
from crawler.mapping.runs import RunContext, run_context, run_entity, run_user, unknown_context
from crawler.mapping.stages import stage_tags
from crawler.mapping.users import user_urn
from crawler.mapping.witness import NoWitness, Witness
from crawler.mapping.workspaces import of_workspace
from crawler.mlflow.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    ModelVersion,
    RegisteredModel,
    Run,
    is_prompt,
)
from crawler.mlflow.model_file import ModelFile
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.mapping import (
    URL_CREDENTIALS,
    URN_TAKEN,
)


class CrawlMapper:
    """Maps the rows of one crawl in the order of reading.

    The order: models and prompts with their versions, `versions_complete`, evaluation datasets, experiments and their
    runs, the runs that versions still miss, logged models. Runs have these as outputs only after
    `expect_logged_models`.
    `delivered(urn)` is true for entities that a resumed crawl already delivered. `noted(urn)` returns the note of an
    entity that an earlier crawl delivered, where this one does not read everything; without it there are no notes.
    `witness` sees stages, models, versions, experiments, datasets and the users of runs, delivered or not; prompts,
    evaluation datasets and logged models as our own. `users` and `datasets` are those of another workspace's mapper.
    """

    def __init__(
        self,
        settings: MappingSettings,
        delivered: Callable[[str], bool] = lambda _urn: False,
        noted: Callable[[str], bytes] | None = None,
        witness: Witness | None = None,
        *,
        users: UserReducer | None = None,
        datasets: DatasetReducer | None = None,
    ) -> None:
        self._settings = settings
        self._noted = noted
        self._witness = witness or NoWitness()
        self._cleans = not settings.keep_url_credentials
        self._delivered = delivered
        self._versions = VersionIndex(settings, noted)
        self._registrations = Registrations()
        self._like_logged_models: set[str] = set()
        """URNs of versions that a logged model could have: somebody tried hard."""
        self._evaluation_datasets = EvaluationDatasetIndex(settings)
        self._users = UserReducer() if users is None else users
        self.datasets = DatasetReducer(noted=noted) if datasets is None else datasets
        self._contexts: dict[str, RunContext] = {}
        """What the runs of an experiment share, by its id."""
        self._histories: dict[str, dict[str, MetricHistory]] = {}
        """Of metrics by their names, of runs that are about to be mapped, by their ids."""
        self._notices: list[Finding] = []
        self._edges = RunEdges(settings, self.datasets, self._evaluation_datasets, self._witness, self._notices.append)

    def in_workspace(self, name: str, *, is_only: bool = False) -> "CrawlMapper":
        """Return what maps the rows of a workspace. Users and datasets are those of all workspaces, each mapped once.

        If it `is_only` one that is read, it is mapped as if there were no other.
        """
        settings = structs.replace(self._settings, workspace=name) if is_only else of_workspace(self._settings, name)
        return CrawlMapper(
            settings, self._delivered, self._noted, self._witness, users=self._users, datasets=self.datasets
        )

    def expect_logged_models(self) -> None:
        """Have runs lead to the logged models that they made from now on, since these are written, too."""
        self._edges.expect_logged_models()

    def stages(self) -> list[Entity]:
        """Return the tags of MLflow's model stages."""
        stages = stage_tags()
        for stage in stages:
            self._witness.see(stage.urn)
        return stages

    def registered_model(self, model: RegisteredModel) -> None:
        """Take a model or a prompt; its group is returned later, when all versions are known."""
        model = self._cleaned(model, f"registered model {model.name}")
        self._see_model(model_group_urn(model.name, self._settings), model)
        self._versions.add_model(model)

    def model_version(self, version: ModelVersion) -> list[Entity]:
        """Return the version's user, if new; the version itself is returned later, in order."""
        source = version.source
        # Nothing of it is written, so it has nothing to hide that would have to be told.
        version = structs.replace(version, source="") if "@" in source or "%" in source else version
        version = self._cleaned(version, f"model version {version.name} {version.version}")
        version = version if version.source == source else structs.replace(version, source=source)
        if taken_by := self._versions.add(version, self._delivered):
            self._notices.append(URN_TAKEN.found(f"{version.name} {version.version}: its URN is one of {taken_by}"))
            return []
        urn = model_urn(version.name, version.version, self._settings)
        if self._see_model(urn, version):
            self._edges.add_prompt_version(urn)
        self._registrations.add(version)
        if is_logged_model(urn):
            self._like_logged_models.add(urn)
        return self._users.take(version.user_id) if version.user_id else []

    def hidden_version(self, version: ModelVersion) -> None:
        """Take a version that is not written, since its model is not listed: both may well be there."""
        version = self._clean(version)
        self._see_model(model_group_urn(version.name, self._settings), version)
        self._see_model(model_urn(version.name, version.version, self._settings), version)

    def left_out_models(self, models: Iterable[RegisteredModel]) -> None:
        """Take models that are not chosen: they are not written."""
        for model in models:
            self._witness.leave_out(model_group_urn(self._clean(model).name, self._settings))

    def left_out_versions(self, versions: Iterable[ModelVersion]) -> None:
        """Take versions of such models."""
        for version in map(self._clean, versions):
            self._witness.leave_out(model_urn(version.name, version.version, self._settings))

    def versions_complete(self) -> Iterator[Entity]:
        """Yield the groups, and the versions that wait for no run, once all models and versions are taken."""
        return self._versions.seal()

    def evaluation_dataset(self, dataset: EvaluationDataset) -> None:
        """Take an evaluation dataset; it is returned at the end, when the names of its experiments are known."""
        dataset = self._cleaned(dataset, f"evaluation dataset {dataset.dataset_id}")
        self._witness.see_own(self._evaluation_datasets.add(dataset))

    def experiment(self, experiment: Experiment, traces: int = 0) -> Entity:
        """Map an experiment with so many `traces` to its container; from now on its runs can be mapped."""
        # By its name as MLflow has it: nobody reads a guid.
        urn = container_urn(experiment, self._settings)
        self._witness.see(urn)
        experiment = self._cleaned(experiment, f"experiment {experiment.experiment_id}")
        self._contexts[experiment.experiment_id] = run_context(urn, experiment, self._settings)
        self._evaluation_datasets.name_experiment(experiment.experiment_id, experiment.name)
        return experiment_entity(urn, experiment, self._settings, traces)

    def deleted_experiments(self, experiments: Iterable[Experiment]) -> None:
        """Take experiments that are in MLflow's trash: they are not written."""
        for experiment in experiments:
            urn = container_urn(experiment, self._settings)
            self._witness.see_deleted(urn, experiment, self._settings.workspace)
            self._name_for_datasets(experiment)

    def left_out_experiments(self, experiments: Iterable[Experiment]) -> None:
        """Take experiments that are not chosen: they are not written."""
        for experiment in experiments:
            self._witness.leave_out(container_urn(experiment, self._settings))
            self._name_for_datasets(experiment)

    def container_of(self, experiment_id: str) -> str | None:
        """Return the URN of the container of an experiment whose runs can be mapped, None for another one."""
        context = self._contexts.get(experiment_id)
        return None if context is None else context.container[0].container if context.container else None

    def forget(self, experiment_ids: Iterable[str]) -> None:
        """Drop what the runs of experiments share, once all of these runs are mapped."""
        for experiment_id in experiment_ids:
            self._contexts.pop(experiment_id, None)

    def run(
        self, run: Run, parents: Container[str] = (), *, writes_deleted: bool = False, is_clean: bool = False
    ) -> list[Entity]:
        """Map a run with its user, the datasets that it completes, and the versions that waited for it.

        A deleted run only completes versions, unless deleted ones are written. `parents` are the ids of runs that are
        written too: no other run is named as its parent. URLs of one that `is_clean` are known to hold no credentials.
        """
        if self._cleans and not is_clean:
            run = self._cleaned_run(run)
        if run.deleted and not writes_deleted:
            return self._versions.take(run)
        context = self._contexts.get(run.info.experiment_id)
        if context is None:
            context = unknown_context(run.info.experiment_id, self._settings)
        user = run_user(run)
        actor = user_urn(user)
        self._witness.see(actor)
        entities = self._users.take(user)
        inputs = self._edges.inputs(run, entities)
        outputs = self._edges.outputs(run, self._versions.outputs(run.info.run_id))
        histories = self._histories.pop(run.info.run_id, None) if self._histories else None
        entities.append(run_entity(run, actor, context, inputs, outputs, parents, histories))
        entities += self._versions.take(run)
        return entities

    def metric_history(self, run_id: str, key: str, history: MetricHistory) -> None:
        """Take the history of a metric of a run that will be mapped."""
        self._histories.setdefault(run_id, {})[key] = history

    def versions_without_signature(self, runs: Iterable[Run]) -> list[ModelVersion]:
        """Return the versions that are mapped with these runs, and of whose signature the runs do not tell."""
        return [
            version
            for run in runs
            for version in self._versions.of_run(run.info.run_id)
            if (extract := extract_of(version, run)) is None or extract.signature is None
        ]

    def versions_of_lost(self, run_ids: Iterable[str]) -> list[ModelVersion]:
        """Return the versions that are mapped by `lost_runs`."""
        return self._versions.of_lost(run_ids)

    def versions_without_run(self) -> list[ModelVersion]:
        """Return the versions that are mapped by `versions_complete`."""
        return self._versions.of_no_run()

    def model_file(self, version: ModelVersion, file: ModelFile | None) -> None:
        """Take the MLmodel of one of these versions; None where it could not be read now."""
        self._versions.add_file(version, file)

    @property
    def missing_runs(self) -> list[str]:
        """Run ids that versions name and that were not mapped."""
        return self._versions.unseen

    def found_run(self, run: Run) -> Iterator[Entity]:
        """Yield the versions that waited for a run which is not crawled itself."""
        # They are released where they are sent, or another sender could come between and change their order.
        yield from self._versions.take(self._cleaned_run(run) if self._cleans else run)

    def lost_runs(self, run_ids: Iterable[str], *, unread: bool = False) -> Iterator[Entity]:
        """Yield the versions of runs that do not exist, or are `unread`."""
        return self._versions.give_up(run_ids, unread=unread)

    def logged_model(
        self, model: LoggedModel, container: str | None, nans: Container[PointKey] = frozenset()
    ) -> list[Entity]:
        """Map a logged model in the container of its experiment. `nans` are points that MLflow lists as 0.0."""
        name = f"logged model {model.info.model_id}"
        urn = logged_model_urn(model.info.model_id, self._settings)
        if urn in self._like_logged_models:
            self._notices.append(URN_TAKEN.found(f"{name}: its URN is one of a model version"))
            return []
        self._witness.see_own(urn)
        if self._cleans:
            model, removed = clean_logged_model(model)
            if removed:
                self._notices.append(URL_CREDENTIALS.found(name, count=removed))
        versions = self._registrations.of(model.info.model_id)
        return [logged_model_entity(model, container, versions, nans, self._settings)]

    def waiting_versions(self) -> list[str]:
        """Return the URNs of the versions whose run was not mapped."""
        return self._versions.waiting()

    def held(self) -> Iterator[Entity]:
        """Yield what the reducers hold at the end of the crawl, early or not: versions out of order, datasets."""
        yield from self.held_rows()
        yield from self.datasets.finish()

    def held_rows(self) -> Iterator[Entity]:
        """Yield what it holds of models, versions and evaluation datasets: nothing completes them any more."""
        yield from self._versions.finish()
        yield from self._evaluation_datasets.finish()

    def take_notices(self) -> list[Finding]:
        """Return the findings about rows mapped since the last call."""
        notices = self._notices.copy()
        self._notices.clear()
        return notices

    def _clean(self, row: Listed) -> Listed:
        """Return a row of which nothing is written but its URN."""
        return clean_row(row)[0] if self._cleans else row

    def _name_for_datasets(self, experiment: Experiment) -> None:
        """Note the name of an experiment that is not written: evaluation datasets may be of it all the same."""
        self._evaluation_datasets.name_experiment(experiment.experiment_id, self._clean(experiment).name)

    def _see_model(self, urn: str, row: RegisteredModel | ModelVersion) -> bool:
        """Note that MLflow has a model, or a version of one. Return whether it is one of a prompt."""
        if is_prompt(row):
            self._witness.see_own(urn)
            return True
        self._witness.see(urn)
        return False

    def _cleaned(self, row: Listed, name: str) -> Listed:
        if not self._cleans:
            return row
        row, removed = clean_row(row)
        if removed:
            self._notices.append(URL_CREDENTIALS.found(name, count=removed))
        return row

    def _cleaned_run(self, run: Run) -> Run:
        run, removed = clean_run(run)
        if removed:
            self._notices.append(URL_CREDENTIALS.found(f"run {run.info.run_id}", count=removed))
        return run
