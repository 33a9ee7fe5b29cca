"""Decoding whole pages of MLflow's search endpoints, straight from the bytes.

A row of a wrong shape costs only itself, and an unusual value (`mending.py`) not even its row.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from crawler.errors import DecodeError
from crawler.mlflow.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    MeasuredRun,
    MetricPoint,
    ModelVersion,
    RegisteredModel,
    Run,
)
from crawler.mlflow.mending import mend
from crawler.mlflow.run_traits import RunTraits

Row = TypeVar("Row")

_BARE_VALUE = re.compile(rb'"value":\s*(NaN|-?Infinity)')
"""Never within a text, where its quotes were escaped."""
_NOT_AS_EXPECTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """The rows of one answer and the token of the next page (empty on the last).

    Texts: `unreadable` on rows of a wrong shape, which are lost; `mended` on values of others that were changed.
    `traits` tell of rows that are runs, where their reader has asked for them.
    """

    rows: list[Row]
    token: str = ""
    unreadable: list[str] = []
    mended: list[str] = []
    traits: RunTraits = RunTraits()


class _Runs(msgspec.Struct):
    runs: list[Run] = []
    next_page_token: str = ""


class _Experiments(msgspec.Struct):
    experiments: list[Experiment] = []
    next_page_token: str = ""


class _RegisteredModels(msgspec.Struct):
    registered_models: list[RegisteredModel] = []
    next_page_token: str = ""


class _ModelVersions(msgspec.Struct):
    model_versions: list[ModelVersion] = []
    next_page_token: str = ""


class _LoggedModels(msgspec.Struct):
    models: list[LoggedModel] = []
    next_page_token: str = ""


class _MeasuredRuns(msgspec.Struct):
    runs: list[MeasuredRun] = []
    next_page_token: str = ""


class _EvaluationDatasets(msgspec.Struct):
    datasets: list[EvaluationDataset] = []
    next_page_token: str = ""


class _MetricPoints(msgspec.Struct):
    metrics: list[MetricPoint] = []
    next_page_token: str = ""


def _page_decoder(answer: type[Any], rows: str, row: type[Row]) -> Callable[[bytes], Page[Row]]:
    """Return a decoder for one endpoint: typed and fast, or row by row where that fails."""
    decode = msgspec.json.Decoder(answer, strict=False).decode

    def decoder(body: bytes) -> Page[Row]:
        try:
            page = decode(body)
        except _NOT_AS_EXPECTED:
            return _decode_leniently(body, rows, row)
        return Page(getattr(page, rows), page.next_page_token)

    return decoder


def _decode_leniently(body: bytes, rows: str, row: type[Row]) -> Page[Row]:
    """Decode row by row, also what strict JSON forbids and Python servers write (NaN, Infinity), and null fields."""
    answer = _loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get(rows, []), list):
        raise DecodeError(f"MLflow's answer has no list at $.{rows}.")
    try:
        token = _convert(answer.get("next_page_token", ""), str)
    except msgspec.ValidationError:
        raise DecodeError("MLflow's answer has no text at $.next_page_token.") from None
    read: list[Row] = []
    unreadable: list[str] = []
    mended: list[str] = []
    for index, raw in enumerate(answer.get(rows, [])):
        try:
            one, changes = _convert_mended(raw, row)
        except msgspec.ValidationError as error:
            unreadable.append(f"{_name(raw)}: {_with_path(str(error), f'$.{rows}[{index}]')}")
        else:
            read.append(one)
            mended += [f"{_name(raw)}: {change}" for change in changes]
    return Page(read, token, unreadable, mended)


def _loads(body: bytes) -> Any:
    try:
        return _without_nulls(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"MLflow's answer is not JSON: {error}.") from None


def _convert_mended(raw: object, row: type[Row]) -> tuple[Row, list[str]]:
    """Convert a row, mended if it must be. Return it with texts on what was changed. Raise ValidationError."""
    try:
        return _convert(raw, row), []
    except msgspec.ValidationError:
        try:
            mended, changes = mend(raw)
        except RecursionError:
            raise msgspec.ValidationError("Nested too deeply") from None
        return _convert(mended, row), changes


def _convert(raw: object, row: type[Row]) -> Row:
    """Convert a row. Raise ValidationError, also for what could not be written again.

    JSON can escape halves of surrogate pairs, which no UTF-8 can hold.
    """
    try:
        converted = msgspec.convert(raw, row, strict=False)
        msgspec.json.encode(converted)
    except UnicodeEncodeError:
        raise msgspec.ValidationError("Half of a surrogate pair in a text") from None
    return converted


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _with_path(message: str, path: str) -> str:
    """Return msgspec's message with its path, which starts at the row, put behind the row's own."""
    return message.replace("`$", f"`{path}", 1) if "`$" in message else f"{message} - at `{path}`"


def _name(raw: object) -> str:
    """Return what is known of a row that cannot be read."""
    if not isinstance(raw, dict):
        return "a row"
    info = raw.get("info", raw)
    if not isinstance(info, dict):
        info = raw
    keys = ("run_id", "model_id", "experiment_id", "dataset_id", "name", "version")
    known = [str(info[key]) for key in keys if key in info]
    name = " ".join(known).encode(errors="backslashreplace").decode()
    return name[:200] or "a row without a name"


_decode_runs = _page_decoder(_Runs, "runs", Run)
_decode_experiments = _page_decoder(_Experiments, "experiments", Experiment)
_decode_registered_models = _page_decoder(_RegisteredModels, "registered_models", RegisteredModel)
_decode_model_versions = _page_decoder(_ModelVersions, "model_versions", ModelVersion)
_decode_logged_models = _page_decoder(_LoggedModels, "models", LoggedModel)
_decode_measured_runs = _page_decoder(_MeasuredRuns, "runs", MeasuredRun)
_decode_evaluation_datasets = _page_decoder(_EvaluationDatasets, "datasets", EvaluationDataset)
_decode_metric_points = _page_decoder(_MetricPoints, "metrics", MetricPoint)


def decode_runs(body: bytes) -> Page[Run]:
    """Decode a page of `runs/search`. Raise DecodeError."""
    return _decode_runs(body)


def decode_experiments(body: bytes) -> Page[Experiment]:
    """Decode a page of `experiments/search`. Raise DecodeError."""
    return _decode_experiments(body)


def decode_registered_models(body: bytes) -> Page[RegisteredModel]:
    """Decode a page of `registered-models/search`. Raise DecodeError."""
    return _decode_registered_models(body)


def decode_model_versions(body: bytes) -> Page[ModelVersion]:
    """Decode a page of `model-versions/search`. Raise DecodeError."""
    return _decode_model_versions(body)


def decode_logged_models(body: bytes) -> Page[LoggedModel]:
    """Decode a page of `logged-models/search`. Raise DecodeError."""
    return _decode_logged_models(body)


def decode_measured_runs(body: bytes) -> Page[MeasuredRun]:
    """Decode the metrics of a page of `runs/search`. Raise DecodeError."""
    return _decode_measured_runs(body)


def decode_evaluation_datasets(body: bytes) -> Page[EvaluationDataset]:
    """Decode a page of `datasets/search`. Raise DecodeError."""
    return _decode_evaluation_datasets(body)


def decode_metric_points(body: bytes) -> Page[MetricPoint]:
    """Decode the answer of `metrics/get-history-bulk` and its like. Raise DecodeError.

    It has NaN bare, for which a whole answer would be read row by row, so that is quoted, as in other answers.
    """
    return _decode_metric_points(_BARE_VALUE.sub(rb'"value":"\1"', body))


class _OneRun(msgspec.Struct):
    run: Run


class _OneMeasuredRun(msgspec.Struct):
    run: MeasuredRun


class _OneExperiment(msgspec.Struct):
    experiment: Experiment


class _ExperimentIds(msgspec.Struct):
    experiment_ids: list[str] = []


class _DataPoint(msgspec.Struct):
    values: dict[str, int] = {}


class _TraceMetrics(msgspec.Struct):
    data_points: list[_DataPoint] = []


def decode_run(body: bytes) -> Run:
    """Decode the answer of `runs/get`. Raise DecodeError."""
    return _decode_one(body, _OneRun, "runs/get").run


def decode_measured_run(body: bytes) -> MeasuredRun:
    """Decode the metrics in the answer of `runs/get`. Raise DecodeError."""
    return _decode_one(body, _OneMeasuredRun, "runs/get").run


def decode_experiment(body: bytes) -> Experiment:
    """Decode the answer of `experiments/get`. Raise DecodeError."""
    return _decode_one(body, _OneExperiment, "experiments/get").experiment


def decode_experiment_ids(body: bytes) -> list[str]:
    """Decode the answer of `datasets/ID/experiment-ids`. Raise DecodeError."""
    return _decode_one(body, _ExperimentIds, "datasets/ID/experiment-ids").experiment_ids


def decode_trace_count(body: bytes) -> int:
    """Decode how many traces `traces/metrics` has counted. Raise DecodeError."""
    points = _decode_one(body, _TraceMetrics, "traces/metrics").data_points
    return sum(point.values.get("COUNT", 0) for point in points)


def _decode_one(body: bytes, answer: type[Row], endpoint: str) -> Row:
    try:
        return msgspec.json.decode(body, type=answer, strict=False)
    except _NOT_AS_EXPECTED:
        raw = _loads(body)
    try:
        return _convert_mended(raw, answer)[0]
    except msgspec.ValidationError as error:
        raise DecodeError(f"MLflow's answer to {endpoint} cannot be read: {error}.") from None
