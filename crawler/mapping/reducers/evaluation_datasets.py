"""The evaluation datasets of a crawl, until the names of their experiments are known."""

from collections.abc import Iterator

from crawler.datahub.proposals import Entity
from crawler.mapping.evaluation_datasets import (
    evaluation_dataset_entity,
    evaluation_dataset_id,
    evaluation_dataset_urn,
)
from crawler.mlflow.entities import EvaluationDataset
from crawler.settings.mapping import MappingSettings


class EvaluationDatasetIndex:
    """Holds all of them: they are few, beside runs and versions."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._held: dict[str, EvaluationDataset] = {}
        self._listed: set[str] = set()
        self._names: dict[str, str] = {}
        """Of the experiments that any of them belongs to, by id; the id itself until the name is known."""

    def add(self, dataset: EvaluationDataset) -> str:
        """Keep a dataset. Return its URN."""
        self._held[dataset.dataset_id] = dataset
        self._listed.add(dataset.dataset_id)
        for experiment_id in dataset.experiment_ids:
            self._names.setdefault(experiment_id, experiment_id)
        return evaluation_dataset_urn(dataset.dataset_id)

    def name_experiment(self, experiment_id: str, name: str) -> None:
        """Note the name of an experiment, where it counts."""
        if experiment_id in self._names:
            self._names[experiment_id] = name

    def urn_of(self, source: str) -> str | None:
        """Return the URN of the evaluation dataset that is the source of a run's input; None if it is not listed."""
        dataset_id = evaluation_dataset_id(source)
        return evaluation_dataset_urn(dataset_id) if dataset_id in self._listed else None

    def finish(self) -> Iterator[Entity]:
        """Release all of them."""
        held, self._held = self._held, {}
        for dataset in held.values():
            experiments = {each: self._names[each] for each in dataset.experiment_ids}
            yield evaluation_dataset_entity(dataset, experiments, self._settings)
