"""Decoding of MLflow's pages: what servers may add or leave out, and what they get wrong."""

import copy
import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import DecodeError
from crawler.mlflow.pages import (
    decode_experiments,
    decode_model_versions,
    decode_registered_models,
    decode_run,
    decode_runs,
)

RUN: dict[str, Any] = {
    "info": {
        "run_id": "r1",
        "run_uuid": "r1",
        "experiment_id": "7",
        "run_name": "name",
        "user_id": "u",
        "status": "FINISHED",
        "start_time": 1700000000000,
        "end_time": 1700000000001,
        "artifact_uri": "s3://a",
        "lifecycle_stage": "active",
    },
    "data": {
        "metrics": [{"key": "m", "value": 0.5, "timestamp": 1, "step": 0}],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": ""}],
    },
    "inputs": {
        "dataset_inputs": [
            {"tags": [{"key": "c", "value": "train"}], "dataset": {"name": "d", "digest": "x", "source_type": "local"}}
        ]
    },
}
VERSION = {"name": "m", "version": "3", "creation_timestamp": 1, "current_stage": "None", "run_id": "r1"}

texts = st.text(max_size=10)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def page(*runs: object, **more: object) -> bytes:
    return json.dumps({"runs": list(runs), **more}).encode()


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the mappings within a value are."""
    if isinstance(value, dict):
        return [path] + [found for key, item in value.items() for found in paths(item, (*path, key))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in paths(item, (*path, index))]
    return []


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(st.sampled_from(paths(RUN)), st.text(min_size=1).map(lambda key: f"new_{key}"), junk)
def test_an_unknown_field_changes_nothing(path: tuple[Any, ...], key: str, value: object) -> None:
    run = copy.deepcopy(RUN)
    at(run, path)[key] = value
    assert decode_runs(page(run)) == decode_runs(page(RUN))


REQUIRED = {("info",), ("info", "run_id"), ("data", "metrics", 0, "key"), ("inputs", "dataset_inputs", 0, "dataset")}
REQUIRED |= {("inputs", "dataset_inputs", 0, "dataset", "name")}
FIELDS = [(*path, key) for path in paths(RUN) for key in at(RUN, path)]


@pytest.mark.parametrize("path", [path for path in FIELDS if path not in REQUIRED], ids=str)
@pytest.mark.parametrize("how", ["missing", "null"])
def test_an_optional_field_may_be_missing_or_null(path: tuple[Any, ...], how: str) -> None:
    run = copy.deepcopy(RUN)
    if how == "missing":
        del at(run, path[:-1])[path[-1]]
    else:
        at(run, path[:-1])[path[-1]] = None
    decoded = decode_runs(page(run))
    assert decoded.unreadable == []
    assert decoded.rows[0].info.run_id == "r1"


@pytest.mark.parametrize(
    "path", [path for path in FIELDS if path[-1] not in {"run_uuid", "digest", "timestamp", "step"}]
)
def test_a_wrong_type_costs_only_its_row_and_is_named(path: tuple[Any, ...]) -> None:
    run = copy.deepcopy(RUN)
    at(run, path[:-1])[path[-1]] = {"a": 1} if not isinstance(at(RUN, path), dict) else [1]
    decoded = decode_runs(page(RUN, run, RUN, next_page_token="t"))
    assert [row.info.run_id for row in decoded.rows] == ["r1", "r1"]
    assert decoded.token == "t"
    (message,) = decoded.unreadable
    assert "$.runs[1]." + str(path[0]) in message
    if path not in {("info", "run_id"), ("info",)}:
        assert message.startswith("r1")


def test_numbers_come_as_protobuf_and_python_write_them() -> None:
    body = b"""{"runs": [{"info": {"run_id": "r", "start_time": "1700000000000"}, "data": {"metrics": [
        {"key": "a", "value": NaN}, {"key": "b", "value": "NaN"}, {"key": "c", "value": Infinity},
        {"key": "d", "value": "-Infinity"}, {"key": "e", "value": 1}, {"key": "f", "value": "0.5"}]}}]}"""
    (run,) = decode_runs(body).rows
    values = {metric.key: metric.value for metric in run.data.metrics}
    assert math.isnan(values["a"])
    assert math.isnan(values["b"])
    assert [str(values[key]) for key in "cdef"] == ["inf", "-inf", "1.0", "0.5"]
    assert run.info.start_time == 1700000000000


def test_other_kinds_of_pages() -> None:
    (version,) = decode_model_versions(json.dumps({"model_versions": [VERSION]}).encode()).rows
    assert (version.name, version.version, version.current_stage) == ("m", "3", "None")
    models = {
        "registered_models": [{"name": "m", "aliases": [{"alias": "a", "version": "3"}], "latest_versions": [VERSION]}]
    }
    (model,) = decode_registered_models(json.dumps(models).encode()).rows
    assert (model.aliases[0].alias, model.latest_versions[0].version) == ("a", "3")
    (experiment,) = decode_experiments(b'{"experiments": [{"experiment_id": "0"}]}').rows
    assert experiment.creation_time is None
    assert decode_runs(b"{}").rows == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        b'{"runs": {}}',
        b'{"runs": 1}',
        b'{"next_page_token": []}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_page_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_runs(body)


@given(st.binary(max_size=80) | junk.map(lambda value: json.dumps({"runs": [value]}).encode()))
def test_nothing_but_a_decode_error_is_ever_raised(body: bytes) -> None:
    for decode in (decode_runs, decode_experiments, decode_model_versions, decode_registered_models, decode_run):
        with suppress(DecodeError):
            decode(body)
