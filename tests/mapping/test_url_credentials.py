"""User names and passwords in URLs of MLflow's data reach no catalog, wherever the URL stands; all else stays."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.experiments import container_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.decoding import (
    decode_experiments,
    decode_model_versions,
    decode_registered_models,
    decode_runs,
)
from crawler.mlflow.entities import Experiment, Metric, Run, RunData, RunInfo
from crawler.mlflow.run_traits import traits_of
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.tally import Tally
from crawler.url_credentials import may_have_credentials, strip_json, strip_text
from tests.support.examples import examples

SECRET = "s3cr3t"
URL = f"https://ann:{SECRET}@git.example.com/o/r.git?at=a@b"
CLEAN = "https://git.example.com/o/r.git?at=a@b"
PLAIN = MappingSettings(ui_url="https://mlflow.example.com/")
KEEPING = MappingSettings(ui_url="https://mlflow.example.com/", keep_url_credentials=True)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        (URL, CLEAN),
        ("https://ghp_token@github.com/o/r", "https://github.com/o/r"),
        ("git+https://u:p@h/r@main", "git+https://h/r@main"),
        ("HTTPS://U:P@H", "HTTPS://H"),
        ("https://u:p@[::1]:80/x", "https://[::1]:80/x"),
        ("https://u:@h", "https://h"),
        ("https://ann%40corp.com:p%40ss@h", "https://h"),
        ("https://ann@corp.com:p@ss@h/x", "https://h/x"),
        ("https://u:pa/ss?w#d@h/x", "https://h/x"),
        ("https://u:p'w@h", "https://h"),
        ("https://DOMAIN\\u:p@h/", "https://h/"),
        ("postgresql+psycopg2://u:p@h:5432/d", "postgresql+psycopg2://h:5432/d"),
        ("jdbc:mysql://u:p@h", "jdbc:mysql://h"),
        ("ssh://git:pw@h/r", "ssh://h/r"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("mongodb://u:p@h1:27017,h2:27017/db", "mongodb://h1:27017,h2:27017/db"),
        ("see [it](https://u:p@h) or <https://u:p@i>, https://u:p@j", "see [it](https://h) or <https://i>, https://j"),
        ("https://a.com,https://u:p@b.com", "https://a.com,https://b.com"),
        ('{"url": "https://u:p@h", "mail": "a@b"}', '{"url": "https://h", "mail": "a@b"}'),
        ('{"url":"https:\\/\\/u:p@h\\/x"}', '{"url":"https:\\/\\/h\\/x"}'),
        (json.dumps({"x": json.dumps({"url": URL})}), json.dumps({"x": json.dumps({"url": CLEAN})})),
        ("/login?to=https%3A%2F%2Fu%3Ap%40h%2Fx", "/login?to=https%3A%2F%2Fh%2Fx"),
        ("/login?to=https%3a%2f%2fu:p@h%2fx", "/login?to=https%3a%2f%2fh%2fx"),
        ("https%253A%252F%252Fu%253Ap%2540h", "https%253A%252F%252Fh"),
        ("https://{user}:{pw}@h", "https://h"),
        ("https://é:ü@h", "https://h"),
    ],
)
def test_user_info_goes_and_the_rest_stays(text: str, stripped: str) -> None:
    assert strip_text(text) == stripped
    assert strip_text(stripped) == stripped
    encoded = msgspec.json.encode(text)
    assert may_have_credentials(encoded)
    assert strip_json(encoded)[1] > 0


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:o/r.git",
        "ssh://git@github.com/o/r.git",
        "git+ssh://git@github.com/o/r.git",
        "s3://bucket@account/x",
        "abfss://container@account.dfs.core.windows.net/x",
        "wasbs://container@account.blob.core.windows.net/x",
        "dbfs://profile@databricks/x",
        "ann@example.com, https://example.com",
        "https://example.com\nann@example.com",
        "https://packages.example.com/@scope/pkg",
        "https://example.com:8080/~ann/a@b",
        "https://example.com?mail=ann@example.com",
        "https://example.com#ann@example.com",
        "mongodb://h1:27017,h2:27017/db?x=a@b",
        "https://[::1]:80/a@b",
        "{'url': 'https://h','mail':'a@b'}",
        "file:///data/a@b.csv",
        "100%40 of https://h",
        "@", "://", "https://", "https://@", "https://@h",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert strip_text(text) == text


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
marks = st.sampled_from(["://", "@", ":", "/", "\\", '"', "'", "%3A%2F%2F", "%40", "https", "ssh", "\n", "\x00", "?"])
texts = st.lists(words | marks, max_size=12).map("".join)


@examples(500)
@given(texts)
def test_any_text_stays_a_text_and_the_quick_look_misses_nothing(text: str) -> None:
    encoded = msgspec.json.encode(text)
    stripped, removed = strip_json(encoded)
    msgspec.json.decode(stripped, type=str)
    assert (removed > 0) == (stripped != encoded)
    assert may_have_credentials(encoded) or not removed


unreserved = st.text("abcXYZ019-._~!$&()*+,;=", min_size=1, max_size=12)


@examples(300)
@given(texts, unreserved, unreserved, st.sampled_from([" ", "\n", '"', "<"]), st.booleans())
def test_a_secret_is_found_behind_any_text(before: str, user: str, password: str, end: str, encoded: bool) -> None:
    password = f"0{password}S3CR3T"
    url = f"https://{user}:{password}@h.example.com/x"
    assert "S3CR3T" not in strip_text(f"{before}{end}{quote(url, safe='') if encoded else url}")


def info(**more: object) -> dict[str, object]:
    return {"run_id": "r1", "experiment_id": "7", "status": "FINISHED", "start_time": 5, "end_time": 9, **more}


def tagged(value: str) -> list[dict[str, str]]:
    return [{"key": "k", "value": value}]


def used(**more: object) -> dict[str, object]:
    return {
        "info": info(),
        "data": {},
        "inputs": {"dataset_inputs": [{"dataset": {"name": "d", "source_type": "http", **more}}]},
    }


Decode = Callable[[bytes], Any]
PLACES: dict[str, tuple[str, Decode, dict[str, Any]]] = {
    "artifact URI": ("runs", decode_runs, {"info": info(artifact_uri=URL)}),
    "run name": ("runs", decode_runs, {"info": info(run_name=URL)}),
    "user": ("runs", decode_runs, {"info": info(user_id=URL)}),
    "run tag": ("runs", decode_runs, {"info": info(), "data": {"tags": tagged(URL)}}),
    "key of a run tag": ("runs", decode_runs, {"info": info(), "data": {"tags": [{"key": URL, "value": "v"}]}}),
    "param": ("runs", decode_runs, {"info": info(), "data": {"params": tagged(URL)}}),
    "dataset source": ("runs", decode_runs, used(source=json.dumps({"url": URL}))),
    "dataset name": ("runs", decode_runs, used(name=URL)),
    "dataset schema": ("runs", decode_runs, used(schema=json.dumps({"from": URL}))),
    "column": ("runs", decode_runs, used(schema=json.dumps({"mlflow_colspec": [{"name": URL, "type": "long"}]}))),
    "input tag": (
        "runs",
        decode_runs,
        {"info": info(), "inputs": {"dataset_inputs": [{"dataset": {"name": "d"}, "tags": tagged(URL)}]}},
    ),
    "experiment name": ("experiments", decode_experiments, {"experiment_id": "7", "name": URL}),
    "artifact location": ("experiments", decode_experiments, {"experiment_id": "7", "artifact_location": URL}),
    "experiment tag": ("experiments", decode_experiments, {"experiment_id": "7", "tags": tagged(URL)}),
    "experiment note": (
        "experiments",
        decode_experiments,
        {"experiment_id": "7", "tags": [{"key": "mlflow.note.content", "value": f"see [it]({URL})"}]},
    ),
    "model name": ("registered_models", decode_registered_models, {"name": URL}),
    "model description": ("registered_models", decode_registered_models, {"name": "m", "description": URL}),
    "model tag": ("registered_models", decode_registered_models, {"name": "m", "tags": tagged(URL)}),
    "version description": (
        "model_versions",
        decode_model_versions,
        {"name": "m", "version": "1", "description": URL},
    ),
    "version tag": ("model_versions", decode_model_versions, {"name": "m", "version": "1", "tags": tagged(URL)}),
}


def mapped(place: str, settings: MappingSettings) -> tuple[str, CrawlMapper]:
    """All that is written for a row with the URL somewhere, as one text."""
    listing, decode, row = PLACES[place]
    mapper = CrawlMapper(settings)
    body = json.dumps({listing: [row]}).encode()
    rows = decode(body).rows
    entities = []
    for each in rows:
        match listing:
            case "runs":
                entities += mapper.run(each, is_clean=not traits_of(body).may_have_credentials)
            case "experiments":
                entities.append(mapper.experiment(each))
            case "registered_models":
                mapper.registered_model(each)
            case _:
                entities += mapper.model_version(each)
    entities += mapper.versions_complete()
    entities += mapper.held()
    assert entities
    return msgspec.json.encode(entities).decode(), mapper


@pytest.mark.parametrize("place", PLACES)
def test_no_place_of_a_row_takes_a_secret_into_the_catalog(place: str) -> None:
    written, mapper = mapped(place, PLAIN)
    assert SECRET not in written
    assert "git.example.com/o/r.git?at=a@b" in written
    notices = [(each.code, each.severity, each.count) for each in mapper.take_notices()]
    assert ("url_credentials", "warning", 1) in notices


@pytest.mark.parametrize("place", PLACES)
def test_a_setting_keeps_them(place: str) -> None:
    written, mapper = mapped(place, KEEPING)
    assert SECRET in written
    assert "url_credentials" not in {each.code for each in mapper.take_notices()}


def test_an_experiment_whose_name_has_a_secret_keeps_its_urn() -> None:
    experiment = Experiment("7", URL)
    mapper = CrawlMapper(PLAIN)
    assert mapper.experiment(experiment).urn == container_urn(experiment, PLAIN)
    (_, entity) = mapper.run(Run(RunInfo("r1", experiment_id="7")))
    assert container_urn(experiment, PLAIN) in msgspec.json.encode(entity).decode()


def test_metrics_of_a_run_that_is_cleaned_stay() -> None:
    run = Run(RunInfo("r1", artifact_uri=URL), RunData(metrics=[Metric("m", float("nan"))]))
    (_, entity) = CrawlMapper(PLAIN).run(run)
    assert entity.urn == run_urn("r1")
    assert '{"name":"m","value":"nan"}' in msgspec.json.encode(entity).decode()


def test_the_report_tells_how_many_once_and_shows_none() -> None:
    mapper, tally = CrawlMapper(PLAIN), Tally()
    for number in range(9):
        mapper.run(Run(RunInfo(f"r{number}", artifact_uri=URL, run_name=URL)))
    for notice in mapper.take_notices():
        tally.add_finding(notice)
    assert tally.warnings["url_credentials"].count == 18
    assert SECRET not in msgspec.json.encode(tally.warnings).decode()
