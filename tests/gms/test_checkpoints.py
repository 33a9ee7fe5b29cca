"""The double keeps and answers what stale removal writes and reads: checkpoints, and patches of `status`."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from datahub.emitter.mce_builder import make_data_job_urn
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DatahubRestEmitter
from datahub.ingestion.api.ingestion_job_checkpointing_provider_base import JobId
from datahub.ingestion.graph.client import DataHubGraph
from datahub.ingestion.graph.config import DatahubClientConfig
from datahub.ingestion.source.state_provider.datahub_ingestion_checkpointing_provider import (
    DatahubIngestionCheckpointingProvider,
)
from datahub.metadata.schema_classes import DatahubIngestionCheckpointClass, IngestionCheckpointStateClass, StatusClass
from datahub.specific.status import StatusPatchBuilder

from tests.gms.server import Gms

JOB = JobId("mlflow_stale_entity_removal")
URN = make_data_job_urn("datahub", "nightly", JOB)
TAG = "urn:li:tag:a"


def checkpoint(time: int, run_id: str, pipeline_name: str = "nightly") -> DatahubIngestionCheckpointClass:
    state = IngestionCheckpointStateClass(formatVersion="1.0", serde="base85-bz2-json", payload=b"x")
    return DatahubIngestionCheckpointClass(
        timestampMillis=time, pipelineName=pipeline_name, platformInstanceId="", config="", runId=run_id, state=state
    )


def provider(url: str) -> DatahubIngestionCheckpointingProvider:
    return DatahubIngestionCheckpointingProvider(DataHubGraph(DatahubClientConfig(server=url)))


def commit(url: str, *checkpoints: DatahubIngestionCheckpointClass) -> None:
    for each in checkpoints:
        committing = provider(url)
        committing.state_to_commit = {JOB: each}
        committing.commit()


async def test_acryl_datahubs_provider_reads_back_the_newest_that_it_wrote() -> None:
    async with Gms() as gms:
        assert await asyncio.to_thread(lambda: provider(gms.url).get_latest_checkpoint("nightly", JOB)) is None
        await asyncio.to_thread(commit, gms.url, checkpoint(5, "newest"), checkpoint(4, "older"))
        latest = await asyncio.to_thread(lambda: provider(gms.url).get_latest_checkpoint("nightly", JOB))
        assert latest is not None
        assert (latest.runId, latest.state.payload) == ("newest", b"x")
        assert await asyncio.to_thread(lambda: provider(gms.url).get_latest_checkpoint("other", JOB)) is None
    assert gms.aspects[URN, "status"]["removed"] is True
    assert gms.dropped == []


async def test_another_pipelines_checkpoint_does_not_pass_the_filter() -> None:
    async with Gms() as gms:
        graph = await asyncio.to_thread(DataHubGraph, DatahubClientConfig(server=gms.url))
        mcp = MetadataChangeProposalWrapper(entityUrn=URN, aspect=checkpoint(9, "strange", "another"))
        await asyncio.to_thread(graph.emit_mcp, mcp)
        assert await asyncio.to_thread(lambda: provider(gms.url).get_latest_checkpoint("nightly", JOB)) is None


async def read(gms: Gms, body: Any, **headers: str) -> int:
    url = f"{gms.url}/aspects?action=getTimeseriesAspectValues"
    given = {"X-RestLi-Protocol-Version": "2.0.0", **headers}
    async with aiohttp.ClientSession() as session, session.post(url, data=json.dumps(body), headers=given) as response:
        return response.status


ASKED = {"urn": URN, "entity": "dataJob", "aspect": "datahubIngestionCheckpoint", "limit": 1}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ASKED, 200),
        (ASKED | {"urn": TAG}, 500),
        (ASKED | {"aspect": "status"}, 500),
        (ASKED | {"filter": {"and": []}}, 400),
        (ASKED | {"filter": {"or": [{"and": [{"field": "a", "values": ["b"], "condition": "CONTAIN"}]}]}}, 500),
        ({}, 400),
    ],
)
async def test_what_no_reader_can_mean_is_refused(body: Any, status: int) -> None:
    async with Gms() as gms:
        gms.history.append((URN, "datahubIngestionCheckpoint", checkpoint(1, "r").to_obj()))
        assert await read(gms, body) == status


async def test_who_may_not_read_is_refused() -> None:
    async with Gms(unreadable=[URN]) as gms:
        assert await read(gms, ASKED) == 403
    async with Gms(token="t") as gms:
        assert await read(gms, ASKED, Accept="application/json") == 401


def patch(url: str, *, openapi: bool = False) -> None:
    emitter = DatahubRestEmitter(url, openapi_ingestion=openapi, retry_max_times=1)
    for mcp in StatusPatchBuilder(TAG).set_removed(True).build():
        emitter.emit_mcp(mcp)


@pytest.mark.parametrize("openapi", [False, True])
async def test_a_patch_of_status_leaves_the_rest_of_it(openapi: bool) -> None:
    async with Gms() as gms:
        await asyncio.to_thread(patch, gms.url, openapi=openapi)
        assert gms.aspects[TAG, "status"] == {"removed": True}
        gms.aspects[TAG, "status"] = {"removed": False, "lifecycleStage": "urn:li:lifecycleStage:certified"}
        await asyncio.to_thread(patch, gms.url, openapi=openapi)
    assert gms.aspects[TAG, "status"] == {"removed": True, "lifecycleStage": "urn:li:lifecycleStage:certified"}


async def test_older_servers_answer_500_to_a_patch() -> None:
    async with Gms(version="v1.6.0") as gms:
        with pytest.raises(Exception, match="AspectTemplate"):
            await asyncio.to_thread(patch, gms.url)
    assert gms.aspects == {}


async def test_an_upsert_replaces_all_of_it() -> None:
    async with Gms() as gms:
        gms.aspects[TAG, "status"] = {"removed": False, "lifecycleStage": "urn:li:lifecycleStage:certified"}
        graph = await asyncio.to_thread(DataHubGraph, DatahubClientConfig(server=gms.url))
        mcp = MetadataChangeProposalWrapper(entityUrn=TAG, aspect=StatusClass(removed=True))
        await asyncio.to_thread(graph.emit_mcp, mcp)
    assert gms.aspects[TAG, "status"] == {"removed": True}
