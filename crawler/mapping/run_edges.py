"""A run's inputs and outputs → edges: to its datasets and prompts, and to the models that it made."""

from collections.abc import Callable, Iterator

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Edge
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import DatasetMapper, edge_properties
from crawler.mapping.evaluation_datasets import EVALUATION_SOURCE
from crawler.mapping.logged_models import logged_model_urn
from crawler.mapping.prompts import linked_prompts
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mapping.reducers.evaluation_datasets import EvaluationDatasetIndex
from crawler.mapping.witness import Witness
from crawler.mlflow.entities import Run
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.mapping import (
    DATASET_COLUMNS_LEFT_OUT,
    DATASET_PLATFORM_UNKNOWN,
    DATASET_SCHEMA_CUT,
    DATASETS_DIFFER,
)


class RunEdges:
    """Maps what runs were given and made. No edge leads to what DataHub does not get."""

    def __init__(
        self,
        settings: MappingSettings,
        datasets: DatasetReducer,
        evaluation_datasets: EvaluationDatasetIndex,
        witness: Witness,
        notice: Callable[[Finding], None],
    ) -> None:
        """Datasets are merged into `datasets` and seen by the `witness`; `notice` takes what is wrong with them."""
        self._settings = settings
        self._map_dataset_input = DatasetMapper(settings).use
        self._datasets = datasets
        self._evaluation_datasets = evaluation_datasets
        self._witness = witness
        self._notice = notice
        self._prompt_versions: set[str] = set()
        """The URNs of those that DataHub can take."""
        self._has_logged_models = False

    def expect_logged_models(self) -> None:
        """Lead to the logged models that runs made from now on, since these are written."""
        self._has_logged_models = True

    def add_prompt_version(self, urn: str) -> None:
        """Take the version of a prompt, which a run may name from now on."""
        if not urns.problem(urn):
            self._prompt_versions.add(urn)

    def inputs(self, run: Run, completed: list[Entity]) -> list[Edge]:
        """Return the edges to datasets and prompts, each once; datasets that the run completes go to `completed`."""
        edges: list[Edge] = []
        for dataset_input in run.inputs.dataset_inputs if run.inputs else ():
            dataset = dataset_input.dataset
            use = self._map_dataset_input(dataset_input)
            evaluated = None
            # Compared here, since nearly all inputs are others, and a call costs more than all of this.
            if dataset.source_type == EVALUATION_SOURCE:
                evaluated = self._evaluation_datasets.urn_of(dataset.source)
            if use.cut:
                self._notice(DATASET_SCHEMA_CUT.found(use.cut))
            if use.left_out:
                self._notice(DATASET_COLUMNS_LEFT_OUT.found(use.left_out))
            if use.failure and evaluated is None:
                self._notice(DATASET_PLATFORM_UNKNOWN.found(f"run {run.info.run_id}: {use.failure}"))
            edge = use.edge
            if edge:
                self._witness.see(edge.destination_urn)
            # An edge to a dataset that DataHub cannot take would lead nowhere.
            if edge and edge not in edges and not urns.problem(edge.destination_urn):
                edges.append(edge)
            # Beside the dataset of that name, which the official connector writes.
            if evaluated and (known := Edge(evaluated, edge_properties(dataset_input))) not in edges:
                edges.append(known)
            for entity in use.entities:
                completed += self._datasets.merge(entity, run)
            if edge and self._datasets.is_another(edge.destination_urn, use.variant):
                sample = f"{dataset.name}: run {run.info.run_id} uses another one, digest {dataset.digest or 'none'}"
                self._notice(DATASETS_DIFFER.found(sample))
        if self._prompt_versions:
            edges += self._linked_prompts(run)
        return edges

    def outputs(self, run: Run, versions: list[str]) -> list[str]:
        """Return the URNs of what a run made: its `versions`, and logged models where these are written."""
        if not self._has_logged_models or run.outputs is None or not run.outputs.model_outputs:
            return versions
        made = (logged_model_urn(each.model_id, self._settings) for each in run.outputs.model_outputs if each.model_id)
        return list(dict.fromkeys([*versions, *(urn for urn in made if not urns.problem(urn))]))

    def _linked_prompts(self, run: Run) -> Iterator[Edge]:
        """Yield the run's edges to the prompt versions that it names and that are written."""
        for urn in linked_prompts(run.data.tags, self._settings):
            if urn in self._prompt_versions:
                yield Edge(urn)
