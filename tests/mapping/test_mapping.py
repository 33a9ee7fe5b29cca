"""Mapping: everything that MLflow can hold becomes proposals that acryl-datahub accepts, and each row of MAPPING's
table holds.
"""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata.urns import MlModelGroupUrn, MlModelUrn
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from crawler.datahub import urns
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire.file import FileWire
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.datasets import MAX_PROPERTY_CHARACTERS
from crawler.mlflow.entities import (
    Alias,
    Dataset,
    DatasetInput,
    Experiment,
    KeyValue,
    LatestVersion,
    Metric,
    ModelVersion,
    RegisteredModel,
    Run,
    RunData,
    RunInfo,
    RunInputs,
)
from crawler.mlflow.model_file import HISTORY_TAG
from crawler.settings.mapping import MappingSettings, OwnerSettings
from tests.support.examples import examples
from tests.support.judge import judge_all, judge_aspect, judge_contiguous, judge_one_value
from tests.support.urn_places import urns_within

METADATA = encode_system_metadata(SystemMetadata(last_observed=1, run_id="r"))
PLAIN = MappingSettings(ui_url="https://mlflow.example.com/")
COLUMNS = json.dumps({"mlflow_colspec": [{"name": "a", "type": "long"}, {"name": "b", "type": "object"}]})

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["a,b", "(x)", "o'n\"e", "%2C"]
)
long_names = st.integers(380, 520).map("n".__mul__)
names = texts.filter(bool) | texts.filter(bool) | long_names
times = st.none() | st.integers(0, 2**42) | st.integers(-(2**62), 2**62 - 1)
tags = st.lists(
    st.builds(KeyValue, texts, texts)
    | st.builds(KeyValue, st.sampled_from(["twice", "owner", "mlflow.source.git.repoURL", HISTORY_TAG]), texts),
    max_size=4,
)
BROKEN_SCHEMAS = [
    "", "[]", "5", "null", "{", "NaN", '"\\ud800"', "[" * 5_000, "[" * 5_000 + "]" * 5_000,
    '{"mlflow_colspec": [{"type": "long"}]}',
    '{"mlflow_colspec": 1}', '{"mlflow_colspec": {"a": 1}}', '{"mlflow_colspec": [{"name": 1, "type": []}]}',
    '{"mlflow_colspec": ["a"]}', '{"mlflow_tensorspec": {}}',
    '{"mlflow_colspec": [{"name": "\\ud800", "type": "long"}]}',
    "x" * 9_000,
]  # fmt: skip
columns = st.builds(
    lambda pairs: json.dumps({"mlflow_colspec": [{"name": name, "type": kind} for name, kind in pairs]}),
    st.lists(st.tuples(texts, st.sampled_from(["long", "object", "datetime", "array", ""]) | texts), max_size=3),
)
schemas = st.none() | columns | st.sampled_from([COLUMNS, *BROKEN_SCHEMAS])
SOURCES = [
    "local",
    "code",
    "s3",
    "gs",
    "S3",
    "snowflake",
    "delta_table",
    "http",
    "",
    "hugging_face",
    "delta-lake",
    "odd",
]
inputs = st.builds(DatasetInput, st.builds(Dataset, texts | long_names, st.sampled_from(SOURCES), schemas), tags)
run_ids = st.sampled_from(["r1", "r2", "r3"]) | texts.filter(bool)
runs = st.builds(
    Run,
    st.builds(
        RunInfo,
        run_id=run_ids,
        run_name=texts,
        user_id=texts,
        status=st.sampled_from(["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED", ""]),
        start_time=times,
        end_time=times,
        artifact_uri=texts,
        lifecycle_stage=st.sampled_from(["active", "active", "deleted"]),
    ),
    st.builds(
        RunData,
        metrics=st.lists(st.builds(Metric, texts, st.floats()), max_size=3),
        params=tags,
        tags=tags | st.builds(lambda parent: [KeyValue("mlflow.parentRunId", parent)], texts),
    ),
    st.none() | st.builds(RunInputs, st.lists(inputs, max_size=3)),
)
experiments = st.builds(
    Experiment,
    texts,
    names,
    texts,
    creation_time=times,
    last_update_time=times,
    tags=tags | st.builds(lambda note: [KeyValue("mlflow.note.content", note)], texts),
)
models = st.builds(
    RegisteredModel,
    name=names,
    description=texts,
    tags=tags,
    latest_versions=st.lists(st.builds(LatestVersion, texts), max_size=2),
    aliases=st.lists(st.builds(Alias, texts, st.just("1")), max_size=2),
)
versions = st.builds(
    ModelVersion,
    name=names,
    version=st.integers(1, 99).map(str) | texts.filter(bool),
    user_id=texts,
    current_stage=st.sampled_from([None, "", "None", "Production"]),
    description=texts,
    run_id=st.sampled_from(["", "r1", "r2", "gone"]),
    source=texts,
    tags=tags,
)
mappings = st.builds(
    MappingSettings,
    ui_url=st.sampled_from(["http://mlflow:5000", "https://mlflow.example.com/base/"]),
    env=st.sampled_from(["PROD", "DEV"]),
    platform_instance=st.sampled_from([None, "", "team a", "eu,(west)"]),
    model_name_separator=st.sampled_from(["_", "-v", ""]),
    materialize_dataset_inputs=st.booleans(),
    source_mapping_to_platform=st.sampled_from(
        [{}, {"delta_table": "delta-lake", "http": "http"}, {"odd": "a,b (c)", "s3": "urn:li:dataPlatform:s3"}]
    ),
    owner=st.none()
    | st.builds(
        OwnerSettings,
        tags=st.just(("owner", "mlflow.user")),
        pattern=st.sampled_from([None, "a(.*)", "b?"]),
        user_domain=st.sampled_from([None, "example.com"]),
        type=st.sampled_from(["TECHNICAL_OWNER", "urn:li:ownershipType:steward"]),
    ),
    model_tags=st.sampled_from([(), ("stage", "alias")]),
    link_to_mlflow=st.booleans(),
)


def everything(
    mapping: MappingSettings,
    *,
    models: Iterable[RegisteredModel] = (),
    versions: Iterable[ModelVersion] = (),
    experiment: Experiment | None = None,
    runs: Iterable[Run] = (),
) -> list[Entity]:
    """All that a crawl of these rows writes, in its order."""
    mapper = CrawlMapper(mapping)
    entities = mapper.stages()
    for model in models:
        mapper.registered_model(model)
    entities += [entity for version in versions for entity in mapper.model_version(version)]
    entities += mapper.versions_complete()
    experiment = experiment or Experiment("1", "exp")
    entities.append(mapper.experiment(experiment))
    runs = list(runs)
    written = {run.info.run_id for run in runs if not run.deleted}
    for run in runs:
        entities += mapper.run(
            structs.replace(run, info=structs.replace(run.info, experiment_id=experiment.experiment_id)), written
        )
    entities += mapper.lost_runs(mapper.missing_runs)
    return [*entities, *mapper.held()]


def aspects(entities: Iterable[Entity]) -> dict[tuple[str, str], Any]:
    """The JSON of every aspect that can be sent, by (entity type and end of URN, aspect)."""
    return {(proposal["entityUrn"], proposal["aspectName"]): proposal["aspect"]["json"] for proposal in sent(entities)}


def sent(entities: Iterable[Entity]) -> list[dict[str, Any]]:
    """What can be sent of them, in DataHub's file format."""
    encoder = Encoder(FileWire(METADATA))
    return [json.loads(proposal) for entity in entities for proposal in encoder.encode(entity)[0].proposals]


def one(entities: Iterable[Entity], entity_type: str, aspect: str) -> Any:
    (value,) = [
        value for key, value in aspects(entities).items() if key[0].split(":")[2] == entity_type and key[1] == aspect
    ]
    return value


@examples(150)
@given(
    mappings,
    st.lists(models, max_size=2, unique_by=lambda model: model.name),
    st.lists(versions, max_size=4, unique_by=lambda version: (version.name, version.version)),
    experiments,
    st.lists(runs, max_size=4, unique_by=lambda run: run.info.run_id),
)
def test_acryl_datahub_accepts_whatever_mlflow_holds(
    mapping: MappingSettings,
    models: list[RegisteredModel],
    versions: list[ModelVersion],
    experiment: Experiment,
    runs: list[Run],
) -> None:
    rows: dict[str, Any] = {"models": models, "versions": versions, "experiment": experiment, "runs": runs}
    entities = everything(mapping, **rows)
    assert entities == everything(mapping, **rows)
    plain = sent(entities)
    judge_all(plain)
    judge_one_value(plain)
    judge_contiguous(plain)
    for proposal in plain:
        assert dead_ends(proposal) == []


def dead_ends(proposal: dict[str, Any]) -> list[str]:
    """URNs within the aspect that DataHub could not take as entities."""
    aspect = judge_aspect(proposal["aspectName"], proposal["aspect"]["json"])
    found = urns_within(type(aspect), post_json_transform(aspect.to_obj()))
    return [urn for _, urn, _ in found if urns.problem(urn)]


@given(st.sampled_from(["s3", "gs", "databricks", "delta-lake"]), st.integers(380, 470), st.booleans())
def test_lineage_leads_to_no_dataset_that_datahub_cannot_take(source: str, length: int, hosted: bool) -> None:
    mapping = MappingSettings(ui_url="http://x", materialize_dataset_inputs=hosted)
    entities = everything(mapping, runs=[run(inputs=use("x", name="n" * length, source=source))])
    takeable = {entity.urn for entity in entities if not urns.problem(entity.urn)}
    for (_, aspect), value in aspects(entities).items():
        if aspect == "upstreamLineage":
            (upstream,) = value["upstreams"]
            assert urns.problem(upstream["dataset"]) is None
            assert upstream["dataset"] in takeable or not hosted


def run(run_id: str = "r1", *, tags: dict[str, str] | None = None, inputs: Any = None, **info: Any) -> Run:
    data = RunData(tags=[KeyValue(key, value) for key, value in (tags or {}).items()])
    return Run(RunInfo(run_id=run_id, **info), data, inputs)


def test_row_run_tags() -> None:
    value = one(everything(PLAIN, runs=[run(tags={"a": "b"})]), "dataProcessInstance", "dataProcessInstanceProperties")
    assert value["customProperties"] == {"a": "b"}


def test_row_external_url_of_a_run_honours_base_external_url() -> None:
    value = one(everything(PLAIN, runs=[run()]), "dataProcessInstance", "dataProcessInstanceProperties")
    assert value["externalUrl"] == "https://mlflow.example.com/#/experiments/1/runs/r1"


@pytest.mark.parametrize(
    ("start", "end", "created", "expected"), [(5, 9, 7, 5), (None, 9, 7, 9), (0, None, 7, 7), (None, None, None, 0)]
)
def test_row_created_of_a_run_without_start_time(
    start: int | None, end: int | None, created: int | None, expected: int
) -> None:
    entities = everything(
        PLAIN, experiment=Experiment("1", "e", creation_time=created), runs=[run(start_time=start, end_time=end)]
    )
    assert one(entities, "dataProcessInstance", "dataProcessInstanceProperties")["created"]["time"] == expected


def test_row_every_version_of_a_run_is_an_output() -> None:
    made = [ModelVersion("m", "1", run_id="r1"), ModelVersion("n", "7", run_id="r1")]
    value = one(everything(PLAIN, versions=made, runs=[run()]), "dataProcessInstance", "dataProcessInstanceOutput")
    assert [edge["destinationUrn"].split(",")[1] for edge in value["outputEdges"]] == ["m_1", "n_7"]


def use(context: str, schema: str | None = COLUMNS, name: str = "d", source: str = "local") -> RunInputs:
    return RunInputs([DatasetInput(Dataset(name, source, schema), [KeyValue("mlflow.data.context", context)])])


def test_row_a_dataset_is_written_once_and_its_use_is_on_the_edge() -> None:
    entities = everything(PLAIN, runs=[run("r1", inputs=use("training")), run("r2", inputs=use("eval"))])
    assert sum(entity.type == "dataset" for entity in entities) == 1
    assert one(entities, "dataset", "datasetProperties") == {"customProperties": {}, "tags": []}
    edges = [value["inputEdges"][0] for key, value in aspects(entities).items() if key[1] == "dataProcessInstanceInput"]
    assert [edge["properties"] for edge in edges] == [
        {"mlflow.data.source_type": "local", "mlflow.data.context": "training"},
        {"mlflow.data.source_type": "local", "mlflow.data.context": "eval"},
    ]


def test_row_a_schema_of_a_tensor_is_cut_with_a_warning() -> None:
    mapper = CrawlMapper(PLAIN)
    mapper.run(run(inputs=use("x", '{"mlflow_tensorspec": "' + "y" * 9_000 + '"}')))
    value = one(mapper.held(), "dataset", "datasetProperties")
    assert len(value["customProperties"]["schema"]) == MAX_PROPERTY_CHARACTERS
    assert [(notice.code, notice.severity) for notice in mapper.take_notices()] == [("dataset_schema_cut", "warning")]
    assert mapper.take_notices() == []


def test_row_the_creator_of_a_version_is_the_resource_of_that_user() -> None:
    entities = everything(PLAIN, versions=[ModelVersion("m", "1", user_id="ann")], runs=[run(user_id="ann")])
    actor = one(entities, "mlModel", "mlModelProperties")["created"]["actor"]
    assert (actor, "platformResourceInfo") in aspects(entities)
    assert sum(entity.urn == actor for entity in entities) == 1


def test_row_parent() -> None:
    entities = everything(PLAIN, runs=[run("child", tags={"mlflow.parentRunId": "r9"}), run("r9")])
    parent = one(entities, "dataProcessInstance", "dataProcessInstanceRelationships")
    assert parent == {"parentInstance": everything(PLAIN, runs=[run("r9")])[-1].urn, "upstreamInstances": []}


def test_row_links_and_times_of_models_and_experiments() -> None:
    entities = everything(
        PLAIN,
        models=[RegisteredModel("a/b c")],
        experiment=Experiment("3", "e", creation_time=4, last_update_time=5),
    )
    assert one(entities, "mlModelGroup", "mlModelGroupProperties")["externalUrl"].endswith("/#/models/a%2Fb%20c")
    container = one(entities, "container", "containerProperties")
    assert container["externalUrl"] == "https://mlflow.example.com/#/experiments/3"
    assert (container["created"], container["lastModified"]) == ({"time": 4}, {"time": 5})


def test_row_models_have_a_platform_instance() -> None:
    mapping = MappingSettings(ui_url="http://x", platform_instance="eu")
    entities = everything(mapping, models=[RegisteredModel("m")], versions=[ModelVersion("m", "1")], runs=[run()])
    instance = "urn:li:dataPlatformInstance:(urn:li:dataPlatform:mlflow,eu)"
    for kind in ("mlModel", "mlModelGroup", "container", "dataProcessInstance"):
        assert one(entities, kind, "dataPlatformInstance")["instance"] == instance
    assert one(entities, "container", "browsePathsV2") == {"path": [{"id": instance, "urn": instance}]}


def test_row_aliases() -> None:
    entities = everything(
        PLAIN, models=[RegisteredModel("m", aliases=[Alias("champion", "2")])], versions=[ModelVersion("m", "2")]
    )
    assert one(entities, "mlModel", "versionProperties")["aliases"] == [{"versionTag": "champion"}]


def test_row_version_sets_of_two_instances_differ() -> None:
    sets = {
        one(
            everything(
                MappingSettings(ui_url="http://x", platform_instance=instance), versions=[ModelVersion("m", "1")]
            ),
            "mlModel",
            "versionProperties",
        )["versionSet"]
        for instance in (None, "a", "b")
    }
    assert len(sets) == 3


@pytest.mark.parametrize("stage", [None, ""])
def test_row_a_version_without_stage_has_no_tag(stage: str | None) -> None:
    entities = everything(PLAIN, versions=[ModelVersion("m", "1", current_stage=stage)])
    assert not any(key[1] == "globalTags" for key in aspects(entities))


def test_row_a_dataset_without_schema_and_a_run_without_inputs() -> None:
    entities = everything(PLAIN, runs=[run(inputs=use("x", None)), run("r2", inputs=None)])
    assert one(entities, "dataset", "datasetProperties")["customProperties"] == {}
    assert not any(key[1] == "schemaMetadata" for key in aspects(entities))


@pytest.mark.parametrize("schema", BROKEN_SCHEMAS, ids=lambda schema: schema[:20])
def test_a_schema_without_columns_is_a_property_as_it_stands(schema: str) -> None:
    entities = everything(PLAIN, runs=[run(inputs=use("x", schema))])
    value = one(entities, "dataset", "datasetProperties")
    assert value["customProperties"] == {"schema": schema[:MAX_PROPERTY_CHARACTERS]}
    assert not any(key[1] == "schemaMetadata" for key in aspects(entities))


def test_row_an_end_without_a_start_has_no_duration() -> None:
    value = one(everything(PLAIN, runs=[run(end_time=9)]), "dataProcessInstance", "dataProcessInstanceRunEvent")
    assert "durationMillis" not in value
    assert value["timestampMillis"] == 9


def test_row_a_model_name_with_a_quote_is_a_name_like_any_other() -> None:
    name = 'it\'s a "model"'
    entities = everything(PLAIN, models=[RegisteredModel(name)], versions=[ModelVersion(name, "1")])
    assert [entity.urn for entity in entities if entity.type.startswith("mlModel")] == [
        MlModelGroupUrn("mlflow", name).urn(),
        MlModelUrn("mlflow", f"{name}_1").urn(),
    ]
    assert one(entities, "mlModel", "mlModelProperties")["groups"] == [MlModelGroupUrn("mlflow", name).urn()]


@pytest.mark.parametrize(
    ("status", "result"),
    [("FINISHED", "SUCCESS"), ("FAILED", "FAILURE"), ("KILLED", "SKIPPED"), ("OF_MLFLOW_4", "SKIPPED")],
)
def test_results(status: str, result: str) -> None:
    ended = run(status=status, start_time=1, end_time=4)
    value = one(everything(PLAIN, runs=[ended]), "dataProcessInstance", "dataProcessInstanceRunEvent")
    assert (value["result"]["type"], value["durationMillis"]) == (result, 3)


def test_a_deleted_run_only_gives_its_versions_what_it_measured() -> None:
    gone = Run(RunInfo("r1", lifecycle_stage="deleted"), RunData(metrics=[Metric("acc", 0.5)]))
    entities = everything(PLAIN, versions=[ModelVersion("m", "1", run_id="r1")], runs=[gone])
    assert not any(entity.type == "dataProcessInstance" for entity in entities)
    assert one(entities, "mlModel", "mlModelProperties")["trainingMetrics"] == [{"name": "acc", "value": "0.5"}]


def test_runs_of_several_experiments_find_their_own_container_and_page() -> None:
    mapper = CrawlMapper(PLAIN)
    containers = {number: mapper.experiment(Experiment(number, f"e{number}")).urn for number in ("1", "2")}
    for number in ("2", "1", "2"):
        entities = mapper.run(run(f"r{number}", experiment_id=number))
        assert one(entities, "dataProcessInstance", "container") == {"container": containers[number]}
        page = one(entities, "dataProcessInstance", "dataProcessInstanceProperties")["externalUrl"]
        assert page.endswith(f"/experiments/{number}/runs/r{number}")


def test_a_run_of_an_experiment_that_was_not_listed_has_no_container() -> None:
    (_, entity) = CrawlMapper(PLAIN).run(run(experiment_id="9"))
    written = [aspect.NAME for aspect in entity.aspects]
    assert written == [
        "dataProcessInstanceProperties",
        "mlTrainingRunProperties",
        "dataPlatformInstance",
        "subTypes",
        "status",
    ]


def test_what_repeats_is_the_same_object_each_time() -> None:
    mapper = CrawlMapper(MappingSettings(ui_url="http://x", platform_instance="i"))
    entities = [mapper.experiment(Experiment(number, number)) for number in "12"]
    entities += [entity for number in "12" for entity in mapper.run(run(number, experiment_id=number))]
    for name in "ab":
        mapper.registered_model(RegisteredModel(name))
    entities += mapper.versions_complete()
    repeated = {id(each) for entity in entities for each in entity.aspects if each.NAME == "dataPlatformInstance"}
    assert len(repeated) == 1


def test_a_source_without_a_platform_is_a_failure_when_datasets_are_materialized() -> None:
    mapper = CrawlMapper(MappingSettings(ui_url="http://x", materialize_dataset_inputs=True))
    entities = mapper.run(run(inputs=use("x", source="http")))
    assert not any(key[1] == "dataProcessInstanceInput" for key in aspects(entities))
    assert [(notice.code, notice.severity) for notice in mapper.take_notices()] == [
        ("dataset_platform_unknown", "failure")
    ]


def test_nothing_leads_to_a_dataset_that_datahub_cannot_take() -> None:
    entities = everything(PLAIN, runs=[run(inputs=use("x", name="n" * 600))])
    assert not any(key[1] == "dataProcessInstanceInput" for key in aspects(entities))
    (dataset,) = [entity for entity in entities if entity.type == "dataset"]
    assert [refusal.code for refusal in Encoder(FileWire(METADATA)).encode(dataset)[1]] == ["urn"]


def test_two_versions_never_share_a_urn_in_silence() -> None:
    mapper = CrawlMapper(MappingSettings(ui_url="http://x", model_name_separator=""))
    for name, number in (("a1", "1"), ("a", "11"), ("a1", "1")):
        list(mapper.model_version(ModelVersion(name, number)))
    assert len(list(mapper.versions_complete())) == 1
    (notice,) = mapper.take_notices()
    assert (notice.code, notice.severity) == ("urn_taken", "failure")
    assert "a 11" in notice.sample


def test_a_run_has_one_edge_for_each_use_of_a_dataset() -> None:
    again = RunInputs([*use("train").dataset_inputs, *use("train").dataset_inputs, *use("eval").dataset_inputs])
    value = one(everything(PLAIN, runs=[run(inputs=again)]), "dataProcessInstance", "dataProcessInstanceInput")
    assert [edge["properties"]["mlflow.data.context"] for edge in value["inputEdges"]] == ["train", "eval"]
