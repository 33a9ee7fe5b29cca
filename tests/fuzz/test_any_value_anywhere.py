"""Any JSON value in any field of any listing: the row is read or named, its neighbours are read, and all is mapped."""

import copy
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import DecodeError
from crawler.mlflow.decoding import decode_run
from tests.fuzz.decoding import DECODERS, LISTS, decode_page
from tests.fuzz.mapping import MAPPINGS, Read, entities_of
from tests.fuzz.proposals import file_of
from tests.support.examples import examples
from tests.support.judge import judge_all

pytestmark = pytest.mark.slow

TAGS = [{"key": "mlflow.note.content", "value": "a note"}, {"key": "mlflow.parentRunId", "value": "r0"}]
IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}
SCHEMA = json.dumps({"mlflow_colspec": [{"name": "a", "type": "long"}]})
DATASET = {"name": "d", "digest": "x", "source_type": "s3", "source": "{}", "schema": SCHEMA, "profile": "{}"}
ROWS: dict[str, dict[str, Any]] = {
    "runs": {
        "info": {
            "run_id": "r1",
            "run_uuid": "r1",
            "experiment_id": "7",
            "run_name": "n",
            "user_id": "u",
            "status": "FINISHED",
            "start_time": 5,
            "end_time": 9,
            "artifact_uri": "s3://a",
            "lifecycle_stage": "active",
        },
        "data": {
            "metrics": [{"key": "m", "value": 0.5, "timestamp": 1, "step": 0}],
            "params": [{"key": "p", "value": "1"}],
            "tags": TAGS,
        },
        "inputs": {"dataset_inputs": [{"tags": TAGS, "dataset": DATASET}], "model_inputs": []},
        "outputs": {},
    },
    "experiments": {
        "experiment_id": "7",
        "name": "e",
        "artifact_location": "s3://a",
        "lifecycle_stage": "active",
        "creation_time": 5,
        "last_update_time": 6,
        "tags": TAGS,
        "workspace": "default",
    },
    "registered_models": {
        "name": "m",
        "creation_timestamp": 5,
        "last_updated_timestamp": 6,
        "description": "d",
        "tags": TAGS,
        "latest_versions": [{"name": "m", "version": "1"}],
        "aliases": [{"alias": "a", "version": "1"}],
    },
    "model_versions": {
        "name": "m",
        "version": "1",
        "creation_timestamp": 5,
        "last_updated_timestamp": 6,
        "user_id": "u",
        "current_stage": "None",
        "description": "d",
        "source": "s3://a",
        "run_id": "r1",
        "status": "READY",
        "tags": TAGS,
        "run_link": "",
    },
    "prompts": {
        "name": "p",
        "creation_timestamp": 5,
        "last_updated_timestamp": 6,
        "description": "d",
        "tags": [IS_PROMPT, {"key": "_mlflow_experiment_ids", "value": ",7,"}],
        "latest_versions": [{"name": "p", "version": "1"}],
        "aliases": [{"alias": "a", "version": "1"}],
    },
    "prompt_versions": {
        "name": "p",
        "version": "1",
        "creation_timestamp": 5,
        "last_updated_timestamp": 6,
        "description": "d",
        "source": "dummy-source",
        "run_id": "",
        "tags": [
            IS_PROMPT,
            {"key": "mlflow.prompt.text", "value": "[]"},
            {"key": "_mlflow_prompt_type", "value": "chat"},
        ],
    },
    "evaluation_datasets": {
        "dataset_id": "d-1",
        "name": "d",
        "digest": "x",
        "tags": '{"team": "a"}',
        "schema": '{"inputs": {"question": "string"}}',
        "profile": '{"num_records": 3}',
        "created_time": 5,
        "last_update_time": 6,
        "created_by": "u",
        "last_updated_by": "u",
        "experiment_ids": ["7"],
    },
    "logged_models": {
        "info": {
            "model_id": "m-0123456789abcdef0123456789abcdef",
            "experiment_id": "7",
            "name": "a model",
            "creation_timestamp_ms": 5,
            "last_updated_timestamp_ms": 6,
            "artifact_uri": "s3://a",
            "status": "LOGGED_MODEL_READY",
            "model_type": "",
            "source_run_id": "r1",
            "status_message": "",
            "tags": TAGS,
            "registrations": [],
        },
        "data": {
            "params": [{"key": "p", "value": "1"}],
            "metrics": [
                {"key": "a", "value": 0.5, "timestamp": 1, "step": 0, "run_id": "r1", "dataset_name": "d"},
                {"key": "a", "value": 0.0, "timestamp": 2, "step": 0, "run_id": "r2", "dataset_digest": "x"},
            ],
        },
    },
}
FIELDS = {
    "registered_models": "models",
    "model_versions": "versions",
    "prompts": "models",
    "prompt_versions": "versions",
}
"""Of what was read, for these kinds."""
texts = st.text(max_size=20) | st.sampled_from(["\ud800", "a,b", "(", "\x1b[2J", "n" * 520, "9" * 5_000, "NaN", "1e3"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**61, 2**65) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> list[Path]:
    """Every place within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *paths(item, (*path, key)))]


def put(row: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    """The row with another value somewhere."""
    changed = copy.deepcopy(row)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("kind", DECODERS)
@examples(300)
@given(data=st.data(), value=values, escaped=st.booleans())
def test_a_row_is_read_or_named_and_mapped(kind: str, data: st.DataObject, value: object, escaped: bool) -> None:
    row = ROWS[kind]
    changed = put(row, data.draw(st.sampled_from(paths(row))), value)
    name = LISTS.get(kind, kind)
    body = json.dumps({name: [row, changed, row]}, ensure_ascii=escaped).encode(errors="surrogatepass")
    page = decode_page(kind, body, Counter())
    assert page is not None
    assert len(page.rows) + len(page.unreadable) == 3
    assert page.rows.count(DECODERS[kind](json.dumps({name: [row]}).encode()).rows[0]) >= 2
    judge_all(
        file_of(entities_of(_read(kind, page.rows[:2]), data.draw(st.sampled_from(MAPPINGS)), Counter()), Counter())
    )


@examples(300)
@given(st.sampled_from(paths({"run": ROWS["runs"]})), values)
def test_runs_get_is_read_or_a_named_error(path: Path, value: object) -> None:
    with suppress(DecodeError):
        decode_run(json.dumps(put({"run": ROWS["runs"]}, path, value)).encode())


@given(st.sampled_from(sorted(DECODERS)), values)
def test_a_page_may_be_any_value(kind: str, value: object) -> None:
    name = LISTS.get(kind, kind)
    for answer in (value, {name: value}, {name: [value]}, {name: [], "next_page_token": value}):
        decode_page(kind, json.dumps(answer).encode(), Counter())


def _read(kind: str, rows: list[Any]) -> Read:
    """A crawl that read only these rows."""
    read = Read([], [], [], [])
    if kind == "runs":
        read.runs = [rows]
    else:
        setattr(read, FIELDS.get(kind, kind), rows)
    return read
