"""The double's OpenAPI v3 endpoint does what GMS does; acryl-datahub's own emitter is content with it."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DatahubRestEmitter

from tests.gms.faults import Fault
from tests.gms.server import Gms

GOLDEN = Path(__file__).parents[1] / "golden"
HEADERS = {"Content-Type": "application/json", "User-Agent": "test"}
MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_1,PROD)"
OTHER = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_2,PROD)"
METADATA = {"runId": "r", "lastObserved": 1, "pipelineName": "p"}
STATUS = {"value": {"removed": False}, "systemMetadata": METADATA}
VERSION = {"versionSet": "urn:li:versionSet:(a,mlModel)", "version": {"versionTag": "1"}, "sortId": "1"}


def item(urn: Any = MODEL, **aspects: Any) -> dict[str, Any]:
    """One entity, with its status where nothing else is given."""
    return {"urn": urn, **(aspects or {"status": STATUS})}


async def post(
    gms: Gms, *items: Any, entity_type: str = "mlModel", query: str = "", body: bytes | None = None, **headers: str
) -> tuple[int, Any]:
    """Write entities as a client of its own: (status, answer)."""
    content = json.dumps(items).encode() if body is None else body
    given = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{gms.url}/openapi/v3/entity/{entity_type}{query}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(content), headers=given) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else text


def emit(url: str, proposals: list[dict[str, Any]], *, openapi: bool, single: bool = False) -> None:
    wrapped = [MetadataChangeProposalWrapper.from_obj_require_wrapper(dict(each)) for each in proposals]
    with DatahubRestEmitter(url, token="secret", openapi_ingestion=openapi) as emitter:
        emitter.test_connection()
        if single:
            for each in wrapped:
                emitter.emit_mcp(each)
        else:
            emitter.emit_mcps(wrapped)


def golden() -> list[dict[str, Any]]:
    proposals: list[dict[str, Any]] = json.loads((GOLDEN / "official-default.json").read_text())
    return proposals


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"frontend": True}, {"strict": False, "alternate": False}], ids=str)
async def test_the_official_emitter_writes_all_golden_proposals(options: dict[str, Any]) -> None:
    proposals = golden()
    async with Gms(token="secret", **options) as gms:
        url = f"{gms.url}/api/gms" if gms.behaviour.frontend else gms.url
        await asyncio.to_thread(emit, url, proposals, openapi=True)
    by_type = sorted(proposals, key=lambda each: each["entityType"])
    assert sorted(gms.history, key=lambda each: each[0].split(":")[2]) == [
        (each["entityUrn"], each["aspectName"], each["aspect"]["json"]) for each in by_type
    ]
    assert sum(gms.batches) == gms.proposals == len(proposals)
    assert gms.dropped == gms.violations == []
    assert all(metadata and metadata["runId"] for metadata in gms.system_metadata.values())


@pytest.mark.parametrize(("query", "status"), [("", 202), ("?async=true", 202), ("?async=false", 200)])
async def test_the_answer_lists_what_was_taken(query: str, status: int) -> None:
    async with Gms() as gms:
        answer, listed = await post(gms, item(), item(OTHER, versionProperties={"value": VERSION}), query=query)
    assert answer == status
    by_urn = {each["urn"]: each for each in listed}
    assert by_urn[MODEL]["status"] == {"value": {"removed": False}}
    assert by_urn[OTHER]["versionProperties"] == {"value": VERSION}
    assert ("mlModelKey" in by_urn[MODEL]) == (status == 200)
    assert gms.aspects == {(MODEL, "status"): {"removed": False}, (OTHER, "versionProperties"): VERSION}
    assert gms.system_metadata == {(MODEL, "status"): METADATA, (OTHER, "versionProperties"): None}
    assert (gms.batches, gms.answers) == ([2], [(status, 2)])
    assert gms.modes == {"true" if status == 202 else "false"}


@pytest.mark.parametrize(("query", "urns"), [("?async=true", [MODEL]), ("?async=false", [])])
async def test_what_was_there_before_is_listed_only_where_it_is_queued(query: str, urns: list[str]) -> None:
    async with Gms() as gms:
        await post(gms, item(), query=query)
        _, listed = await post(gms, item(), query=query)
        assert [each["urn"] for each in listed] == urns
        later = {"status": STATUS | {"systemMetadata": METADATA | {"runId": "s"}}}
        _, listed = await post(gms, item(**later), query=query)
        assert [each["urn"] for each in listed] == [MODEL]


class TestRefusal:
    """One bad item fails the request: nothing of it is stored."""

    async def refused(self, wrong: Any, query: str = "", **options: Any) -> tuple[int, Any]:
        async with Gms(**options) as gms:
            status, error = await post(gms, item(OTHER), wrong, query=query)
            assert gms.aspects == {}
            assert gms.dropped == []
        return status, error

    async def test_a_missing_urn(self) -> None:
        assert await self.refused({"status": STATUS}) == (500, {"error": "Internal server error occurred"})

    @pytest.mark.parametrize(
        "urn", ["mlModel", "urn:li:mlModel:(urn:li:dataPlatform:mlflow,a(b,PROD)", None, 5, "urn:li:tag:a"]
    )
    async def test_a_urn_that_is_none_or_of_another_type(self, urn: Any) -> None:
        status, error = await self.refused(item(urn))
        assert (status, list(error)) == (400, ["error"])

    @pytest.mark.parametrize("name", ["a" * 500, "a(b)", "a\u241fb", "a,b"])
    async def test_what_rest_li_drops_silently_is_a_500(self, name: str) -> None:
        urn = MODEL.replace("fraud_1", name)
        assert await self.refused(item(urn)) == (500, {"error": "Internal server error occurred"})

    @pytest.mark.parametrize("status", [400, 422])
    @pytest.mark.parametrize("value", [{}, {"removed": "no"}, {"gone": True}], ids=str)
    async def test_the_schema(self, status: int, value: dict[str, Any]) -> None:
        answer, error = await self.refused(item(status={"value": value}), validation_status=status)
        assert (answer, error["error"]) == (status, "Validation Error")
        assert error["message"].startswith("Failed to validate record with class status: ERROR :: ")

    async def test_the_schema_on_an_older_server(self) -> None:
        refused = await self.refused(item(status={"value": {}}), validation_status=500)
        assert refused == (500, {"error": "Internal server error occurred"})

    async def test_is_latest(self) -> None:
        status, error = await self.refused(item(versionProperties={"value": VERSION | {"isLatest": True}}))
        assert (status, error["message"][:8]) == (400, "IsLatest")

    async def test_an_unknown_aspect(self) -> None:
        status, error = await self.refused(item(containerProperties={"value": {"name": "a"}}))
        assert (status, error) == (400, {"error": "Unknown aspect containerProperties for entity mlModel"})

    async def test_privileges(self) -> None:
        status, error = await self.refused(item(), forbidden={MODEL})
        assert (status, error) == (403, {"error": "urn:li:corpuser:datahub is unauthorized to CREATE entities."})

    @pytest.mark.parametrize(
        "aspect", [{}, {"removed": False}, "x", {"value": {"removed": False}, "changeType": "UPSERT"}], ids=str
    )
    async def test_an_aspect_of_another_form(self, aspect: Any) -> None:
        assert (await self.refused(item(status=aspect)))[0] in {400, 500}

    async def test_an_aspect_that_kafka_does_not_take(self) -> None:
        wrong = item(mlModelProperties={"value": {"description": "a" * 5_242_880}})
        assert (await self.refused(wrong))[0] == 500

    async def test_more_than_500_characters(self) -> None:
        urn = f"urn:li:tag:{'a' * 490}"
        async with Gms() as gms:
            assert (await post(gms, item(urn), entity_type="tag", query="?async=false"))[0] == 500
            status, listed = await post(gms, item(urn), entity_type="tag")
        assert (status, listed[0]["urn"]) == (202, urn)
        assert (gms.dropped, gms.aspects) == ([urn], {})


async def test_an_older_server_leaves_an_unknown_aspect_out_of_its_answer() -> None:
    async with Gms(names_unknown_aspects=False, lacks={("mlModel", "versionProperties")}) as gms:
        status, listed = await post(gms, item(status=STATUS, versionProperties={"value": VERSION}))
    assert (status, listed) == (202, [{"urn": MODEL, "status": {"value": {"removed": False}}}])
    assert list(gms.aspects) == [(MODEL, "status")]


class TestRequest:
    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"urn":"a"}', b"[1]", b'[{"urn":"urn:li:mlModel:a","status":{},"status":{}}]']
    )
    async def test_a_body_of_another_form(self, body: bytes) -> None:
        async with Gms() as gms:
            assert (await post(gms, body=body))[0] == 400

    async def test_the_mode_is_a_boolean(self) -> None:
        async with Gms() as gms:
            assert (await post(gms, item(), query="?async=maybe"))[0] == 400

    async def test_the_content_type(self) -> None:
        async with Gms() as gms:
            assert (await post(gms, item(), Content_Type="text/plain"))[0] == 415

    async def test_token_and_size(self) -> None:
        async with Gms(token="secret", body_limit=300) as gms:
            assert (await post(gms, item()))[0] == 401
            assert (await post(gms, item(), Authorization="Bearer secret"))[0] == 202
            assert (await post(gms, item(), item(OTHER), Authorization="Bearer secret"))[0] == 413

    async def test_two_requests_at_once(self) -> None:
        async with Gms(latency=0.05) as gms:
            version = {"versionProperties": {"value": VERSION}}
            await asyncio.gather(post(gms, item()), post(gms, item(**version)), post(gms, item(OTHER, **version)))
        assert f"two requests at once for entity {MODEL}" in gms.violations
        assert "two requests at once for version set urn:li:versionSet:(a,mlModel)" in gms.violations

    async def test_the_script(self) -> None:
        def poison(proposals: list[dict[str, Any]]) -> Fault | None:
            return Fault(status=422) if any(each["entityUrn"] == OTHER for each in proposals) else None

        async with Gms() as gms:
            gms.script = [Fault(status=429, headers={"Retry-After": "7"}), Fault(status=503, stored=True)]
            gms.rule = poison
            answers = [(await post(gms, item(urn)))[0] for urn in (MODEL, MODEL, OTHER, MODEL)]
        assert answers == [429, 503, 422, 202]
        assert gms.batches == [1, 1]


class TestTrust:
    """Cheap, and yet two writers can be compared."""

    @pytest.mark.slow
    @pytest.mark.parametrize(("openapi", "single"), [(True, False), (False, False), (False, True), (True, True)])
    async def test_the_official_emitter_is_counted(self, *, openapi: bool, single: bool) -> None:
        proposals = golden()
        async with Gms(trust=True) as gms:
            await asyncio.to_thread(emit, gms.url, proposals, openapi=openapi, single=single)
        assert gms.proposals == len(proposals)
        summary = gms.census.summary()
        assert summary["aspects"] == len({(each["entityUrn"], each["aspectName"]) for each in proposals})
        assert sum(summary["entities"].values()) == len({each["entityUrn"] for each in proposals})  # type: ignore[attr-defined]

    @pytest.mark.slow
    async def test_both_endpoints_count_alike(self) -> None:
        async with Gms(trust=True) as restli, Gms(trust=True) as openapi:
            await asyncio.to_thread(emit, restli.url, golden(), openapi=False)
            await asyncio.to_thread(emit, openapi.url, golden(), openapi=True)
        assert restli.census.summary() == openapi.census.summary()

    async def test_the_answer_lists_what_was_taken(self) -> None:
        async with Gms(trust=True) as gms:
            status, listed = await post(gms, item(), item(OTHER))
        assert (status, [each["urn"] for each in listed]) == (202, [MODEL, OTHER])

    async def test_text_that_looks_like_a_proposal_is_none(self) -> None:
        tricky = {"value": {"description": '"entityUrn":"urn:li:tag:x","aspectName":"y"', "urn": "z"}}
        async with Gms(trust=True) as gms:
            await post(gms, item(mlModelProperties=tricky))
        assert gms.census.summary()["entities"] == {"mlModel": 1}

    async def test_what_an_ingestion_says_about_itself_is_no_part_of_it(self) -> None:
        async with Gms(trust=True) as gms:
            await post(gms, item())
            without = gms.census.summary()
            await post(gms, item("urn:li:dataHubExecutionRequest:a"), entity_type="dataHubExecutionRequest")
        assert gms.census.summary() == without

    @pytest.mark.parametrize("path", ["/config", "/health", "/api/graphql"])
    async def test_other_paths_are_answered(self, path: str) -> None:
        async with Gms(trust=True) as gms, aiohttp.ClientSession() as session, session.get(gms.url + path) as response:
            assert response.status == 200
