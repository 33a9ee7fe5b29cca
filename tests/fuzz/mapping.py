"""What is decoded through the real mapping, in the order of a crawl: each row becomes its entity, or is named."""

from typing import Any

import msgspec

from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.experiments import container_urn
from crawler.mapping.logged_models import logged_model_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import EvaluationDataset, Experiment, LoggedModel, ModelVersion, RegisteredModel, Run
from crawler.settings.mapping import MappingSettings
from tests.fuzz.decoding import Counts
from tests.fuzz.promises import can_be_told, promise

MAPPINGS = (
    MappingSettings(ui_url="https://mlflow.example.com"),
    MappingSettings(ui_url="http://mlflow:5000/base/", platform_instance="eu,(west)", env="DEV"),
    MappingSettings(ui_url="http://m", model_name_separator="", materialize_dataset_inputs=True),
    MappingSettings(
        ui_url="http://m", materialize_dataset_inputs=True, source_mapping_to_platform={"s3": "urn:li:dataPlatform:s3"}
    ),
)


class Read(msgspec.Struct):
    """All that one crawl has read."""

    models: list[RegisteredModel]
    versions: list[ModelVersion]
    experiments: list[Experiment]
    runs: list[list[Run]]
    found: Run | None = None
    logged_models: list[LoggedModel] = []
    evaluation_datasets: list[EvaluationDataset] = []


def entities_of(read: Read, settings: MappingSettings, counts: Counts) -> list[Entity]:
    """All that the crawl would write, in its order."""
    mapper = CrawlMapper(settings)
    entities = mapper.stages()
    for model in read.models:
        mapper.registered_model(model)
    for version in read.versions:
        entities += mapper.model_version(version)
    entities += mapper.versions_complete()
    for dataset in read.evaluation_datasets:
        mapper.evaluation_dataset(dataset)
    active = [each for each in read.experiments if each.lifecycle_stage != "deleted"]
    entities += map(mapper.experiment, active)
    for runs in read.runs:
        for run in runs:
            entities += mapper.run(run)
    missing = mapper.missing_runs
    if read.found is not None:
        entities += mapper.found_run(read.found)
        missing = [run_id for run_id in missing if run_id != read.found.info.run_id]
    entities += mapper.lost_runs(missing)
    for logged_model in {each.info.model_id: each for each in read.logged_models}.values():
        entities += mapper.logged_model(logged_model, None)
    entities += mapper.held()
    notices = mapper.take_notices()
    for notice in notices:
        can_be_told(notice.sample)
    counts["mapped: entities"] += len(entities)
    counts["mapped: notices"] += len(notices)
    _all_there(read, active, entities, settings)
    _lead_somewhere(entities)
    return entities


def _all_there(read: Read, active: list[Experiment], entities: list[Entity], settings: MappingSettings) -> None:
    expected = {
        "mlModelGroup": {model_group_urn(model.name, settings) for model in read.models},
        "mlModel": {
            *(model_urn(version.name, version.version, settings) for version in read.versions),
            *(logged_model_urn(each.info.model_id, settings) for each in read.logged_models),
        },
        "container": {container_urn(experiment, settings) for experiment in active},
        "dataProcessInstance": {run_urn(run.info.run_id) for runs in read.runs for run in runs if not run.deleted},
    }
    for entity_type, wanted in expected.items():
        made = [entity.urn for entity in entities if entity.type == entity_type]
        promise(set(made) == wanted, f"rows without {entity_type}, or the other way round: {wanted ^ set(made)}")
        if entity_type == "mlModel":
            promise(len(made) == len(wanted), "a model version is written twice")


def _lead_somewhere(entities: list[Entity]) -> None:
    """Edges lead to what is written, and to nothing that DataHub cannot take."""
    written = {entity.urn for entity in entities}
    for entity in entities:
        for aspect in entity.aspects:
            for edge in [*_list(aspect, "input_edges"), *_list(aspect, "output_edges")]:
                urn = edge.destination_urn
                promise(urn in written and not urns.problem(urn), f"{entity.urn} leads to {urn!a}")


def _list(aspect: Any, name: str) -> list[Any]:
    return getattr(aspect, name, [])
