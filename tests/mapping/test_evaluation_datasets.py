"""Evaluation datasets become datasets that are known by their ids, and runs that were given one lead to it."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects.datasets import DatasetProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.evaluation_datasets import evaluation_dataset_urn
from crawler.mlflow.entities import (
    Dataset,
    DatasetInput,
    EvaluationDataset,
    Experiment,
    Run,
    RunInfo,
    RunInputs,
)
from crawler.removal.crawl_record import CrawlRecord
from crawler.settings.mapping import MappingSettings
from tests.mapping.test_mapping import sent
from tests.support.examples import examples
from tests.support.judge import judge_all, judge_contiguous, judge_one_value

PLAIN = MappingSettings(ui_url="http://mlflow:5000")
ID = "d-" + "a" * 32
URN = f"urn:li:dataset:(urn:li:dataPlatform:mlflow,{ID},PROD)"
SCHEMA = {
    "inputs": {"question": "string", "rounds": "integer", "context": "object", "seen": "null"},
    "outputs": "string",
    "expectations": {"scores": "array"},
    "version": "1.0",
}
UNUSUAL = ["", "null", "[]", "5", "{", "NaN", '"\\ud800"', "[" * 5_000, '{"inputs": 5}', '{"inputs": {"": "string"}}']

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json_texts = (
    texts
    | st.sampled_from(
        [*UNUSUAL, json.dumps(SCHEMA), '{"num_records": 3}', '{"num_records": "3"}', '{"a": [1], "b": null}']
    )
    | st.dictionaries(texts, texts, max_size=3).map(json.dumps)
)
times = st.none() | st.integers(-(2**62), 2**62 - 1)
datasets = st.builds(
    EvaluationDataset,
    dataset_id=st.just(ID) | st.from_regex(r"d-[0-9a-f]{4}", fullmatch=True),
    name=texts,
    digest=texts,
    tags=json_texts,
    schema=json_texts,
    profile=json_texts,
    created_time=times,
    last_update_time=times,
    created_by=texts,
    last_updated_by=texts,
    experiment_ids=st.lists(st.sampled_from(["1", "2", "8"]), unique=True, max_size=3),
)


def dataset(**fields: Any) -> EvaluationDataset:
    return EvaluationDataset(ID, **{"name": "questions", "digest": "abc", **fields})


def run(source: str, source_type: str = "mlflow_evaluation_dataset") -> Run:
    given_to_it = [DatasetInput(Dataset("questions", source_type, digest="abc", source=source))]
    return Run(RunInfo("r", experiment_id="1"), inputs=RunInputs(given_to_it))


def mapped(
    listed: Iterable[EvaluationDataset], runs: Iterable[Run] = (), witness: CrawlRecord | None = None
) -> list[Entity]:
    mapper = CrawlMapper(PLAIN, witness=witness)
    for each in listed:
        mapper.evaluation_dataset(each)
    entities = [mapper.experiment(Experiment(str(number), f"experiment {number}")) for number in (1, 2)]
    entities += [entity for each in runs for entity in mapper.run(each)]
    return [*entities, *mapper.held()]


def values(entities: Iterable[Entity], urn: str = URN) -> dict[str, Any]:
    return {each["aspectName"]: each["aspect"]["json"] for each in sent(entities) if each["entityUrn"] == urn}


def inputs_of_run(entities: Iterable[Entity]) -> list[dict[str, Any]]:
    edges: list[list[dict[str, Any]]] = [
        each["aspect"]["json"]["inputEdges"]
        for each in sent(entities)
        if each["aspectName"] == "dataProcessInstanceInput"
    ]
    return edges[0]


@examples(150)
@given(st.lists(datasets, max_size=3, unique_by=lambda each: each.dataset_id))
def test_acryl_datahub_accepts_whatever_they_hold(listed: list[EvaluationDataset]) -> None:
    plain = sent(mapped(listed, [run(json.dumps({"dataset_id": ID}))]))
    judge_all(plain)
    judge_one_value(plain)
    judge_contiguous(plain)
    written = {each["entityUrn"] for each in plain if each["aspectName"] == "subTypes"}
    assert {evaluation_dataset_urn(each.dataset_id) for each in listed} <= written


def test_all_that_mlflow_tells() -> None:
    value = values(
        mapped(
            [
                dataset(
                    tags='{"team": "support", "mlflow.user": "ann", "rounds": 3}',
                    schema=json.dumps(SCHEMA),
                    profile='{"num_records": 12}',
                    created_time=5,
                    last_update_time=7,
                    created_by="ann",
                    last_updated_by="bob",
                    experiment_ids=["2", "8"],
                )
            ]
        )
    )
    assert value["subTypes"] == {"typeNames": ["Evaluation Dataset"]}
    assert value["datasetProperties"] == {
        "name": "questions",
        "customProperties": {
            "team": "support",
            "mlflow.user": "ann",
            "rounds": "3",
            "mlflow.dataset.id": ID,
            "mlflow.dataset.digest": "abc",
            "mlflow.dataset.records": "12",
            "mlflow.dataset.experiments": "experiment 2, 8",
            "mlflow.dataset.created_by": "ann",
            "mlflow.dataset.last_updated_by": "bob",
        },
        "tags": [],
        "externalUrl": "http://mlflow:5000/#/experiments/2/datasets",
        "created": {"time": 5},
        "lastModified": {"time": 7},
    }
    fields = {field["fieldPath"]: field for field in value["schemaMetadata"]["fields"]}
    types = {path: next(iter(field["type"]["type"])).rsplit(".", 1)[1] for path, field in fields.items()}
    assert types == {
        "inputs.question": "StringType",
        "inputs.rounds": "NumberType",
        "inputs.context": "RecordType",
        "inputs.seen": "NullType",
        "outputs": "StringType",
        "expectations.scores": "ArrayType",
    }
    assert fields["inputs.rounds"]["nativeDataType"] == "integer"


@pytest.mark.parametrize("schema", ["{", "[]", '{"inputs": {"a": 5}}', "x" * 5_000])
def test_a_schema_of_another_form_is_a_property(schema: str) -> None:
    value = values(mapped([dataset(schema=schema)]))
    assert "schemaMetadata" not in value
    assert value["datasetProperties"]["customProperties"]["mlflow.dataset.schema"] == schema[:4_096]


BY_NAME = "urn:li:dataset:(urn:li:dataPlatform:mlflow,questions,PROD)"


def test_a_run_that_was_given_one_leads_to_it_and_to_the_dataset_that_the_official_connector_writes() -> None:
    entities = mapped([dataset()], [run(json.dumps({"dataset_id": ID}))])
    edges = inputs_of_run(entities)
    assert [edge["destinationUrn"] for edge in edges] == [BY_NAME, URN]
    assert {edge["properties"]["mlflow.data.digest"] for edge in edges} == {"abc"}
    assert {entity.urn for entity in entities if entity.type == "dataset"} == {BY_NAME, URN}


@pytest.mark.parametrize(
    ("source", "source_type"),
    [
        (json.dumps({"dataset_id": "d-gone"}), "mlflow_evaluation_dataset"),
        ("no JSON", "mlflow_evaluation_dataset"),
        ("{}", "mlflow_evaluation_dataset"),
        (json.dumps({"dataset_id": ID}), "local"),
    ],
)
def test_one_that_is_not_listed_is_a_dataset_of_its_name_as_any_input(source: str, source_type: str) -> None:
    (edge,) = inputs_of_run(mapped([dataset()], [run(source, source_type)]))
    assert edge["destinationUrn"] == BY_NAME


def test_they_are_seen_as_a_kind_of_our_own() -> None:
    record = CrawlRecord()
    mapped([dataset()], [run(json.dumps({"dataset_id": ID}))], record)
    assert [*record.own] == [URN]
    assert URN not in record.urns


def test_traces_are_a_property_of_the_container_where_there_are_any() -> None:
    mapper = CrawlMapper(PLAIN)
    entities = [mapper.experiment(Experiment("1", "a"), 12), mapper.experiment(Experiment("2", "b"))]
    counts = [
        each["aspect"]["json"]["customProperties"].get("mlflow.traces")
        for each in sent(entities)
        if each["aspectName"] == "containerProperties"
    ]
    assert counts == ["12", None]


def test_experiments_that_are_not_written_are_named_too() -> None:
    mapper = CrawlMapper(MappingSettings(ui_url="http://mlflow"))
    mapper.evaluation_dataset(EvaluationDataset("d-1", experiment_ids=["1", "2", "3"]))
    mapper.experiment(Experiment("1", "chosen"))
    mapper.left_out_experiments([Experiment("2", "not chosen"), Experiment("4", "another")])
    mapper.deleted_experiments([Experiment("3", "http://ann:secret@in-the-trash")])
    (dataset,) = (entity for entity in mapper.held() if entity.type == "dataset")
    (properties,) = (each for each in dataset.aspects if isinstance(each, DatasetProperties))
    assert properties.custom_properties["mlflow.dataset.experiments"] == "chosen, not chosen, http://in-the-trash"
