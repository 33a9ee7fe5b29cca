"""The double's `batchGet` does what GMS does: what is stored, and nothing else."""

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.gms.test_openapi_endpoint import HEADERS, METADATA, MODEL, OTHER, STATUS, VERSION, item
from tests.gms.test_openapi_endpoint import post as write

READ = "/openapi/v3/entity/mlModel/batchGet"


async def post(gms: Gms, *entities: Any, path: str = READ, query: str = "?systemMetadata=true", **headers: str) -> Any:
    """Asks for entities: (status, answer)."""
    body = json.dumps(entities, separators=(",", ":")).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(gms.url + path + query, data=io.BytesIO(body), headers=HEADERS | headers) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else text


async def read(gms: Gms, *entities: Any, **options: Any) -> dict[tuple[str, str], Any]:
    """What is read back, by URN and aspect."""
    status, listed = await post(gms, *entities, **options)
    assert status == 200
    return {(entity["urn"], name): entity[name] for entity in listed for name in entity if name != "urn"}


ASKED = {"urn": MODEL, "status": {}}


async def test_what_is_stored_is_answered_with_its_system_metadata() -> None:
    async with Gms() as gms:
        await write(gms, item(), item(OTHER, versionProperties={"value": VERSION}))
        found = await read(gms, ASKED, {"urn": OTHER, "status": {}, "versionProperties": {}})
    assert found.keys() == {(MODEL, "status"), (OTHER, "versionProperties")}
    assert found[MODEL, "status"]["value"] == {"removed": False}
    assert found[MODEL, "status"]["systemMetadata"] == METADATA
    assert found[OTHER, "versionProperties"]["systemMetadata"]["lastObserved"] == 0
    assert gms.read_backs == [2]
    assert gms.violations == []


async def test_without_the_parameter_there_is_no_system_metadata() -> None:
    async with Gms() as gms:
        await write(gms, item())
        assert await read(gms, ASKED, query="") == {(MODEL, "status"): {"value": {"removed": False}}}


async def test_entities_that_are_not_stored_or_have_no_such_aspect_are_left_out() -> None:
    async with Gms() as gms:
        await write(gms, item())
        assert await post(gms, {"urn": OTHER, "status": {}}, {"urn": MODEL, "versionProperties": {}}) == (200, [])


async def test_who_asks_for_no_known_aspect_is_answered_all() -> None:
    async with Gms() as gms:
        await write(gms, item())
        assert list(await read(gms, {"urn": MODEL})) == [(MODEL, "status")]
        assert list(await read(gms, {"urn": MODEL, "nothing": {}})) == [(MODEL, "status")]


async def test_two_items_of_one_entity_are_one() -> None:
    async with Gms() as gms:
        await write(gms, item(status=STATUS, versionProperties={"value": VERSION}))
        status, listed = await post(gms, ASKED, {"urn": MODEL, "versionProperties": {}})
    assert status == 200
    assert [sorted(entity) for entity in listed] == [["status", "urn", "versionProperties"]]


async def test_what_is_written_again_unchanged_has_the_time_of_the_last_write() -> None:
    async with Gms() as gms:
        await write(gms, item())
        await write(gms, item(status=STATUS | {"systemMetadata": METADATA | {"lastObserved": 7}}))
        assert (await read(gms, ASKED))[MODEL, "status"]["systemMetadata"]["lastObserved"] == 7


@pytest.mark.parametrize(
    ("entity", "status"), [({"status": {}}, 500), ({"urn": "mlModel"}, 400), ({"urn": "urn:li:tag:a"}, 400), (5, 400)]
)
async def test_what_is_refused(entity: Any, status: int) -> None:
    async with Gms() as gms:
        await write(gms, item())
        assert (await post(gms, ASKED, entity))[0] == status


async def test_privileges_token_size_and_servers_without_it() -> None:
    async with Gms(unreadable={OTHER}) as gms:
        status, error = await post(gms, ASKED, {"urn": OTHER, "status": {}})
        assert (status, error) == (403, {"error": "urn:li:corpuser:datahub is unauthorized to READ  entities."})
        assert (await post(gms, ASKED))[0] == 200
    async with Gms(token="secret", body_limit=150) as gms:
        assert (await post(gms, ASKED))[0] == 401
        assert (await post(gms, ASKED, Authorization="Bearer secret"))[0] == 200
        assert (await post(gms, ASKED, ASKED, Authorization="Bearer secret"))[0] == 413
    async with Gms(without_batch_get=True) as gms:
        assert (await post(gms, ASKED))[0] == 404
        assert (await write(gms, item()))[0] == 202


async def test_a_timeseries_aspect_is_not_there_and_should_not_be_asked_for() -> None:
    run = "urn:li:dataProcessInstance:a"
    async with Gms() as gms:
        path = READ.replace("mlModel", "dataProcessInstance")
        assert await read(gms, {"urn": run, "dataProcessInstanceRunEvent": {}}, path=path) == {}
    assert gms.violations == ["the timeseries aspect dataProcessInstanceRunEvent is read back"]


class TestQueue:
    """What is written with `async` is there later."""

    async def test_after_so_many_read_backs(self) -> None:
        async with Gms(lag=2) as gms:
            await write(gms, item())
            await write(gms, item(OTHER), query="?async=false")
            both = (ASKED, {"urn": OTHER, "status": {}})
            assert [len(await read(gms, *both)) for _ in range(4)] == [1, 1, 2, 2]
        assert len(gms.aspects) == 2

    async def test_until_then_the_earlier_value_is_there(self) -> None:
        async with Gms(lag=1) as gms:
            await write(gms, item(), query="?async=false")
            await write(gms, item(status={"value": {"removed": True}}))
            values = [(await read(gms, ASKED))[MODEL, "status"]["value"]["removed"] for _ in range(2)]
        assert values == [False, True]

    async def test_a_later_write_does_not_overtake(self) -> None:
        lags = iter((2, 0))
        async with Gms(lag=lambda _urn, _aspect: next(lags)) as gms:
            await write(gms, item())
            await write(gms, item(status={"value": {"removed": True}}))
            assert [len(await read(gms, ASKED)) for _ in range(3)] == [0, 0, 1]
            assert (await read(gms, ASKED))[MODEL, "status"]["value"] == {"removed": True}

    async def test_while_it_stands_still_nothing_comes(self) -> None:
        async with Gms() as gms:
            gms.shelf.queue.clear()
            await write(gms, item())
            assert await read(gms, ASKED) == {}
            gms.shelf.queue.set()
            assert len(await read(gms, ASKED)) == 1


async def test_what_is_lost_behind_a_success_is_not_there() -> None:
    async with Gms(loses={MODEL, (OTHER, "status")}) as gms:
        status, listed = await write(gms, item(), item(OTHER, status=STATUS, versionProperties={"value": VERSION}))
        assert (status, len(listed)) == (202, 2)
        found = await read(gms, ASKED, {"urn": OTHER, "status": {}, "versionProperties": {}})
    assert list(found) == list(gms.aspects) == [(OTHER, "versionProperties")]
    assert gms.lost == [(MODEL, "status"), (OTHER, "status")]
    assert gms.dropped == []


async def test_what_is_lost_from_the_queue_is_there_when_written_without_it() -> None:
    async with Gms(loses_queued={MODEL}) as gms:
        await write(gms, item())
        assert await read(gms, ASKED) == {}
        await write(gms, item(), query="?async=false")
        assert len(await read(gms, ASKED)) == 1


async def test_the_script() -> None:
    def poison(entities: list[dict[str, Any]]) -> Fault | None:
        return Fault(status=500) if any(entity["urn"] == OTHER for entity in entities) else None

    async with Gms() as gms:
        await write(gms, item())
        gms.read_script = [Fault(status=503, headers={"Retry-After": "7"})]
        gms.read_rule = poison
        answers = [(await post(gms, entity))[0] for entity in (ASKED, ASKED, {"urn": OTHER, "status": {}})]
    assert answers == [503, 200, 500]
    assert gms.read_answers == [(503, "mlModel"), (200, "mlModel"), (500, "mlModel")]
    assert gms.answers == [(202, 1)]


async def test_a_trusting_double_has_everything() -> None:
    async with Gms(trust=True) as gms:
        found = await read(gms, ASKED, {"urn": OTHER, "status": {}})
        await asyncio.gather(*(read(gms, ASKED) for _ in range(3)))
    assert {key: each["systemMetadata"]["lastObserved"] for key, each in found.items()} == {
        (MODEL, "status"): 2**63 - 1,
        (OTHER, "status"): 2**63 - 1,
    }
    assert gms.read_backs == [2, 1, 1, 1]
