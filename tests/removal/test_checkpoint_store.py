"""Checkpoints in DataHub and in files: acryl-datahub's state providers read ours, and ours are read from theirs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.api.ingestion_job_checkpointing_provider_base import (
    IngestionCheckpointingProviderBase,
    JobId,
)
from datahub.ingestion.graph.client import DataHubGraph
from datahub.ingestion.graph.config import DatahubClientConfig
from datahub.ingestion.source.state.checkpoint import Checkpoint
from datahub.ingestion.source.state.entity_removal_state import GenericCheckpointState
from datahub.ingestion.source.state_provider.datahub_ingestion_checkpointing_provider import (
    DatahubIngestionCheckpointingProvider,
)
from datahub.ingestion.source.state_provider.file_ingestion_checkpointing_provider import (
    FileIngestionCheckpointingProvider,
    FileIngestionStateProviderConfig,
)
from datahub.metadata.schema_classes import DatahubIngestionCheckpointClass

from crawler.datahub.client import GmsClient
from crawler.errors import CrawlerError, DecodeError, InputError, OutputError, RequestRefused
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.removal.checkpoint_state import OFFICIAL_JOB, checkpoint
from crawler.removal.checkpoint_store import DatahubCheckpoints, FileCheckpoints
from crawler.settings.servers import ServerSettings
from tests.gms.server import Gms

URNS = ["urn:li:tag:ü", "urn:li:container:2", "urn:li:container:1"]
PIPELINE = "nightly, 1"
JOB = JobId(OFFICIAL_JOB)


def new(urns: list[str]) -> Any:
    """Older than what a test writes next."""
    return checkpoint(urns, pipeline_name=PIPELINE, run_id="r", time=time.time_ns() // 1_000_000 - 10_000)


def commit(provider: IngestionCheckpointingProviderBase, urns: list[str]) -> None:
    """As a pipeline of acryl-datahub does at its end."""
    made = Checkpoint(job_name=JOB, pipeline_name=PIPELINE, run_id="o", state=GenericCheckpointState(urns=urns))
    aspect = made.to_checkpoint_aspect(2**24)
    assert aspect is not None
    provider.state_to_commit = {JOB: aspect}
    provider.commit()


def latest(provider: IngestionCheckpointingProviderBase) -> list[str]:
    """As a pipeline of acryl-datahub reads it."""
    read = Checkpoint.create_from_checkpoint_aspect(
        JOB, provider.get_latest_checkpoint(PIPELINE, JOB), GenericCheckpointState
    )
    assert read is not None
    urns: list[str] = read.state.urns
    return urns


def of_datahub(gms: Gms) -> DatahubIngestionCheckpointingProvider:
    return DatahubIngestionCheckpointingProvider(DataHubGraph(DatahubClientConfig(server=gms.url)))


def of_file(path: Path) -> FileIngestionCheckpointingProvider:
    return FileIngestionCheckpointingProvider(FileIngestionStateProviderConfig(filename=str(path)))


@asynccontextmanager
async def ours(gms: Gms) -> AsyncIterator[DatahubCheckpoints]:
    settings = ServerSettings(url=gms.url, attempts=1, patience=0.0)
    async with Server("DataHub", settings, Traffic()) as server:
        yield DatahubCheckpoints(GmsClient(server), PIPELINE)


async def test_where_there_is_none_none_is_read() -> None:
    async with Gms() as gms, ours(gms) as store:
        assert await store.read(OFFICIAL_JOB) is None


async def test_acryl_datahub_reads_ours_and_we_read_theirs() -> None:
    async with Gms() as gms, ours(gms) as store:
        await store.write(OFFICIAL_JOB, new(URNS))
        assert await asyncio.to_thread(lambda: latest(of_datahub(gms))) == URNS
        await asyncio.to_thread(lambda: commit(of_datahub(gms), [*URNS, "urn:li:container:3"]))
        assert await store.read(OFFICIAL_JOB) == [*URNS, "urn:li:container:3"]
        assert gms.dropped == gms.violations == []


async def test_what_is_written_is_what_acryl_datahub_writes() -> None:
    async with Gms() as theirs, Gms() as mine, ours(mine) as store:
        await asyncio.to_thread(lambda: commit(of_datahub(theirs), URNS))
        await store.write(OFFICIAL_JOB, new(URNS))
    assert [each[:2] for each in mine.history] == [each[:2] for each in theirs.history]
    assert mine.modes == {"false"}
    for (_, _, official), (_, _, written) in zip(theirs.history, mine.history, strict=True):
        for value in (official, written):
            for path in ("timestampMillis", "runId"):
                value.pop(path, None)
            if "lifecycleLastUpdated" in value:
                assert abs(value["lifecycleLastUpdated"].pop("time") / 1_000 - time.time()) < 600
        assert written == official


async def test_an_older_schema_of_status_gets_no_lifecycle() -> None:
    async with Gms(version="v1.5.0.6") as gms, ours(gms) as store:
        await store.write(OFFICIAL_JOB, new(URNS))
    assert gms.history[0][2] == {"removed": True}


async def test_rights_that_are_missing_are_an_error() -> None:
    async with Gms() as gms, ours(gms) as store:
        await store.write(OFFICIAL_JOB, new(URNS))
        urn = gms.history[0][0]
    async with Gms(unreadable=[urn], forbidden=[urn]) as gms, ours(gms) as store:
        with pytest.raises(RequestRefused):
            await store.read(OFFICIAL_JOB)
        with pytest.raises(RequestRefused):
            await store.write(OFFICIAL_JOB, new(URNS))


async def test_another_answer_is_an_error() -> None:
    async with Gms() as gms, ours(gms) as store:
        await store.write(OFFICIAL_JOB, new(URNS))
        gms.history[-1][2]["state"]["serde"] = "base85"
        with pytest.raises(DecodeError, match="base85"):
            await store.read(OFFICIAL_JOB)


async def test_acryl_datahub_reads_our_file_and_we_read_theirs(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    store = FileCheckpoints(path, PIPELINE)
    assert await store.read(OFFICIAL_JOB) is None
    await store.write(OFFICIAL_JOB, new(URNS))
    assert latest(of_file(path)) == URNS
    assert path.stat().st_mode & 0o777 == 0o600
    commit(of_file(path), URNS[:1])
    assert await store.read(OFFICIAL_JOB) == URNS[:1]


async def test_what_others_keep_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for pipeline in ("a", "b", "a"):
        await FileCheckpoints(path, pipeline).write(OFFICIAL_JOB, new([f"urn:li:tag:{pipeline}"]))
    await FileCheckpoints(path, "a").write("another job", new(URNS))
    assert await FileCheckpoints(path, "a").read(OFFICIAL_JOB) == ["urn:li:tag:a"]
    assert await FileCheckpoints(path, "b").read(OFFICIAL_JOB) == ["urn:li:tag:b"]
    assert len(json.loads(path.read_bytes())) == 3


async def test_an_aspect_as_text_within_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    store = FileCheckpoints(path, PIPELINE)
    await store.write(OFFICIAL_JOB, new(URNS))
    (proposal,) = json.loads(path.read_bytes())
    aspect = DatahubIngestionCheckpointClass.from_obj(proposal["aspect"]["json"])
    mcp = MetadataChangeProposalWrapper(entityUrn=proposal["entityUrn"], aspect=aspect)
    path.write_text(json.dumps([mcp.to_obj()]))
    assert await store.read(OFFICIAL_JOB) == URNS


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"{}", DecodeError), (b"\xff", DecodeError), (b"[1]", DecodeError), (None, InputError)],
)
async def test_a_file_that_is_none_is_an_error(
    content: bytes | None, error: type[CrawlerError], tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(error):
        await FileCheckpoints(path, PIPELINE).read(OFFICIAL_JOB)


async def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="checkpoint"):
        await FileCheckpoints(tmp_path / "no folder" / "x", PIPELINE).write(OFFICIAL_JOB, new(URNS))
