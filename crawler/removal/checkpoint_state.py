"""The checkpoint of stale removal as acryl-datahub reads and writes it, byte for byte: pure.

Sources: `ingestion/source/state/checkpoint.py`, `entity_removal_state.py` and
`source/state_provider/datahub_ingestion_checkpointing_provider.py` of acryl-datahub.
"""

import base64
import bz2
import json
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from crawler.datahub import timeseries, urns
from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.runs import PartitionSpec
from crawler.errors import DecodeError

OFFICIAL_JOB = "mlflow_stale_entity_removal"
"""The job id of the official connector, `StaleEntityRemovalHandler.compute_job_id("mlflow")`."""
OWN_JOB = f"{OFFICIAL_JOB}_own"
"""Of kinds that the official connector does not know: it looks for its own job id only, and leaves this one alone."""
SERDE = "base85-bz2-json"
MAX_STATE_BYTES = 256_000_000
"""What a payload may be unpacked to: some two million URNs."""

_WHOLE_TABLE = PartitionSpec(partition="FULL_TABLE_SNAPSHOT", type="FULL_TABLE")


class CheckpointState(msgspec.Struct, frozen=True, rename="camel"):
    """URNs as text: JSON, compressed and encoded as `serde` says."""

    format_version: str
    serde: str
    payload: str = ""


class DatahubIngestionCheckpoint(Aspect, frozen=True):
    """The timeseries aspect `datahubIngestionCheckpoint` of a job; the newest counts."""

    NAME: ClassVar[str] = "datahubIngestionCheckpoint"

    timestamp_millis: int
    partition_spec: PartitionSpec
    pipeline_name: str
    platform_instance_id: str
    config: str
    state: CheckpointState
    run_id: str


class _Urns(msgspec.Struct):
    urns: list[str] = []


class _Checkpoint(msgspec.Struct, rename="camel"):
    pipeline_name: str
    state: CheckpointState


def job_urn(orchestrator: str, pipeline_name: str, job: str) -> str:
    """Return the dataJob that has the checkpoint (`mce_builder.make_data_job_urn`)."""
    return urns.data_job(orchestrator, pipeline_name, "prod", job)


def checkpoint_query(pipeline_name: str, job: str) -> bytes:
    """Return the body of a request for the last checkpoint of a pipeline, as `datahub ingest` asks for it."""
    urn = job_urn("datahub", pipeline_name, job)
    return timeseries.query_latest(urn, "dataJob", DatahubIngestionCheckpoint.NAME, pipelineName=pipeline_name)


def checkpoint(listed: Iterable[str], *, pipeline_name: str, run_id: str, time: int) -> DatahubIngestionCheckpoint:
    """Return the checkpoint of the URNs that a crawl listed, in this order; `time` in ms since epoch."""
    return DatahubIngestionCheckpoint(
        timestamp_millis=time,
        partition_spec=_WHOLE_TABLE,
        pipeline_name=pipeline_name,
        platform_instance_id="",
        config="",
        state=CheckpointState("1.0", SERDE, encode_urns(listed)),
        run_id=run_id,
    )


def encode_urns(listed: Iterable[str]) -> str:
    """Return the payload of a state."""
    text = json.dumps({"urns": list(listed)})
    return base64.b85encode(bz2.compress(text.encode(), 9)).decode()


def decode_checkpoint(aspect: bytes | str) -> list[str]:
    """Return the URNs of a checkpoint, given as JSON, each once and in its order.

    Raises:
        DecodeError: It is no checkpoint, or one of an encoding that acryl-datahub does not read either.
    """
    try:
        state = msgspec.json.decode(aspect, type=_Checkpoint).state
        found = msgspec.json.decode(_unpacked(state), type=_Urns).urns
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OSError, EOFError) as error:
        raise DecodeError(f"The checkpoint in DataHub cannot be read: {error}.") from None
    return list(dict.fromkeys(found))


def _unpacked(state: CheckpointState) -> bytes:
    if not state.payload:
        return b"{}"
    if state.serde == "utf-8":
        return state.payload.encode()
    if state.serde != SERDE:
        raise ValueError(f"its encoding {state.serde!r} is not known")
    decompressor = bz2.BZ2Decompressor()
    data = decompressor.decompress(base64.b85decode(state.payload), MAX_STATE_BYTES)
    if not decompressor.eof:
        raise ValueError("it is cut off, or too large")
    return data
