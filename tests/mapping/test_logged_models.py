"""Logged models as models of DataHub, judged by acryl-datahub's classes; what links them to runs and versions."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub import urns
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire.file import FileWire
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.datasets import DatasetMapper
from crawler.mapping.logged_models import is_logged_model, latest_points, logged_model_urn, point_key, source_model_id
from crawler.mapping.model_versions import model_urn
from crawler.mapping.reducers.registrations import Registrations
from crawler.mapping.runs import run_urn
from crawler.mlflow.decoding import decode_logged_models, decode_measured_runs, decode_runs
from crawler.mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    KeyValue,
    LoggedModel,
    LoggedModelData,
    LoggedModelInfo,
    MetricPoint,
    ModelOutput,
    ModelVersion,
    RegisteredModel,
    Run,
    RunInfo,
    RunOutputs,
)
from crawler.settings.mapping import MappingSettings
from tests.support.examples import examples
from tests.support.judge import judge_all

SETTINGS = MappingSettings(ui_url="https://mlflow.example.com")
METADATA = encode_system_metadata(SystemMetadata(last_observed=1, run_id="r"))
ID = "m-0123456789abcdef0123456789abcdef"
CONTAINER = urns.container("0" * 32)
TRAINED, EVALUATED = "a" * 32, "b" * 32

ROW: dict[str, Any] = {
    "info": {
        "model_id": ID,
        "experiment_id": "7",
        "name": "churn-model",
        "creation_timestamp_ms": 1_700_000_000_000,
        "last_updated_timestamp_ms": "1700000000500",
        "artifact_uri": "s3://bucket/models/m",
        "status": "LOGGED_MODEL_READY",
        "model_type": "agent",
        "source_run_id": TRAINED,
        "tags": [{"key": "team", "value": "ml"}, {"key": "mlflow.note.content", "value": "about it"}],
        "registrations": [],
    },
    "data": {
        "params": [{"key": "depth", "value": "3"}],
        "metrics": [
            {"key": "auc", "value": 0.5, "timestamp": 1, "step": 0, "run_id": TRAINED, "model_id": ID},
            {"key": "auc", "value": 0.75, "timestamp": 2, "step": 1, "run_id": TRAINED},
            {"key": "f1", "value": 0.25, "timestamp": 9, "run_id": EVALUATED, "dataset_name": "held out"},
        ],
    },
}


def proposals(entities: Sequence[Entity]) -> list[dict[str, Any]]:
    encoder = Encoder(FileWire(METADATA))
    return [json.loads(each) for entity in entities for each in encoder.encode(entity)[0].proposals]


def aspects(entities: Sequence[Entity]) -> dict[str, Any]:
    written = proposals(entities)
    judge_all(written)
    return {each["aspectName"]: each["aspect"]["json"] for each in written}


def decoded(row: dict[str, Any]) -> LoggedModel:
    page = decode_logged_models(json.dumps({"models": [row], "next_page_token": "t"}).encode())
    assert (page.unreadable, page.mended, page.token) == ([], [], "t")
    return page.rows[0]


def test_all_that_mlflow_tells_of_a_logged_model() -> None:
    mapper = CrawlMapper(SETTINGS)
    for name, number in (("churn", "2"), ("churn", "1"), ("other, (one)", "7")):
        mapper.model_version(ModelVersion(name, number, source=f"models:/{ID}"))
    written = aspects(mapper.logged_model(decoded(ROW), CONTAINER))
    properties = written.pop("mlModelProperties")
    assert json.loads(properties["customProperties"].pop("registered_versions")) == [
        {"name": "churn", "version": "2"},
        {"name": "churn", "version": "1"},
        {"name": "other, (one)", "version": "7"},
    ]
    assert properties == {
        "name": "churn-model",
        "description": "about it",
        "customProperties": {
            "model_id": ID,
            "model_type": "agent",
            "status": "READY",
            "artifact_uri": "s3://bucket/models/m",
            "team": "ml",
        },
        "created": {"time": 1_700_000_000_000},
        "lastModified": {"time": 1_700_000_000_500},
        "tags": [],
        "groups": [],
        "trainingJobs": [run_urn(TRAINED)],
        "downstreamJobs": [run_urn(EVALUATED)],
        "externalUrl": f"https://mlflow.example.com/#/experiments/7/models/{ID}",
        "hyperParams": [{"name": "depth", "value": "3"}],
        "trainingMetrics": [{"name": "auc", "value": "0.75"}, {"name": "f1", "value": "0.25"}],
    }
    use = DatasetMapper(SETTINGS).use(DatasetInput(Dataset("held out", "local")))
    assert use.edge is not None
    assert written == {
        "subTypes": {"typeNames": ["Logged Model"]},
        "dataPlatformInstance": {"platform": "urn:li:dataPlatform:mlflow"},
        "status": {"removed": False},
        "container": {"container": CONTAINER},
        "mlModelEvaluationData": {"evaluationData": [{"dataset": use.edge.destination_urn}]},
    }


def test_the_least_that_there_can_be() -> None:
    written = aspects(CrawlMapper(SETTINGS).logged_model(decoded({"info": {"model_id": ID}}), None))
    assert set(written) == {"mlModelProperties", "subTypes", "dataPlatformInstance", "status"}
    assert written["mlModelProperties"]["name"] == ID


def test_a_tag_is_its_users_word() -> None:
    row = {"info": {**ROW["info"], "tags": [{"key": "status", "value": "approved"}]}}
    (entity,) = CrawlMapper(SETTINGS).logged_model(decoded(row), None)
    assert aspects([entity])["mlModelProperties"]["customProperties"]["status"] == "approved"


points = st.builds(
    MetricPoint, st.sampled_from("ab"), st.sampled_from([0.0, 1.5]), st.integers(0, 3), st.integers(0, 3)
)


@examples(100)
@given(st.lists(points, max_size=12))
def test_the_latest_point_is_that_of_the_highest_step_then_time_then_value(logged: list[MetricPoint]) -> None:
    found = latest_points(logged)
    assert [each.key for each in found] == list(dict.fromkeys(each.key for each in logged))
    for each in found:
        same = [point for point in logged if point.key == each.key]
        assert (each.step, each.timestamp, each.value) == max((p.step, p.timestamp, p.value) for p in same)


def test_a_point_that_is_nan_to_its_run_is_nan_and_another_zero_is_not() -> None:
    logged = [MetricPoint("loss", 0.0, 5, 1, TRAINED), MetricPoint("zero", 0.0, 5, 1, TRAINED)]
    run = {
        "info": {"run_id": TRAINED},
        "data": {"metrics": [{"key": "loss", "value": "NaN", "timestamp": 5, "step": 1}]},
    }
    (measured,) = decode_measured_runs(json.dumps({"runs": [run]}).encode()).rows
    nans = {point_key(TRAINED, point) for point in measured.data.metrics if math.isnan(point.value)}
    model = LoggedModel(LoggedModelInfo(ID), LoggedModelData(metrics=logged))
    written = aspects(CrawlMapper(SETTINGS).logged_model(model, None, nans))["mlModelProperties"]
    assert written["trainingMetrics"] == [{"name": "loss", "value": "nan"}, {"name": "zero", "value": "0.0"}]


class TestVersions:
    def test_a_version_names_its_logged_model(self) -> None:
        mapper = CrawlMapper(SETTINGS)
        mapper.registered_model(RegisteredModel("churn"))
        mapper.model_version(ModelVersion("churn", "1", source=f"models:/{ID}"))
        mapper.model_version(ModelVersion("churn", "2", source="s3://key:secret@bucket/path"))
        written = {entity.urn: entity for entity in mapper.versions_complete()}
        properties = [
            aspects([written[model_urn("churn", number, SETTINGS)]])["mlModelProperties"]["customProperties"]
            for number in "12"
        ]
        assert properties == [{"logged_model_id": ID}, {}]
        assert mapper.take_notices() == [], "a source that is not written has nothing to hide"

    @pytest.mark.parametrize(
        "source", ["", "models:/churn/1", f"models:/{ID[:-1]}", f"models:/{ID}/x", ID, f"runs:/{ID}", f"models:/{ID}\n"]
    )
    def test_other_sources_name_none(self, source: str) -> None:
        assert source_model_id(source) is None
        registrations = Registrations()
        registrations.add(ModelVersion("churn", "1", source=source))
        assert registrations.of(ID) == []

    def test_a_version_that_is_listed_again_is_named_once(self) -> None:
        registrations = Registrations()
        for number in ("1", "2", "1"):
            registrations.add(ModelVersion("churn", number, source=f"models:/{ID}"))
        assert [each.version for each in registrations.of(ID)] == ["1", "2"]

    @pytest.mark.parametrize("separator", ["", "-", "_"])
    def test_a_version_with_the_urn_of_a_logged_model_keeps_it(self, separator: str) -> None:
        """The official connector has it: the logged model is named as a failure."""
        name = ID[:-1] if not separator else "m"
        number = ID[-1:] if not separator else "1" * 32
        model_id = f"m-{number}" if separator else ID
        mapper = CrawlMapper(MappingSettings(ui_url="http://mlflow", model_name_separator=separator))
        mapper.model_version(ModelVersion(name, number))
        entities = mapper.logged_model(LoggedModel(LoggedModelInfo(model_id)), None)
        notices = mapper.take_notices()
        assert (len(entities), [each.code for each in notices]) == ((1, []) if separator == "_" else (0, ["urn_taken"]))


class TestRuns:
    RUN = Run(RunInfo(TRAINED, "7"), outputs=RunOutputs([ModelOutput(ID), ModelOutput(ID), ModelOutput("")]))

    def outputs(self, *, has_logged_models: bool) -> Any:
        mapper = CrawlMapper(SETTINGS)
        if has_logged_models:
            mapper.expect_logged_models()
        mapper.model_version(ModelVersion("churn", "1", run_id=TRAINED))
        list(mapper.versions_complete())
        mapper.experiment(Experiment("7", "seven"))
        written = aspects([each for each in mapper.run(self.RUN) if each.type == "dataProcessInstance"])
        return [each["destinationUrn"] for each in written["dataProcessInstanceOutput"]["outputEdges"]]

    def test_a_run_has_its_logged_models_as_outputs(self) -> None:
        made = [model_urn("churn", "1", SETTINGS), logged_model_urn(ID, SETTINGS)]
        assert self.outputs(has_logged_models=True) == made
        assert self.outputs(has_logged_models=False) == made[:1]

    def test_outputs_as_mlflow_lists_them(self) -> None:
        run = {"info": {"run_id": TRAINED}, "outputs": {"model_outputs": [{"model_id": ID, "step": "3"}]}}
        assert decode_runs(json.dumps({"runs": [run]}).encode()).rows[0].outputs == RunOutputs([ModelOutput(ID)])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["a,b", "(x)", "n" * 600])
pairs = st.lists(st.builds(KeyValue, texts, texts), max_size=3)
infos = st.builds(
    LoggedModelInfo,
    st.just(ID),
    *(texts, texts, st.integers(-(2**62), 2**62 - 1), st.integers(0, 2**42), texts, texts, texts, texts, texts, pairs),
)
measured = st.lists(st.builds(MetricPoint, texts, st.floats(), st.integers(), st.integers(), texts, texts), max_size=4)


@examples(100)
@given(infos, pairs, measured, st.booleans())
def test_whatever_mlflow_lists_acryl_datahub_takes(
    info: LoggedModelInfo, params: list[KeyValue], metrics: list[MetricPoint], keep_credentials: bool
) -> None:
    settings = MappingSettings(ui_url="http://mlflow", keep_url_credentials=keep_credentials)
    model = LoggedModel(info, LoggedModelData(params, metrics))
    judge_all(proposals(CrawlMapper(settings).logged_model(model, None)))


def test_credentials_within_urls_are_not_written() -> None:
    secret = "https://ann:secret@example.com/x"
    model = LoggedModel(
        LoggedModelInfo(ID, artifact_uri=secret, tags=[KeyValue("from", secret)]),
        LoggedModelData([KeyValue("p", secret)], [MetricPoint("m", math.nan, dataset_name=secret), MetricPoint("n")]),
    )
    mapper = CrawlMapper(SETTINGS)
    assert "secret" not in json.dumps(proposals(mapper.logged_model(model, None)))
    assert [(each.code, each.count) for each in mapper.take_notices()] == [("url_credentials", 4)]


def test_urns_of_logged_models_are_told_from_others() -> None:
    assert is_logged_model(logged_model_urn(ID, SETTINGS))
    assert not is_logged_model(model_urn("churn", "1", SETTINGS))
    assert not is_logged_model(model_urn(ID, "1", SETTINGS))
