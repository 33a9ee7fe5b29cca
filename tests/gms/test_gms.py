"""The double does to each batch what GMS does; acryl-datahub's own emitter is content with it."""

import asyncio
import gzip
import io
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.rest_emitter import DatahubRestEmitter

from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.gms.urn_rules import encoded_length

ROOT = Path(__file__).parents[2]
BATCH = "/aspects?action=ingestProposalBatch"
HEADERS = {"X-RestLi-Protocol-Version": "2.0.0", "Content-Type": "application/json", "User-Agent": "test"}
MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_1,PROD)"
OTHER = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_2,PROD)"
VERSION = {"versionSet": "urn:li:versionSet:(a,mlModel)", "version": {"versionTag": "1"}, "sortId": "1"}


def golden(name: str = "official-default.json") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "tests" / "golden" / name).read_text())
    return found


def proposal(urn: str = MODEL, aspect_name: str = "status", value: Any = None, **other: Any) -> dict[str, Any]:
    """One proposal on Rest.li's wire; a value that is a string is taken as it is."""
    value = {"removed": False} if value is None else value
    text = value if isinstance(value, str) else json.dumps(value)
    return {
        "entityType": urn.strip().split(":")[2],
        "entityUrn": urn,
        "changeType": "UPSERT",
        "aspectName": aspect_name,
        "aspect": {"value": text, "contentType": "application/json"},
        "systemMetadata": {"runId": "r", "lastObserved": 1, "pipelineName": "p"},
    } | other


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def script_is_played(gms: Gms) -> None:
    """Wait until the last scripted answer has been chosen: its request is there."""
    while gms.script:  # noqa: ASYNC110  the double tells nobody
        await asyncio.sleep(0.001)


async def post(
    gms: Gms, *proposals: Any, mode: Any = "false", body: bytes | None = None, **headers: str | None
) -> tuple[int, str]:
    """Write one batch as a client of its own: (status, body). A header of None is left out."""
    content = json.dumps({"proposals": proposals, "async": mode}).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in (HEADERS | named).items() if value is not None}
    async with (
        aiohttp.ClientSession(skip_auto_headers=["User-Agent", "Content-Type"]) as session,
        session.post(gms.url + BATCH, data=io.BytesIO(content), headers=given) as response,
    ):
        return response.status, await response.text()


def wrapped(proposals: list[dict[str, Any]]) -> list[MetadataChangeProposalWrapper]:
    return [MetadataChangeProposalWrapper.from_obj_require_wrapper(dict(each)) for each in proposals]


def emit(url: str, proposals: list[dict[str, Any]]) -> dict[str, Any]:
    """What DataHub's own emitter does with these proposals; it gives back the server's config."""
    with DatahubRestEmitter(url, token="secret", openapi_ingestion=False) as emitter:
        emitter.test_connection()
        emitter.emit_mcps(wrapped(proposals))
        return dict(emitter.get_server_config())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["official-default.json", "official-options.json"])
@pytest.mark.parametrize("options", [{}, {"frontend": True}, {"strict": False, "alternate": False}], ids=str)
async def test_the_official_emitter_writes_all_golden_proposals(name: str, options: dict[str, Any]) -> None:
    proposals = golden(name)
    async with Gms(token="secret", **options) as gms:
        url = f"{gms.url}/api/gms" if gms.behaviour.frontend else gms.url
        config = await asyncio.to_thread(emit, url, proposals)
    assert config["noCode"] == "true"
    assert [(urn, aspect_name) for urn, aspect_name, _ in gms.history] == [
        (each["entityUrn"], each["aspectName"]) for each in proposals
    ]
    assert [value for *_, value in gms.history] == [each["aspect"]["json"] for each in proposals]
    assert sum(gms.batches) == gms.proposals == len(proposals)
    assert gms.dropped == gms.violations == []
    assert all(metadata and metadata["runId"] for metadata in gms.system_metadata.values())


async def test_it_keeps_the_last_value_and_all_in_order() -> None:
    async with Gms() as gms:
        first, last = proposal(value={"removed": True}), proposal(value={"removed": False})
        assert await post(gms, first, last, mode="true") == (200, '{"value":"success"}')
    assert gms.aspects == {(MODEL, "status"): {"removed": False}}
    assert gms.history == [(MODEL, "status", {"removed": True}), (MODEL, "status", {"removed": False})]
    assert gms.system_metadata[MODEL, "status"] == {"runId": "r", "lastObserved": 1, "pipelineName": "p"}
    assert (gms.requests, gms.batches, gms.answers, gms.modes) == (1, [2], [(200, 2)], {"true"})


async def test_each_answer_has_a_trace_id(session: aiohttp.ClientSession) -> None:
    async with Gms() as gms:
        body = json.dumps({"proposals": [proposal()]})
        async with session.post(gms.url + BATCH, data=body, headers=HEADERS) as response:
            assert len(response.headers["traceparent"].split("-")[1]) == 32


class TestPaths:
    async def get(self, gms: Gms, path: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.get(gms.url + path) as response:
            return response.status, response.content_type, await response.text()

    async def test_config_needs_no_token(self) -> None:
        async with Gms(token="secret", version="v0.14.1") as gms:
            status, _, body = await self.get(gms, "/config")
        config = json.loads(body)
        assert status == 200
        assert config["versions"]["acryldata/datahub"]["version"] == "v0.14.1"
        assert config["datahub"]["serverEnv"] == "core"

    async def test_without_config(self) -> None:
        async with Gms(without_config=True) as gms:
            assert (await self.get(gms, "/config"))[:2] == (404, "application/json")

    @pytest.mark.parametrize("path", ["/", "/aspects", "/config/", "/openapi/v3/entity/mlModel", "/entities"])
    async def test_all_else_is_missing(self, path: str) -> None:
        async with Gms() as gms:
            assert (await self.get(gms, path))[:2] == (404, "application/json")

    @pytest.mark.parametrize("path", ["/", "/config", "/api/gmsx"])
    async def test_a_frontend_has_a_page_at_any_path(self, path: str) -> None:
        async with Gms(frontend=True) as gms:
            assert (await self.get(gms, path))[:2] == (200, "text/html")

    async def test_a_frontend_proxies_gms(self) -> None:
        async with Gms(frontend=True) as gms:
            status, kind, _ = await self.get(gms, "/api/gms/config")
            assert (status, kind) == (200, "application/json")


class TestRequest:
    @pytest.mark.parametrize("given", [None, "Bearer wrong", "secret"])
    async def test_token(self, given: str | None) -> None:
        async with Gms(token="secret") as gms:
            status, body = await post(gms, proposal(), Authorization=given)
            assert status == 401
            assert "<html>" in body
            status, body = await post(gms, proposal(), Authorization=given, Accept="application/json")
            assert status == 401
            assert json.loads(body)["message"] == "Unauthorized to perform this action."
            assert (await post(gms, proposal(), Authorization="Bearer secret"))[0] == 200
        assert gms.answers == [(401, 1), (401, 1), (200, 1)]
        assert gms.batches == [1]

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"X_RestLi_Protocol_Version": None}, 400),
            ({"X_RestLi_Protocol_Version": "1.0.0"}, 400),
            ({"Content_Type": None}, 415),
            ({"Content_Type": "text/plain"}, 415),
        ],
    )
    async def test_headers(self, headers: dict[str, str | None], status: int) -> None:
        async with Gms() as gms:
            answer, body = await post(gms, proposal(), **headers)  # type: ignore[arg-type]
        assert answer == json.loads(body)["status"] == status
        assert gms.aspects == {}

    async def test_a_request_without_user_agent_is_noted(self) -> None:
        async with Gms() as gms:
            assert (await post(gms, proposal(), User_Agent=None))[0] == 200
        assert gms.violations == ["a request without User-Agent, which escapes throttling"]

    async def test_gzip_is_taken_only_where_it_is_inflated(self) -> None:
        body = gzip.compress(json.dumps({"proposals": [proposal()]}).encode())
        async with Gms() as gms:
            assert (await post(gms, body=body, Content_Encoding="gzip"))[0] == 400
        async with Gms(inflates=True) as gms:
            assert (await post(gms, body=body, Content_Encoding="gzip"))[0] == 200
        assert gms.answers == [(200, 1)]

    async def test_body_limit(self) -> None:
        async with Gms(body_limit=600) as gms:
            assert (await post(gms, proposal()))[0] == 200
            status, page = await post(gms, proposal(), proposal(), proposal())
        assert status == 413
        assert "<html>" in page

    async def test_the_default_limit_is_16_mb(self) -> None:
        async with Gms() as gms:
            assert (await post(gms, body=b" " * 16_000_001))[0] == 413

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'{"proposals": {}}',
            b'{"proposals": [], "async": true}',
            b'{"proposals": [], "async": "yes"}',
            b'{"proposals": [], "sync": "true"}',
        ],
    )
    async def test_a_body_of_another_form(self, body: bytes) -> None:
        async with Gms() as gms:
            assert (await post(gms, body=body))[0] == 400

    @pytest.mark.parametrize(
        "wrong",
        [
            proposal(entityUrn="mlModel"),
            proposal(entityUrn="urn:li:mlModel:(urn:li:dataPlatform:mlflow,a(b,PROD)"),
            proposal(entityUrn=None),
            proposal(aspect={"json": {}}),
            proposal(aspect={"value": {"removed": False}, "contentType": "application/json"}),
            proposal(systemMetadata={"runId": 5}),
            proposal(systemMetadata={"run": "r"}),
            proposal(extra=1),
        ],
    )
    async def test_a_proposal_of_another_form_fails_the_batch(self, wrong: dict[str, Any]) -> None:
        async with Gms() as gms:
            assert (await post(gms, proposal(), wrong))[0] == 400
        assert gms.aspects == {}


def model(name: str) -> str:
    return f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name},PROD)"


LONGEST = model("a" * (512 - encoded_length(model(""))))


class TestSilentDrop:
    @pytest.mark.parametrize(
        "wrong",
        [
            proposal(LONGEST.replace("a,", "aa,")),
            proposal(model("模" * 50)),
            proposal(f" {MODEL}"),
            proposal(f"{MODEL}\n"),
            proposal(model("a␟b")),
            proposal(model("a(1)")),
            proposal("urn:li:tag:a(1"),
            proposal("urn:li:tag:a,b"),
            proposal(model("a,b")),
            proposal(MODEL.replace("PROD", "NOWHERE")),
            proposal(entityType="tag"),
            proposal(changeType="CREATE"),
            proposal(aspect={"value": "{}", "contentType": "text/json"}),
        ],
        ids=lambda each: each["entityUrn"][:60],
    )
    @pytest.mark.parametrize("mode", ["true", "false"])
    async def test_a_200_hides_it(self, wrong: dict[str, Any], mode: str) -> None:
        async with Gms() as gms:
            assert await post(gms, proposal(OTHER), wrong, mode=mode) == (200, '{"value":"success"}')
        assert list(gms.aspects) == [(OTHER, "status")]
        assert gms.dropped == list(gms.drop_reasons) == [wrong["entityUrn"]]

    @pytest.mark.parametrize("urn", [LONGEST, model("模" * 49), model("a%28b"), model("a%2Cb"), model("()%29")])
    async def test_the_rules_are_kept_to_the_letter(self, urn: str) -> None:
        async with Gms() as gms:
            assert (await post(gms, proposal(urn)))[0] == 200
        assert list(gms.aspects) == [(urn, "status")]

    @pytest.mark.parametrize("urn", [model("a(1)"), "urn:li:tag:a(1", "urn:li:tag:a,b"])
    async def test_brackets_and_commas_pass_where_gms_is_not_strict(self, urn: str) -> None:
        async with Gms(strict=False) as gms:
            assert (await post(gms, proposal(urn)))[0] == 200
        assert gms.dropped == []


class TestRefusal:
    """One bad item fails the batch: nothing of it is stored."""

    async def refused(self, wrong: dict[str, Any], mode: str = "false", **options: Any) -> tuple[int, str]:
        async with Gms(**options) as gms:
            status, body = await post(gms, proposal(OTHER), wrong, mode=mode)
            assert gms.aspects == {}
            assert gms.dropped == []
        error = json.loads(body)
        assert error["status"] == status
        return status, error["message"]

    @pytest.mark.parametrize(("alternate", "status"), [(True, 422), (False, 500)])
    async def test_unknown_aspect(self, *, alternate: bool, status: int) -> None:
        unknown = proposal(aspect_name="containerProperties", value={"name": "a"})
        expected = (status, "Unknown aspect containerProperties for entity mlModel")
        assert await self.refused(unknown, alternate=alternate) == expected

    async def test_an_aspect_that_an_older_server_lacks(self) -> None:
        lacks = {("mlModel", "versionProperties")}
        status, message = await self.refused(proposal(aspect_name="versionProperties", value=VERSION), lacks=lacks)
        assert (status, message) == (422, "Unknown aspect versionProperties for entity mlModel")

    async def test_unknown_entity_type(self) -> None:
        assert (await self.refused(proposal("urn:li:mlThing:a")))[0] == 422

    async def test_unknown_entity_type_is_dropped_in_the_classic_flow(self) -> None:
        async with Gms(alternate=False) as gms:
            assert (await post(gms, proposal("urn:li:mlThing:a")))[0] == 200
        assert gms.dropped == ["urn:li:mlThing:a"]

    @pytest.mark.parametrize(
        "value",
        [{}, {"removed": "no"}, {"gone": True}, {"removed": True, "lifecycleStage": "x"}, {"removed": None}],
        ids=str,
    )
    async def test_the_schema(self, value: dict[str, Any]) -> None:
        status, message = await self.refused(proposal(value=value))
        assert status == 422
        assert message.startswith("Failed to validate record with class status: ERROR :: ")

    async def test_a_urn_of_the_wrong_kind(self) -> None:
        wrong = proposal(aspect_name="globalTags", value={"tags": [{"tag": "urn:li:corpuser:a"}]})
        assert (await self.refused(wrong))[0] == 422

    @pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"removed": NaN}'])
    async def test_a_value_that_is_no_json_object(self, text: str) -> None:
        status, message = await self.refused(proposal(value=text))
        assert status == 500
        assert message.startswith("Could not deserialize")

    @pytest.mark.parametrize("other", [{"aspectName": ""}, {"aspect": None}], ids=str)
    async def test_without_an_aspect(self, other: dict[str, Any]) -> None:
        assert (await self.refused(proposal(**other)))[0] == 500

    @pytest.mark.parametrize("mode", ["true", "false"])
    async def test_is_latest(self, mode: str) -> None:
        wrong = proposal(aspect_name="versionProperties", value=VERSION | {"isLatest": True})
        status, message = await self.refused(wrong, mode)
        assert (status, message[:8]) == (422, "IsLatest")

    async def test_privileges_name_every_urn(self) -> None:
        async with Gms(forbidden={MODEL, OTHER}) as gms:
            status, body = await post(gms, proposal(MODEL), proposal("urn:li:tag:a"), proposal(OTHER))
        assert status == 403
        assert json.loads(body)["message"].endswith(
            f"is unauthorized to modify entity: HttpStatus: 403 Urn: {MODEL}, HttpStatus: 403 Urn: {OTHER}"
        )
        assert gms.aspects == {}

    async def test_more_than_500_characters(self) -> None:
        urn = f"urn:li:tag:{'a' * 490}"
        assert (await self.refused(proposal(urn)))[0] == 500
        async with Gms() as gms:
            assert (await post(gms, proposal(urn), mode="true"))[0] == 200
        assert (gms.dropped, gms.aspects) == ([urn], {})

    @pytest.mark.parametrize("mode", ["true", "false"])
    async def test_an_aspect_that_kafka_does_not_take(self, mode: str) -> None:
        wrong = proposal(aspect_name="mlModelProperties", value={"description": "a" * 5_242_880})
        assert (await self.refused(wrong, mode))[0] == 500


class TestAtOnce:
    async def test_one_entity_in_two_requests(self) -> None:
        async with Gms(latency=0.05) as gms:
            await asyncio.gather(post(gms, proposal()), post(gms, proposal()))
        assert gms.violations == [f"two requests at once for entity {MODEL}"]
        assert gms.peak == 2

    async def test_one_version_set_in_two_requests(self) -> None:
        async with Gms(latency=0.05) as gms:
            versions = [proposal(urn, "versionProperties", VERSION) for urn in (MODEL, OTHER)]
            await asyncio.gather(*(post(gms, version) for version in versions))
        assert gms.violations == ["two requests at once for version set urn:li:versionSet:(a,mlModel)"]

    async def test_other_entities_and_one_after_the_other_are_fine(self) -> None:
        async with Gms(latency=0.02) as gms:
            await asyncio.gather(post(gms, proposal(MODEL)), post(gms, proposal(OTHER)))
            await post(gms, proposal(MODEL))
        assert gms.violations == []

    async def test_a_client_that_hung_up_may_try_again(self) -> None:
        async with Gms() as gms:
            held = asyncio.Event()
            gms.script = [Fault(hold=held)]
            given_up = asyncio.create_task(post(gms, proposal()))
            await script_is_played(gms)
            given_up.cancel()
            await asyncio.wait({given_up})
            await asyncio.sleep(0.05)
            assert (await post(gms, proposal()))[0] == 200
            held.set()
        assert gms.violations == []


class TestScript:
    async def test_faults_are_answered_in_turn(self) -> None:
        async with Gms() as gms:
            gms.script = [None, Fault(status=503, headers={"Retry-After": "1"}), Fault(status=422)]
            answers = [(await post(gms, proposal()))[0] for _ in range(4)]
        assert answers == [200, 503, 422, 200]
        assert gms.answers == [(200, 1), (503, 1), (422, 1), (200, 1)]
        assert gms.batches == [1, 1]

    async def test_headers_and_bodies(self, session: aiohttp.ClientSession) -> None:
        async with Gms() as gms:
            gms.script = [Fault(status=429, headers={"Retry-After": "7"}, body={"message": "Throttled"})]
            async with session.post(gms.url + BATCH, data=b"{}", headers=HEADERS) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "7")
                assert await response.json() == {"message": "Throttled"}
            gms.script = [Fault(status=502, body="<html>"), Fault(status=502, body=b"")]
            assert [await post(gms, proposal()) for _ in range(2)] == [(502, "<html>"), (502, "")]

    async def test_a_function_chooses_by_the_proposals(self) -> None:
        def poison(proposals: list[dict[str, Any]]) -> Fault | None:
            bad = any(each["entityUrn"] == OTHER for each in proposals)
            return Fault(status=500) if bad else None

        async with Gms() as gms:
            gms.script = [poison]
            assert (await post(gms, proposal(OTHER)))[0] == 500
            gms.rule = poison
            assert [(await post(gms, proposal(urn)))[0] for urn in (OTHER, MODEL, OTHER)] == [500, 200, 500]

    @pytest.mark.parametrize("stored", [True, False])
    async def test_a_lost_connection_proves_nothing(self, *, stored: bool) -> None:
        async with Gms() as gms:
            gms.script = [Fault(disconnect=True, stored=stored)]
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await post(gms, proposal())
        assert bool(gms.aspects) is stored
        assert gms.answers == [(0, 1)]

    async def test_an_answer_can_be_held_back(self) -> None:
        async with Gms() as gms:
            held = asyncio.Event()
            gms.script = [Fault(hold=held)]
            waiting = asyncio.create_task(post(gms, proposal()))
            await script_is_played(gms)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            held.set()
            assert (await waiting)[0] == 200
        assert list(gms.aspects) == [(MODEL, "status")]

    async def test_it_closes_although_an_answer_is_held_back(self) -> None:
        async with Gms() as gms:
            gms.script = [Fault(hold=asyncio.Event())]
            waiting = asyncio.create_task(post(gms, proposal()))
            await script_is_played(gms)
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_a_trusting_double_counts_only() -> None:
    async with Gms(trust=True) as gms:
        tricky = proposal(value=json.dumps({"text": '"entityUrn"'}))
        assert await post(gms, tricky, proposal(changeType=1)) == (200, '{"value":"success"}')
    assert (gms.requests, gms.proposals, gms.history) == (1, 2, [])


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--trust"]], ids=str)
async def test_as_a_process(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "tests.gms", "--port", "0", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session:
        body = json.dumps({"proposals": [proposal()]})
        async with session.post(url + BATCH, data=body, headers=HEADERS) as response:
            assert response.status == 200
    process.send_signal(signal.SIGTERM)
    counts = json.loads(await process.stdout.read())
    assert await process.wait() == 0
    assert (counts["requests"], counts["proposals"], counts["violations"]) == (1, 1, [])
