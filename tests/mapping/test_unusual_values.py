"""Values that pandas, old clients and imports write: kept or left out by rule, in every place."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects.datasets import SchemaMetadata, UpstreamLineage
from crawler.datahub.aspects.models import MLModelGroupProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import (
    Alias,
    Dataset,
    DatasetInput,
    Experiment,
    KeyValue,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    Run,
    RunData,
    RunInfo,
    RunInputs,
)
from crawler.settings.mapping import MappingSettings
from tests.mapping.test_mapping import PLAIN, aspects, everything, one, run, sent
from tests.support.examples import examples
from tests.support.judge import judge_all, judge_one_value

YEAR_10000 = 253_402_300_800_000
DPI = "dataProcessInstance"
ODD = [
    "", " ", "/", "#", "?", "%", "%41", "a/b#c?d%2Fe", "a b", "a,b(c)", "\x00", "\n", "\t", "é実😀", "␟", "../..", "\\",
    "urn:li:tag:x", "NaN", "nan", "None", "null", "Infinity", "-inf", "1e999", "<script>", "x" * 600, "_", "\u202e",
]  # fmt: skip
odd_texts = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
odd_times = st.sampled_from([None, 0, -1, -(2**62), 1_700_000_000, 1_700_000_000_000, YEAR_10000 - 1, YEAR_10000])
odd_times |= st.integers(-(2**62), 2**62 - 1)
odd_tags = st.lists(st.builds(KeyValue, odd_texts, odd_texts), max_size=2)
odd_columns = st.lists(st.fixed_dictionaries({"name": odd_texts, "type": odd_texts}), max_size=4)
odd_datasets = st.builds(
    Dataset,
    odd_texts,
    st.sampled_from(["local", "s3", "gs", "code"]) | odd_texts,
    st.none() | odd_texts | odd_columns.map(lambda columns: json.dumps({"mlflow_colspec": columns})),
    odd_texts,
    odd_texts,
)
odd_runs = st.builds(
    Run,
    st.builds(
        RunInfo,
        odd_texts,
        run_name=odd_texts,
        user_id=odd_texts,
        status=st.sampled_from(["FINISHED", "RUNNING", "KILLED"]) | odd_texts,
        start_time=odd_times,
        end_time=odd_times,
        artifact_uri=odd_texts,
    ),
    st.builds(RunData, params=odd_tags, tags=odd_tags),
    st.none() | st.builds(RunInputs, st.lists(st.builds(DatasetInput, odd_datasets, odd_tags), max_size=2)),
)
some_time = odd_times.map(lambda time: time or 0)
odd_versions = st.builds(
    ModelVersion, odd_texts, odd_texts, some_time, some_time,
    current_stage=odd_texts, description=odd_texts, run_id=odd_texts, tags=odd_tags,
)  # fmt: skip
odd_models = st.builds(
    RegisteredModel, odd_texts, some_time, some_time, odd_texts, st.lists(st.builds(LatestVersion, odd_texts)), odd_tags
)


@examples(150)
@given(
    st.lists(odd_models, max_size=2),
    st.lists(odd_versions, max_size=2),
    st.builds(Experiment, odd_texts, odd_texts, odd_texts, creation_time=odd_times, last_update_time=odd_times),
    st.lists(odd_runs, max_size=3, unique_by=lambda each: each.info.run_id),
)
def test_datahub_takes_whatever_is_written(
    models: list[RegisteredModel], versions: list[ModelVersion], experiment: Experiment, runs: list[Run]
) -> None:
    plain = sent(everything(PLAIN, models=models, versions=versions, experiment=experiment, runs=runs))
    judge_all(plain)
    judge_one_value(plain)
    for proposal in plain:
        aspect = proposal["aspect"]["json"]
        for time in times_in(aspect):
            assert 0 <= time < YEAR_10000
        _fits_the_field_paths(aspect.get("fields"))
        if "externalUrl" in aspect:
            _is_one_link(aspect["externalUrl"])


def times_in(value: Any) -> list[int]:
    """The times within an aspect."""
    if isinstance(value, list):
        return [time for item in value for time in times_in(item)]
    if not isinstance(value, dict):
        return []
    found = [time for item in value.values() for time in times_in(item)]
    return found + [item for key, item in value.items() if key in {"time", "timestampMillis"} and type(item) is int]


def _fits_the_field_paths(fields: list[dict[str, Any]] | None) -> None:
    """DataHub's FieldPathValidator refuses a schema with empty or equal paths."""
    paths = [field["fieldPath"] for field in fields or ()]
    assert all(paths)
    assert len(set(paths)) == len(paths)


def _is_one_link(url: str) -> None:
    """Nothing of a name ends the link's fragment, or adds a part to its path."""
    split = urlsplit(url)
    assert (split.scheme, split.netloc, split.path, split.query) == ("https", "mlflow.example.com", "/", "")
    assert "#" not in split.fragment
    assert "?" not in split.fragment
    parts = split.fragment.split("/")
    assert len(parts) in {3, 5}


@pytest.mark.parametrize("name", [each for each in ODD if each and len(each) < 100])
def test_a_link_leads_to_the_name(name: str) -> None:
    entities = everything(
        PLAIN,
        models=[RegisteredModel(name)],
        versions=[ModelVersion(name, "1")],
        experiment=Experiment(name, "e"),
        runs=[run(name)],
    )
    links = {key[1]: value["externalUrl"] for key, value in aspects(entities).items() if "externalUrl" in value}
    for aspect, place in (
        ("mlModelGroupProperties", 2),
        ("mlModelProperties", 2),
        ("containerProperties", 2),
        ("dataProcessInstanceProperties", 4),
    ):
        if aspect in links:
            assert unquote(links[aspect].split("#", 1)[1].split("/")[place]) == name


@pytest.mark.parametrize("time", [-1, YEAR_10000, -(2**62), 2**62 - 1])
def test_a_time_that_none_can_be_is_left_out(time: int) -> None:
    entities = everything(
        PLAIN,
        models=[RegisteredModel("m", time, time)],
        versions=[ModelVersion("m", "1", time, time)],
        experiment=Experiment("1", "e", creation_time=time, last_update_time=time),
        runs=[run("r1", start_time=time, end_time=9, status="FINISHED"), run("r2", start_time=4, end_time=time)],
    )
    assert "created" not in one(entities, "container", "containerProperties")
    assert one(entities, "mlModelGroup", "mlModelGroupProperties")["created"]["time"] == 0
    assert one(entities, "mlModel", "mlModelProperties")["lastModified"]["time"] == 0
    found = aspects(entities)
    assert found[run_urn("r1"), "dataProcessInstanceProperties"]["created"]["time"] == 9
    assert "durationMillis" not in found[run_urn("r1"), "dataProcessInstanceRunEvent"]
    assert found[run_urn("r2"), "dataProcessInstanceProperties"]["created"]["time"] == 4
    assert (run_urn("r2"), "dataProcessInstanceRunEvent") not in found


@pytest.mark.parametrize("time", [0, 1_700_000_000, YEAR_10000 - 1])
def test_other_times_are_kept_also_seconds(time: int) -> None:
    value = one(
        everything(PLAIN, experiment=Experiment("1", "e", creation_time=time)), "container", "containerProperties"
    )
    assert value["created"] == {"time": time}


def test_an_end_before_the_start_is_kept_as_the_official_connector_does() -> None:
    ended = run(status="FINISHED", start_time=9, end_time=4)
    assert one(everything(PLAIN, runs=[ended]), DPI, "dataProcessInstanceRunEvent")["durationMillis"] == -5


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED"])
def test_a_run_that_was_resumed_has_not_ended(status: str) -> None:
    entities = everything(PLAIN, runs=[run(status=status, start_time=1, end_time=4)])
    assert (run_urn("r1"), "dataProcessInstanceRunEvent") not in aspects(entities)


@pytest.mark.parametrize(("status", "result"), [("FINISHED", "SUCCESS"), ("FAILED", "FAILURE"), ("KILLED", "SKIPPED")])
@pytest.mark.parametrize("end", [None, 0])
def test_a_run_has_ended_also_where_nobody_knows_when(status: str, result: str, end: int | None) -> None:
    value = one(
        everything(PLAIN, runs=[run(status=status, start_time=3, end_time=end)]), DPI, "dataProcessInstanceRunEvent"
    )
    assert (value["timestampMillis"], value["result"]["type"]) == (3, result)
    assert "durationMillis" not in value


def test_an_unknown_status_with_an_end_is_no_success() -> None:
    value = one(everything(PLAIN, runs=[run(status="", end_time=4)]), DPI, "dataProcessInstanceRunEvent")
    assert value["result"]["type"] == "SKIPPED"
    assert not any(
        key[1] == "dataProcessInstanceRunEvent" for key in aspects(everything(PLAIN, runs=[run(start_time=3)]))
    )


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [("", {"mlflow.runName": "old"}, "old"), ("new", {"mlflow.runName": "old"}, "new"), ("", {}, "r1")],
)
def test_the_name_of_a_run_of_mlflow_1_28_is_in_its_tag(name: str, tags: dict[str, str], expected: str) -> None:
    entities = everything(PLAIN, runs=[run(run_name=name, tags=tags)])
    assert one(entities, DPI, "dataProcessInstanceProperties")["name"] == expected


def test_an_empty_artifact_uri_is_no_output() -> None:
    assert one(everything(PLAIN, runs=[run()]), DPI, "mlTrainingRunProperties")["outputUrls"] == []


@pytest.mark.parametrize(("stage", "tag"), [("Production", "mlflow_production"), ("STAGING", "mlflow_staging")])
def test_a_known_stage_is_a_tag(stage: str, tag: str) -> None:
    value = one(everything(PLAIN, versions=[ModelVersion("m", "1", current_stage=stage)]), "mlModel", "globalTags")
    assert value == {"tags": [{"tag": f"urn:li:tag:{tag}"}]}


@pytest.mark.parametrize("stage", ["Canary", "a,(b)", "Production "])
def test_a_stage_whose_tag_is_not_written_is_left_out(stage: str) -> None:
    entities = everything(PLAIN, versions=[ModelVersion("m", "1", current_stage=stage)])
    assert not any(key[1] == "globalTags" for key in aspects(entities))


@pytest.mark.parametrize(
    ("latest", "versions", "newest"),
    [
        (["1", "9", "10"], ["10", "9", "1", "2"], "10"),
        (["3"], ["3", "12", "4"], "12"),
        (["7"], [], "7"),
        ([], ["x", "2"], "2"),
        ([], [], None),
    ],
)
def test_the_newest_version_is_the_highest_number_of_all(
    latest: list[str], versions: list[str], newest: str | None
) -> None:
    model = RegisteredModel("m", latest_versions=[LatestVersion(each) for each in latest])
    entities = everything(PLAIN, models=[model], versions=[ModelVersion("m", each) for each in versions])
    version = one(entities, "mlModelGroup", "mlModelGroupProperties")["version"]
    assert version.get("versionTag") == newest


def test_a_model_that_is_listed_twice_is_written_once_with_its_aliases_once() -> None:
    model = RegisteredModel("m", aliases=[Alias("champion", "1")])
    entities = everything(PLAIN, models=[model, model], versions=[ModelVersion("m", "1")])
    assert sum(entity.type == "mlModelGroup" for entity in entities) == 1
    assert one(entities, "mlModel", "versionProperties")["aliases"] == [{"versionTag": "champion"}]


def test_models_are_written_although_the_versions_never_came() -> None:
    mapper = CrawlMapper(PLAIN)
    mapper.registered_model(RegisteredModel("m", latest_versions=[LatestVersion("2")]))
    (entity,) = mapper.held()
    (properties,) = [each for each in entity.aspects if isinstance(each, MLModelGroupProperties)]
    assert properties.version.version_tag == "2"


@pytest.mark.parametrize(("parent", "written"), [("r9", {"r9"}), ("gone", {"r9"}), ("child", {"child"})])
def test_a_parent_is_named_only_if_it_is_written_and_another_run(parent: str, written: set[str]) -> None:
    child = run("child", tags={"mlflow.parentRunId": parent})
    (_, entity) = CrawlMapper(PLAIN).run(child, written)
    names = [aspect.NAME for aspect in entity.aspects]
    assert ("dataProcessInstanceRelationships" in names) == (parent == "r9")
    assert CrawlMapper(PLAIN).run(child)[1].aspects == entity.aspects or parent == "r9"


def schema(*columns: str) -> str:
    return json.dumps({"mlflow_colspec": [{"name": name, "type": "long"} for name in columns]})


def uses(*datasets: Dataset) -> tuple[list[Entity], CrawlMapper]:
    """What is written for runs that use one dataset each."""
    mapper = CrawlMapper(PLAIN)
    entities: list[Entity] = []
    for number, dataset in enumerate(datasets):
        entities += mapper.run(run(f"r{number}", inputs=RunInputs([DatasetInput(dataset)]), start_time=number + 1))
    return [*entities, *mapper.held()], mapper


def test_columns_without_a_name_or_of_one_name_are_left_out_with_a_warning() -> None:
    entities, mapper = uses(Dataset("d", "local", schema("a", "", "b", "a")))
    assert [field["fieldPath"] for field in one(entities, "dataset", "schemaMetadata")["fields"]] == ["a", "b"]
    assert [(each.code, each.severity, each.sample) for each in mapper.take_notices()] == [
        ("dataset_columns", "warning", "d: 2 of its columns")
    ]


A = Dataset("dataset", "s3", schema("a"), "d1", '{"uri": "s3://a/x"}')
B = Dataset("dataset", "gs", schema("b"), "d2", '{"uri": "gs://b/y"}')


def test_different_datasets_of_one_name_are_told_and_each_edge_says_which_it_is() -> None:
    entities, mapper = uses(A, B, A)
    assert sum(entity.type == "dataset" for entity in entities) == 1
    (notice,) = mapper.take_notices()
    assert (notice.code, notice.severity, notice.count) == ("datasets_differ", "warning", 1)
    assert "dataset: run r1" in notice.sample
    found = aspects(entities)
    edges = [found[run_urn(f"r{number}"), "dataProcessInstanceInput"]["inputEdges"][0] for number in range(3)]
    assert len({edge["destinationUrn"] for edge in edges}) == 1
    assert [edge["properties"] for edge in edges] == [
        {
            "mlflow.data.digest": each.digest,
            "mlflow.data.source_type": each.source_type,
            "mlflow.data.source": each.source,
        }
        for each in (A, B, A)
    ]


@pytest.mark.parametrize("others", [[B], [Dataset("dataset", "local")], [A, B, A]])
@pytest.mark.parametrize("turned", [False, True])
def test_an_upstream_that_is_not_that_of_all_is_none(others: list[Dataset], turned: bool) -> None:
    order = [A, *others]
    entities, _ = uses(*(reversed(order) if turned else order))
    assert one(entities, "dataset", "upstreamLineage") == {"upstreams": []}


def test_an_upstream_of_all_is_kept() -> None:
    entities, mapper = uses(A, Dataset("dataset", "s3", schema("b"), "d2", "{}"))
    (upstream,) = one(entities, "dataset", "upstreamLineage")["upstreams"]
    assert upstream["dataset"] == "urn:li:dataset:(urn:li:dataPlatform:s3,dataset,PROD)"
    assert [each.code for each in mapper.take_notices()] == ["datasets_differ"]


def test_one_dataset_used_by_many_is_no_difference() -> None:
    entities, mapper = uses(A, A, A)
    assert mapper.take_notices() == []
    (dataset,) = [entity for entity in entities if entity.type == "dataset"]
    assert any(isinstance(aspect, UpstreamLineage) and aspect.upstreams for aspect in dataset.aspects)
    assert any(isinstance(aspect, SchemaMetadata) for aspect in dataset.aspects)


def test_a_long_source_is_cut() -> None:
    entities, _ = uses(Dataset("d", "local", None, "x", "y" * 70_000))
    (edge,) = one(entities, DPI, "dataProcessInstanceInput")["inputEdges"]
    assert len(edge["properties"]["mlflow.data.source"]) == 4_096


def test_a_tag_of_the_use_wins_over_what_it_is_named_like() -> None:
    mapper = CrawlMapper(MappingSettings(ui_url="http://x"))
    tags = [KeyValue("mlflow.data.digest", "mine")]
    (_, entity) = mapper.run(run(inputs=RunInputs([DatasetInput(A, tags)])))
    assert one([entity], DPI, "dataProcessInstanceInput")["inputEdges"][0]["properties"]["mlflow.data.digest"] == "mine"
