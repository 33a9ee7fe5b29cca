"""Where checkpoints are kept: in DataHub, or in a file, each as acryl-datahub's state provider of that type."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import msgspec
import orjson

from crawler.atomic_files import AtomicFile, atomic_file, open_for_owner, reason_of
from crawler.datahub.aspects.aspect import TimeStamp
from crawler.datahub.aspects.entities import Status
from crawler.datahub.batching import EncodedEntity, batch_of
from crawler.datahub.client import GmsClient
from crawler.datahub.encoding import MAX_ASPECT_BYTES
from crawler.datahub.proposals import SystemMetadata, encode_system_metadata
from crawler.datahub.versions import knows_lifecycle
from crawler.datahub.wire.restli import RestliWire
from crawler.errors import DecodeError, InputError, OutputError
from crawler.removal.checkpoint_state import DatahubIngestionCheckpoint, checkpoint_query, decode_checkpoint, job_urn

_NO_RUN = "no-run-id-provided"
_SYSTEM = "urn:li:corpuser:__datahub_system"


class CheckpointStore(Protocol):
    """The checkpoints of one pipeline, by job id."""

    max_bytes: int
    """The largest aspect that can be kept, as JSON."""

    async def read(self, job: str) -> list[str] | None:
        """Return the URNs of the last checkpoint; None where there is none.

        Raises:
            CrawlerError: It cannot be had, or not be read.
        """
        ...

    async def write(self, job: str, checkpoint: DatahubIngestionCheckpoint) -> None:
        """Keep a checkpoint.

        Raises:
            CrawlerError: It could not be kept.
        """
        ...


class DatahubCheckpoints:
    """Checkpoints in DataHub, as aspects of a dataJob (`datahub_ingestion_checkpointing_provider.py`)."""

    max_bytes = MAX_ASPECT_BYTES

    def __init__(self, client: GmsClient, pipeline_name: str) -> None:
        self._client = client
        self._pipeline_name = pipeline_name

    async def read(self, job: str) -> list[str] | None:
        """Return the URNs of the last checkpoint; None where there is none."""
        aspect = await self._client.latest_timeseries(checkpoint_query(self._pipeline_name, job))
        return None if aspect is None else await asyncio.to_thread(decode_checkpoint, aspect)

    async def write(self, job: str, checkpoint: DatahubIngestionCheckpoint) -> None:
        """Write the checkpoint, and that its dataJob is removed: so no search shows it.

        The time in that status is new each time: otherwise DataHub would take the job for one that was removed long
        ago, and its garbage collection would delete it with the checkpoint.
        """
        version = await self._client.version()
        now = time.time_ns() // 1_000_000
        wire = RestliWire(encode_system_metadata(SystemMetadata(now, _NO_RUN)))
        key = wire.encode_entity_key("dataJob", urn := job_urn("datahub", self._pipeline_name, job))
        has_lifecycle = knows_lifecycle(version, is_cloud=self._client.is_cloud)
        lifecycle = TimeStamp(now, _SYSTEM) if has_lifecycle else None
        status = Status(removed=True, lifecycle_last_updated=lifecycle)
        proposals = [key + wire.encode_aspect(each.NAME, msgspec.json.encode(each)) for each in (status, checkpoint)]
        batch = batch_of([EncodedEntity("dataJob", urn, proposals)])
        await self._client.write(wire.request(batch, asynchronous=False))


class FileCheckpoints:
    """Checkpoints in a file of proposals (`file_ingestion_checkpointing_provider.py`), beside those of others."""

    max_bytes = sys.maxsize

    def __init__(self, path: Path, pipeline_name: str) -> None:
        self._path = path
        self._pipeline_name = pipeline_name

    async def read(self, job: str) -> list[str] | None:
        """Return the URNs of the last checkpoint; None where there is none, or no file."""
        urn = job_urn("file", self._pipeline_name, job)
        for proposal in self._proposals():
            if _is_checkpoint_of(proposal, urn):
                return await asyncio.to_thread(decode_checkpoint, _aspect_of(proposal))
        return None

    async def write(self, job: str, checkpoint: DatahubIngestionCheckpoint) -> None:
        """Write the file anew, with this checkpoint in place of the last one."""
        urn = job_urn("file", self._pipeline_name, job)
        proposal = {
            "entityType": "dataJob",
            "entityUrn": urn,
            "changeType": "UPSERT",
            "aspectName": checkpoint.NAME,
            "aspect": {"json": msgspec.to_builtins(checkpoint)},
        }
        others = [each for each in self._proposals() if not _is_checkpoint_of(each, urn)]
        try:
            _write(atomic_file(self._path), orjson.dumps([*others, proposal], option=orjson.OPT_INDENT_2))
        except (OSError, ValueError) as error:
            raise OutputError(f"Writing the checkpoint {self._path} failed: {reason_of(error)}.") from None

    def _proposals(self) -> list[dict[str, Any]]:
        """Return what the file has; nothing where there is none."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[dict[str, Any]])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"Reading the checkpoint {self._path} failed: {error.strerror}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"{self._path} is no file of checkpoints: {error}.") from None


def _is_checkpoint_of(proposal: dict[str, Any], urn: str) -> bool:
    return (proposal.get("entityUrn"), proposal.get("aspectName")) == (urn, DatahubIngestionCheckpoint.NAME)


def _aspect_of(proposal: dict[str, Any]) -> bytes:
    """Return the aspect's JSON, which older files hold as a text within JSON."""
    aspect = proposal.get("aspect")
    if not isinstance(aspect, dict):
        return b""
    value = aspect.get("value")
    return value.encode() if isinstance(value, str) else msgspec.json.encode(aspect.get("json"))


def _write(file: AtomicFile, content: bytes) -> None:
    with open(file.temp_path, "wb", opener=open_for_owner) as output:
        output.write(content)
    file.publish()
