"""A check tests the way that a crawl takes, and says what stands in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.config.settings import Endpoint
from crawler.errors import CredentialsRefused, WrongServer
from crawler.pipeline.check import CheckResult, DatahubCheck, check
from tests.gms.server import Gms, Handler
from tests.servers.dialect import Dialect
from tests.support.crawls import recipe_file

WAYS = {Endpoint.RESTLI: "/aspects", Endpoint.OPENAPI: "/openapi/v3/entity/tag"}


def closed(path: str) -> Callable[[Handler], Handler]:
    def around(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=404, text="no route") if request.path == path else await handler(request)

        return answer

    return around


async def checked(gms: Gms, folder: Path, endpoint: Endpoint, token: str = "right") -> tuple[CheckResult, DatahubCheck]:
    async with Dialect().serve() as url:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "token": token}}
        found = await check(load(recipe_file(folder, url, sink=sink), {}, Flags(endpoint=endpoint), home=folder))
    assert isinstance(found.output, DatahubCheck)
    return found, found.output


@pytest.mark.parametrize("endpoint", WAYS)
async def test_the_endpoint_that_a_crawl_writes_to_is_tested(endpoint: Endpoint, tmp_path: Path) -> None:
    gms = Gms(token="right")
    other = next(path for each, path in WAYS.items() if each is not endpoint)
    gms.around = closed(other)
    async with gms:
        found, datahub = await checked(gms, tmp_path, endpoint)
        assert (datahub.token_accepted, datahub.error, found.exit_code) == (True, None, 0)
        _, datahub = await checked(gms, tmp_path, endpoint, token="wrong")
        assert isinstance(datahub.error, CredentialsRefused)
    assert gms.aspects == {}


@pytest.mark.parametrize("endpoint", WAYS)
async def test_an_endpoint_that_a_proxy_does_not_let_through(endpoint: Endpoint, tmp_path: Path) -> None:
    gms = Gms(token="right")
    gms.around = closed(WAYS[endpoint])
    async with gms:
        _, datahub = await checked(gms, tmp_path, endpoint)
    assert isinstance(datahub.error, WrongServer)
    assert f"{WAYS[endpoint]} answered 404" in str(datahub.error)
    assert "no route" in str(datahub.error)
