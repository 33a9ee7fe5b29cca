"""Decoding of MLflow's pages: what servers may add or leave out, and what they get wrong."""

import copy
import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.errors import DecodeError
from crawler.mlflow.decoding import (
    Page,
    decode_evaluation_datasets,
    decode_experiment_ids,
    decode_experiments,
    decode_metric_points,
    decode_model_versions,
    decode_registered_models,
    decode_run,
    decode_runs,
    decode_trace_count,
)
from crawler.mlflow.entities import (
    Alias,
    Dataset,
    DatasetInput,
    EvaluationDataset,
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
from tests.support.examples import examples

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
DECODED = Run(
    RunInfo("r1", "7", "name", "u", "FINISHED", 1700000000000, 1700000000001, "s3://a", "active"),
    RunData([Metric("m", 0.5)], [KeyValue("p", "1")], [KeyValue("t", "")]),
    RunInputs([DatasetInput(Dataset("d", "local", digest="x"), [KeyValue("c", "train")])]),
)
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


def leniently(body: bytes) -> bytes:
    """The same answer with something in it that only Python's JSON has, so that it is read row by row."""
    return body[:-1] + b', "unknown": NaN}'


def with_value(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """RUN with another value somewhere."""
    run = copy.deepcopy(RUN)
    at(run, path[:-1])[path[-1]] = value
    return run


def but(struct: Any, path: tuple[Any, ...], value: object) -> Any:
    """A decoded row with another value somewhere."""
    step, rest = path[0], path[1:]
    if isinstance(struct, list):
        return [but(item, rest, value) if index == step else item for index, item in enumerate(struct)]
    return msgspec.structs.replace(struct, **{step: but(getattr(struct, step), rest, value) if rest else value})


both_ways = pytest.mark.parametrize("how", [bytes, leniently], ids=["at once", "row by row"])
How = Callable[[bytes], bytes]


@both_ways
def test_a_page_as_mlflow_writes_it(how: How) -> None:
    assert decode_runs(how(page(RUN, RUN, next_page_token="t"))) == Page([DECODED, DECODED], "t")
    assert decode_run(how(json.dumps({"run": RUN}).encode())) == DECODED


@given(st.sampled_from(paths(RUN)), st.text(min_size=1).map(lambda key: f"new_{key}"), junk)
def test_an_unknown_field_changes_nothing(path: tuple[Any, ...], key: str, value: object) -> None:
    run = copy.deepcopy(RUN)
    at(run, path)[key] = value
    body = json.dumps({"runs": [run], f"{key}_too": value}).encode()
    assert decode_runs(body) == decode_runs(leniently(body)) == Page([DECODED])
    assert decode_run(json.dumps({"run": run, key: value}).encode()) == DECODED


IN_DATASET = ("inputs", "dataset_inputs", 0)
REQUIRED = {("info",), ("info", "run_id"), ("data", "metrics", 0, "key"), (*IN_DATASET, "dataset")}
REQUIRED |= {(*IN_DATASET, "dataset", "name")}
UNREAD = {"run_uuid", "timestamp", "step"}
FIELDS = [(*path, key) for path in paths(RUN) for key in at(RUN, path)]
DEFAULTS: dict[tuple[Any, ...], Any] = {
    **{("info", key): "" for key in ("experiment_id", "run_name", "user_id", "status", "artifact_uri")},
    ("info", "start_time"): None,
    ("info", "end_time"): None,
    ("info", "lifecycle_stage"): "active",
    ("data",): RunData(),
    **{("data", key): [] for key in ("metrics", "params", "tags")},
    ("data", "metrics", 0, "value"): 0.0,
    **{("data", kind, 0, key): "" for kind in ("params", "tags") for key in ("key", "value")},
    ("inputs",): None,
    ("inputs", "dataset_inputs"): [],
    (*IN_DATASET, "tags"): [],
    **{(*IN_DATASET, "tags", 0, key): "" for key in ("key", "value")},
    **{(*IN_DATASET, "dataset", key): "" for key in ("source_type", "digest")},
}


@both_ways
@pytest.mark.parametrize("path", [path for path in FIELDS if path not in REQUIRED], ids=str)
@pytest.mark.parametrize("missing", ["missing", "null"])
def test_an_optional_field_may_be_missing_or_null(path: tuple[Any, ...], missing: str, how: How) -> None:
    run = with_value(path, None)
    if missing == "missing":
        del at(run, path[:-1])[path[-1]]
    expected = DECODED if path[-1] in UNREAD else but(DECODED, path, DEFAULTS[path])
    assert decode_runs(how(page(run, RUN, next_page_token="t"))) == Page([expected, DECODED], "t")


@pytest.mark.parametrize("path", sorted(REQUIRED, key=str), ids=str)
def test_without_a_required_field_the_row_is_named(path: tuple[Any, ...]) -> None:
    run = copy.deepcopy(RUN)
    del at(run, path[:-1])[path[-1]]
    decoded = decode_runs(page(RUN, run))
    assert decoded.rows == [DECODED]
    (message,) = decoded.unreadable
    assert f"`{path[-1]}`" in message
    assert "`$.runs[1]" in message


def dotted(path: tuple[Any, ...]) -> str:
    """A path as msgspec writes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


@pytest.mark.parametrize("path", [path for path in FIELDS if path[-1] not in UNREAD], ids=str)
def test_a_wrong_type_costs_only_its_row_and_is_named(path: tuple[Any, ...]) -> None:
    run = with_value(path, [1] if isinstance(at(RUN, path), dict) else {"a": 1})
    decoded = decode_runs(page(RUN, RUN, RUN, run, RUN, next_page_token="t"))
    assert (decoded.rows, decoded.token) == ([DECODED] * 4, "t")
    (message,) = decoded.unreadable
    assert f"`$.runs[3]{dotted(path)}`" in message
    if path not in {("info", "run_id"), ("info",)}:
        assert message.startswith("r1 ")


@given(st.lists(st.sampled_from([RUN, None, 1, "x", [], {}, {"info": 5}, {"info": {"run_id": 5}}]), max_size=8))
def test_every_row_is_read_or_named(rows: list[Any]) -> None:
    decoded = decode_runs(page(*rows))
    assert decoded.rows == [DECODED] * rows.count(RUN)
    wrong = [index for index, row in enumerate(rows) if row != RUN]
    assert [f"$.runs[{index}]" in message for index, message in zip(wrong, decoded.unreadable, strict=True)] == [
        True
    ] * len(wrong)


int64s = st.integers(-(2**62), 2**62 - 1)
written: st.SearchStrategy[Callable[[Any], Any]] = st.sampled_from([lambda number: number, str])


@given(int64s, int64s, written, written, st.floats(allow_nan=False), written, st.sampled_from([bytes, leniently]))
def test_numbers_may_come_as_text(
    start: int,
    end: int,
    start_as: Callable[[int], Any],
    end_as: Callable[[int], Any],
    value: float,
    value_as: Any,
    how: How,
) -> None:
    run = copy.deepcopy(RUN)
    run["info"] |= {"start_time": start_as(start), "end_time": end_as(end)}
    run["data"]["metrics"][0]["value"] = value_as(value)
    (decoded,) = decode_runs(how(page(run))).rows
    assert (decoded.info.start_time, decoded.info.end_time, decoded.data.metrics[0].value) == (start, end, value)


NO_TIMES = [2**62, 2**63, -(2**63) - 1, 10**30, math.nan, math.inf, "soon", "", str(2**63), "9" * 5_000, True]


@pytest.mark.parametrize("time", NO_TIMES, ids=lambda time: repr(time)[:30])
def test_a_time_that_is_none_is_left_out_and_named(time: object) -> None:
    # DataHub's longs do not hold it, or not the time between two of them: sent, it would fail all of its batch.
    for key in ("start_time", "end_time"):
        path = ("info", key)
        decoded = decode_runs(page(RUN, with_value(path, time)))
        assert decoded.rows == [DECODED, but(DECODED, path, None)]
        assert decoded.unreadable == []
        (change,) = decoded.mended
        assert change.startswith(f"r1 7: {key} ")
        assert change.endswith(" was left out: it is no time")
        assert decode_run(json.dumps({"run": with_value(path, time)}).encode()) == but(DECODED, path, None)


@pytest.mark.parametrize("time", [1700000000000.5, "1700000000000.5", " 1700000000000.9\n"])
def test_a_fraction_of_a_millisecond_is_cut_and_named(time: object) -> None:
    decoded = decode_runs(page(with_value(("info", "start_time"), time), RUN))
    assert decoded.rows == [DECODED, DECODED]
    assert decoded.mended == [f"r1 7: start_time {time!r} was cut to whole milliseconds"]


@pytest.mark.parametrize("time", [1700000000000.0, "1700000000000.0", "1.7e12", " 1700000000000 "])
def test_a_whole_number_is_a_time_however_it_is_written(time: object) -> None:
    decoded = decode_runs(page(with_value(("info", "start_time"), time), RUN))
    assert (decoded.rows, decoded.mended, decoded.unreadable) == ([DECODED, DECODED], [], [])


def test_a_time_is_mended_in_every_listing() -> None:
    for decode, kind, row, names in (
        (decode_experiments, "experiments", {"experiment_id": "5"}, ("creation_time", "last_update_time")),
        (decode_registered_models, "registered_models", {"name": "m"}, MODEL_TIMES),
        (decode_model_versions, "model_versions", {"name": "m", "version": "3"}, MODEL_TIMES),
        (decode_evaluation_datasets, "datasets", {"dataset_id": "d-1"}, ("created_time", "last_update_time")),
    ):
        body = json.dumps({kind: [row | dict.fromkeys(names, 5.5), row | dict.fromkeys(names, "soon")]}).encode()
        cut, left_out = decode(body).rows
        assert [getattr(cut, name) for name in names] == [5, 5]
        assert left_out == decode(json.dumps({kind: [row]}).encode()).rows[0]
        assert len(decode(body).mended) == 4


MODEL_TIMES = ("creation_timestamp", "last_updated_timestamp")


def test_numbers_come_as_protobuf_and_python_write_them() -> None:
    body = b"""{"run": {"info": {"run_id": "r", "start_time": "1700000000000"}, "data": {"metrics": [
        {"key": "a", "value": NaN}, {"key": "b", "value": "NaN"}, {"key": "c", "value": Infinity},
        {"key": "d", "value": "-Infinity"}, {"key": "e", "value": 1}, {"key": "f", "value": "0.5"},
        {"key": "g", "value": -Infinity}, {"key": "h", "value": "Infinity"}, {"key": "i", "value": 1e999}]}}}"""
    (listed,) = decode_runs(b'{"runs": [' + body.removeprefix(b'{"run": ')[:-1] + b"]}").rows
    for run in (listed, decode_run(body)):
        values = {metric.key: metric.value for metric in run.data.metrics}
        assert math.isnan(values["a"])
        assert math.isnan(values["b"])
        assert [str(values[key]) for key in "cdefghi"] == ["inf", "-inf", "1.0", "0.5", "-inf", "inf", "inf"]
        assert run.info.start_time == 1700000000000


@both_ways
def test_other_kinds_of_pages(how: How) -> None:
    version = ModelVersion("m", "3", creation_timestamp=1, current_stage="None", run_id="r1")
    assert decode_model_versions(
        how(json.dumps({"model_versions": [VERSION, {**VERSION, "tags": None}]}).encode())
    ) == (Page([version, version]))
    models = {
        "registered_models": [
            {
                "name": "m",
                "aliases": [{"alias": "a", "version": "3"}],
                "latest_versions": [VERSION],
                "description": None,
            }
        ]
    }
    model = RegisteredModel("m", aliases=[Alias("a", "3")], latest_versions=[LatestVersion("3")])
    assert decode_registered_models(how(json.dumps(models).encode())) == Page([model])
    found = decode_experiments(how(b'{"experiments": [{"experiment_id": "0", "last_update_time": "5"}]}'))
    assert found == Page([Experiment("0", last_update_time=5)])
    datasets = how(b'{"datasets": [{"dataset_id": "d-1", "tags": "{}", "created_time": "5", "schema": null}]}')
    assert decode_evaluation_datasets(datasets) == Page([EvaluationDataset("d-1", tags="{}", created_time=5)])
    for decode in (
        decode_runs,
        decode_experiments,
        decode_model_versions,
        decode_registered_models,
        decode_evaluation_datasets,
    ):
        assert decode(b"{}") == Page([])


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (b'{"data_points": [{"metric_name": "trace_count", "values": {"COUNT": 12.0}}]}', 12),
        (b'{"data_points": [{"values": {"COUNT": "3"}}, {"values": {"AVG": 7}}]}', 3),
        (b'{"data_points": []}', 0),
        (b"{}", 0),
    ],
)
def test_traces_are_counted_by_mlflow(answer: bytes, count: int) -> None:
    assert decode_trace_count(answer) == count


def test_a_dataset_is_of_some_experiments_or_none() -> None:
    assert (decode_experiment_ids(b'{"experiment_ids": ["1", "8"]}'), decode_experiment_ids(b"{}")) == (["1", "8"], [])


@pytest.mark.parametrize(
    ("decode", "kind", "row", "name"),
    [
        (decode_experiments, "experiments", {"experiment_id": "5", "name": "e", "tags": 1}, "5 e: "),
        (decode_registered_models, "registered_models", {"name": "m", "tags": 1}, "m: "),
        (decode_model_versions, "model_versions", {"name": "m", "version": "3", "tags": 1}, "m 3: "),
        (decode_evaluation_datasets, "datasets", {"dataset_id": "d-1", "name": "q", "tags": 1}, "d-1 q: "),
    ],
)
def test_a_wrong_row_of_any_kind_is_named(
    decode: Callable[[bytes], Page[Any]], kind: str, row: dict[str, Any], name: str
) -> None:
    decoded = decode(json.dumps({kind: [{**row, "tags": None}, row]}).encode())
    assert len(decoded.rows) == 1
    (message,) = decoded.unreadable
    assert message.startswith(name)
    assert f"`$.{kind}[1].tags`" in message


@pytest.mark.parametrize("path", [("info", "run_id"), ("info", "run_name"), ("data", "tags", 0, "value")], ids=str)
def test_half_a_surrogate_pair_is_replaced_and_named(path: tuple[Any, ...]) -> None:
    # JSON can escape it, but no UTF-8 can hold it: passed on, it would break whatever writes it.
    decoded = decode_runs(page(with_value(path, "a\ud800b\udc00"), RUN, with_value(path, "😀")))
    assert decoded.rows == [but(DECODED, path, "a�b�"), DECODED, but(DECODED, path, "😀")]
    assert decoded.unreadable == []
    (change,) = decoded.mended
    assert "half of a surrogate pair in 'a\\ud800b\\udc00' was replaced by U+FFFD" in change
    assert change.encode()


def test_half_a_surrogate_pair_in_the_name_of_a_field_costs_nothing() -> None:
    run = copy.deepcopy(RUN)
    run["info"]["\ud800"] = run["\udfff"] = 1
    assert decode_runs(page(run, with_value(("info", "end_time"), "soon"))).rows[0] == DECODED


def test_what_cannot_be_mended_costs_only_its_row() -> None:
    wrong = with_value(("info", "start_time"), "soon")
    wrong["data"]["tags"] = 1
    decoded = decode_runs(page(wrong, RUN))
    assert (decoded.rows, decoded.mended) == ([DECODED], [])
    assert "`$.runs[0].data.tags`" in decoded.unreadable[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        b"[]",
        b'[{"run_id": "r"}]',
        b'"text"',
        b"null",
        b"NaN",
        b'{"runs": {}, "run": []}',
        b'{"runs": 1}',
        b'{"runs": [',
        b'{"next_page_token": []}',
        b'{"runs": [], "next_page_token": "\\ud800"}',
        b"\xff\xfe",
        b'{"runs": [{"info": {"run_id": "\xff"}}]}',
        b"[" * 100_000,
        b'{"runs": ' + b"[" * 100_000,
        b'{"runs": [{"info": {"run_id": "r", "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}]}",
        b'{"runs": [{"info": {"run_id": "r", "start_time": ' + b"9" * 5_000 + b"}}]}",
    ],
    ids=lambda body: repr(body[:40]),
)
@pytest.mark.parametrize("decode", [decode_runs, decode_run])
def test_what_is_no_page_is_a_decode_error(decode: Callable[[bytes], Any], body: bytes) -> None:
    with pytest.raises(DecodeError, match="MLflow's answer"):
        decode(body)


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A page with some bytes of it changed, doubled or gone."""
    body = bytearray(page(RUN, RUN, next_page_token="t") if draw(st.booleans()) else json.dumps({"run": RUN}).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        insert = st.binary(max_size=3) | st.sampled_from([b"NaN", b"null", b"[", b"}", b'"', b"\\ud800", b"1e999"])
        body[start : start + draw(st.integers(0, 8))] = draw(insert)
    return bytes(body)


@examples(400)
@given(
    st.binary(max_size=80) | mutilated() | junk.map(lambda value: json.dumps({"runs": [value], "run": value}).encode())
)
def test_nothing_but_a_decode_error_is_ever_raised(body: bytes) -> None:
    for decode in (
        decode_runs,
        decode_experiments,
        decode_model_versions,
        decode_registered_models,
        decode_evaluation_datasets,
        decode_run,
        decode_experiment_ids,
        decode_trace_count,
    ):
        with suppress(DecodeError):
            # What is read can be written again.
            msgspec.json.encode(decode(body))


@examples(200)
@given(st.lists(st.tuples(st.text(), st.floats())))
@example([('"value": NaN', math.nan), ('\\"value":-Infinity', -math.inf)])
def test_histories_have_bare_nan_and_infinity(points: list[tuple[str, float]]) -> None:
    rows = [{"key": key, "value": value, "timestamp": 1, "step": 0, "run_id": "r"} for key, value in points]
    page = decode_metric_points(json.dumps({"metrics": rows}).encode())
    assert [(point.key, str(point.value)) for point in page.rows] == [(key, str(value)) for key, value in points]
    assert (page.unreadable, page.mended) == ([], [])
