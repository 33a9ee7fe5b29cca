"""The double's search index lists what GMS' would, and lags where it is told to."""

import io
import json
from typing import Any

import aiohttp
import pytest

from tests.gms.other_writers import erase, overwrite
from tests.gms.server import Gms
from tests.gms.test_batch_get import read
from tests.gms.test_openapi_endpoint import HEADERS

SCROLL = "/openapi/v3/entity/scroll"
GENERIC = "/openapi/v3/entity/generic/batchGet"
MLFLOW = "urn:li:dataPlatform:mlflow"
PLACE: dict[str, Any] = {"platform": MLFLOW}
MODELS = [f"urn:li:mlModel:({MLFLOW},m_{number},PROD)" for number in range(3)]
RUN = "urn:li:dataProcessInstance:a"
OF_PLATFORM = {"and": [{"criteria": [{"field": "platform.keyword", "condition": "EQUAL", "values": [MLFLOW]}]}]}


async def post(gms: Gms, body: Any, path: str = SCROLL) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(gms.url + path, data=io.BytesIO(json.dumps(body).encode()), headers=HEADERS) as response,
    ):
        return response.status, await response.json()


async def listed(gms: Gms, *entity_types: str, query: str = "?count=100", filtered: bool = True) -> list[str]:
    body = {"entities": entity_types} | ({"filter": OF_PLATFORM} if filtered else {})
    status, answer = await post(gms, body, SCROLL + query)
    assert status == 200
    return [each["urn"] for each in answer["entities"]]


def fill(gms: Gms) -> None:
    for urn in MODELS:
        overwrite(gms, urn, "status", {"removed": False})
    overwrite(gms, "urn:li:mlModel:(urn:li:dataPlatform:sagemaker,m,PROD)", "status", {"removed": False})
    overwrite(gms, RUN, "dataPlatformInstance", PLACE)
    overwrite(gms, "urn:li:dataProcessInstance:b", "dataPlatformInstance", {"platform": "urn:li:dataPlatform:airflow"})


async def test_the_platform_is_that_of_the_urn_or_of_an_aspect() -> None:
    async with Gms() as gms:
        fill(gms)
        assert await listed(gms, "mlModel", "dataProcessInstance") == [RUN, *MODELS]
        assert await listed(gms, "dataProcessInstance", filtered=False) == [RUN, "urn:li:dataProcessInstance:b"]


async def test_pages_follow_their_scroll_id() -> None:
    async with Gms(scroll_page=2) as gms:
        fill(gms)
        status, page = await post(gms, {"entities": ["mlModel"], "filter": OF_PLATFORM})
        assert (status, [each["urn"] for each in page["entities"]], page["totalCount"]) == (200, MODELS[:2], 3)
        _, page = await post(
            gms, {"entities": ["mlModel"], "filter": OF_PLATFORM}, f"{SCROLL}?scrollId={page['scrollId']}"
        )
        assert (page["entities"], "scrollId" in page) == ([{"urn": MODELS[2]}], False)
        assert gms.lists == 2


async def test_what_is_removed_is_left_out() -> None:
    async with Gms() as gms:
        fill(gms)
        overwrite(gms, MODELS[0], "status", {"removed": True})
        assert await listed(gms, "mlModel") == MODELS[1:]
        assert await listed(gms, "mlModel", query="?count=100&includeSoftDelete=true") == MODELS


async def test_it_may_lag_behind_the_store() -> None:
    async with Gms() as gms:
        fill(gms)
        gms.index.stands = True
        erase(gms, MODELS[0])
        overwrite(gms, f"urn:li:mlModel:({MLFLOW},new,PROD)", "status", {"removed": False})
        assert await listed(gms, "mlModel") == MODELS
        assert await read(gms, {"urn": MODELS[0], "status": {}}) == {}


@pytest.mark.parametrize("body", [[], {"entities": ["mlModel"], "aspects": []}, {"entities": ["mlModel"], "x": 1}])
async def test_what_is_refused(body: Any) -> None:
    async with Gms() as gms:
        assert (await post(gms, body))[0] == 400


async def test_servers_that_are_older_or_forbid_it() -> None:
    body = {"entities": ["mlModel"], "filter": OF_PLATFORM}
    for scroll, status in (("unfiltered", 400), ("forbidden", 403), ("absent", 404)):
        async with Gms(scroll=scroll) as gms:
            assert (await post(gms, body))[0] == status


async def test_several_types_at_once() -> None:
    asked = {"mlModel": [{"urn": MODELS[0], "status": {}}], "dataProcessInstance": [{"urn": RUN, "status": {}}]}
    async with Gms() as gms:
        fill(gms)
        status, answer = await post(gms, asked, GENERIC)
        assert status == 200
        assert answer == {
            "mlModel": [{"urn": MODELS[0], "status": {"value": {"removed": False}}}],
            "dataProcessInstance": [],
        }
        assert gms.read_backs == [2]
        assert (await post(gms, [], GENERIC))[0] == 500
        assert (await post(gms, {"mlModel": [{"urn": RUN}]}, GENERIC))[0] == 400
    async with Gms(reads_several_types=False) as gms:
        assert await post(gms, asked, GENERIC) == (200, [])


async def test_the_key_aspect_is_there_where_it_is_asked_for() -> None:
    async with Gms() as gms:
        fill(gms)
        missing = {"urn": f"urn:li:mlModel:({MLFLOW},no,PROD)", "mlModelKey": {}}
        found = await read(gms, {"urn": MODELS[0], "mlModelKey": {}}, missing, query="")
    assert found == {(MODELS[0], "mlModelKey"): {"value": {"platform": MLFLOW, "name": "m_0", "origin": "PROD"}}}


async def test_the_latest_of_a_timeseries_is_read() -> None:
    async with Gms(reads_timeseries=True) as gms:
        for time in (5, 7, 6):
            overwrite(gms, RUN, "dataProcessInstanceRunEvent", {"timestampMillis": time})
        path = "/openapi/v3/entity/dataProcessInstance/batchGet"
        found = await read(gms, {"urn": RUN, "dataProcessInstanceRunEvent": {}}, path=path)
    assert found[RUN, "dataProcessInstanceRunEvent"]["value"] == {"timestampMillis": 7}
    assert gms.violations == []
