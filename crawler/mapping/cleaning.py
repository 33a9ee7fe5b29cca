"""Rows without the user names and passwords that stand within URLs: a catalog is read by everyone."""

from typing import TypeVar

import msgspec
from msgspec import structs

from crawler.mlflow.entities import (
    EvaluationDataset,
    Experiment,
    KeyValue,
    LoggedModel,
    LoggedModelInfo,
    ModelVersion,
    RegisteredModel,
    Run,
    RunInfo,
    RunInputs,
)
from crawler.url_credentials import may_have_credentials, strip_json

Listed = TypeVar("Listed", EvaluationDataset, Experiment, ModelVersion, RegisteredModel)
_RunTexts = tuple[RunInfo, list[KeyValue], list[KeyValue], RunInputs | None]
"""What of a run can hold a URL. MLflow lets no metric's name have an `@`."""

_LoggedModelTexts = tuple[LoggedModelInfo, list[KeyValue], list[str]]
"""What of a logged model can hold a URL; the texts are the names of datasets of its metrics."""

_encode = msgspec.json.Encoder().encode
_decode_run_texts = msgspec.json.Decoder(_RunTexts).decode
_decode_logged_model_texts = msgspec.json.Decoder(_LoggedModelTexts).decode


def clean_run(run: Run) -> tuple[Run, int]:
    """Return the run without user info in its URLs, and how many URLs had some."""
    encoded = _encode((run.info, run.data.params, run.data.tags, run.inputs))
    if not may_have_credentials(encoded):
        return run, 0
    stripped, removed = strip_json(encoded)
    if not removed:
        return run, 0
    info, params, tags, inputs = _decode_run_texts(stripped)
    data = structs.replace(run.data, params=params, tags=tags)
    return structs.replace(run, info=info, data=data, inputs=inputs), removed


def clean_logged_model(model: LoggedModel) -> tuple[LoggedModel, int]:
    """Return the same for a logged model."""
    metrics = model.data.metrics
    encoded = _encode((model.info, model.data.params, [each.dataset_name for each in metrics if each.dataset_name]))
    if not may_have_credentials(encoded):
        return model, 0
    stripped, removed = strip_json(encoded)
    if not removed:
        return model, 0
    info, params, names = _decode_logged_model_texts(stripped)
    cleaned = iter(names)
    metrics = [structs.replace(each, dataset_name=next(cleaned)) if each.dataset_name else each for each in metrics]
    return LoggedModel(info, structs.replace(model.data, params=params, metrics=metrics)), removed


def clean_row(row: Listed) -> tuple[Listed, int]:
    """Return the same for a row of another listing."""
    encoded = _encode(row)
    if not may_have_credentials(encoded):
        return row, 0
    stripped, removed = strip_json(encoded)
    return (msgspec.json.decode(stripped, type=type(row)), removed) if removed else (row, 0)
