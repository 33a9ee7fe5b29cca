"""The checkpoint, judged by acryl-datahub's own classes."""

import base64
import bz2
import json
from typing import Any

import msgspec
import pytest
from datahub.emitter.mce_builder import make_data_job_urn
from datahub.ingestion.source.state.checkpoint import Checkpoint
from datahub.ingestion.source.state.entity_removal_state import GenericCheckpointState
from datahub.ingestion.source.state.stale_entity_removal_handler import StaleEntityRemovalHandler
from datahub.metadata.schema_classes import DatahubIngestionCheckpointClass
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import DecodeError
from crawler.removal import checkpoint_state
from crawler.removal.checkpoint_state import checkpoint, decode_checkpoint, encode_urns, job_urn
from tests.support.judge import judge_aspect

URNS = st.lists(st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: f"urn:li:tag:{text}"), unique=True)


def official(urns: list[str]) -> DatahubIngestionCheckpointClass:
    state = GenericCheckpointState(urns=urns)
    made = Checkpoint(job_name="j", pipeline_name="p", run_id="r", state=state).to_checkpoint_aspect(2**24)
    assert made is not None
    return made


def ours(urns: list[str]) -> Any:
    return msgspec.to_builtins(checkpoint(urns, pipeline_name="p", run_id="r", time=5))


@given(URNS)
def test_the_payload_is_the_official_one_byte_for_byte(urns: list[str]) -> None:
    assert encode_urns(urns).encode() == official(urns).state.payload


@given(URNS)
def test_the_aspect_is_the_official_one(urns: list[str]) -> None:
    theirs = official(urns)
    theirs.timestampMillis = 5
    assert DatahubIngestionCheckpointClass.from_obj(ours(urns)) == theirs
    judge_aspect("datahubIngestionCheckpoint", ours(urns))


@given(URNS)
def test_each_reads_what_the_other_wrote(urns: list[str]) -> None:
    assert decode_checkpoint(json.dumps(official(urns).to_obj())) == urns
    aspect = DatahubIngestionCheckpointClass.from_obj(ours(urns))
    read = Checkpoint.create_from_checkpoint_aspect("j", aspect, GenericCheckpointState)
    assert read is not None
    assert read.state.urns == urns


def test_a_urn_that_is_there_twice_counts_once() -> None:
    assert decode_checkpoint(json.dumps(ours(["b", "a", "b"]))) == ["b", "a"]


def test_a_checkpoint_of_plain_json_is_read() -> None:
    aspect = ours([])
    aspect["state"] |= {"serde": "utf-8", "payload": '{"urns": ["ü"]}'}
    assert decode_checkpoint(json.dumps(aspect)) == ["ü"]


@pytest.mark.parametrize("name", ["nightly", "a, b (c)", "ünï", " x "])
def test_the_job_has_the_official_urn(name: str) -> None:
    job = StaleEntityRemovalHandler.compute_job_id("mlflow")
    assert job_urn("datahub", name, checkpoint_state.OFFICIAL_JOB) == make_data_job_urn("datahub", name, job)


BROKEN: dict[str, bytes | str] = {
    "no JSON": b"\xff",
    "no checkpoint": b'{"a": 1}',
    "pickle": json.dumps(ours([]) | {"state": {"formatVersion": "1.0", "serde": "base85", "payload": "x"}}),
    "no base 85": json.dumps(
        ours([]) | {"state": {"formatVersion": "1.0", "serde": "base85-bz2-json", "payload": "\\"}}
    ),
    "cut off": json.dumps(
        ours([]) | {"state": ours(["urn:li:tag:a"])["state"] | {"payload": encode_urns(["urn:li:tag:a"])[:-10]}}
    ),
    "other JSON": json.dumps(
        ours([]) | {"state": ours([])["state"] | {"payload": base64.b85encode(bz2.compress(b'{"urns": [1]}')).decode()}}
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_an_error(case: str) -> None:
    with pytest.raises(DecodeError, match="checkpoint"):
        decode_checkpoint(BROKEN[case])


def test_a_state_that_fills_the_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_state, "MAX_STATE_BYTES", 1_000)
    with pytest.raises(DecodeError, match="too large"):
        decode_checkpoint(json.dumps(ours(["u" * 2_000])))
