"""Rows without the user names and passwords that stand within URLs: a catalog is read by everyone."""

from typing import TypeVar

import msgspec
from msgspec import structs

from crawler.mlflow.entities import (
    EvaluationDataset,
    Experiment,
    KeyValue,
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

_encode = msgspec.json.Encoder().encode
_decode_run_texts = msgspec.json.Decoder(_RunTexts).decode


def clean_run(run: Run) -> tuple[Run, int]:
    """Return the run without user info in its URLs, and how many URLs had some."""
    encoded = _encode((run.info, run.data.params, run.data.tags, run.inputs))
    # The first condition is a part of the second one, without a call.
    if (b"@" not in encoded and b"%" not in encoded) or not may_have_credentials(encoded):
        return run, 0
    stripped, removed = strip_json(encoded)
    if not removed:
        return run, 0
    info, params, tags, inputs = _decode_run_texts(stripped)
    return Run(info, structs.replace(run.data, params=params, tags=tags), inputs), removed


def clean_row(row: Listed) -> tuple[Listed, int]:
    """Return the same for a row of another listing."""
    encoded = _encode(row)
    if not may_have_credentials(encoded):
        return row, 0
    stripped, removed = strip_json(encoded)
    return (msgspec.json.decode(stripped, type=type(row)), removed) if removed else (row, 0)
