"""A check tests the way that a crawl takes, and says what stands in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.datahub.privileges import NOBODY
from crawler.errors import CredentialsRefused, WrongServer
from crawler.pipeline.check import CheckResult, DatahubCheck, check
from crawler.settings.sinks import Endpoint
from tests.gms.other_writers import overwrite
from tests.gms.server import Gms, Handler
from tests.servers.dialect import Dialect
from tests.support.commands import run
from tests.support.crawls import recipe_file

WAYS = {Endpoint.RESTLI: "/aspects", Endpoint.OPENAPI: "/openapi/v3/entity/tag"}


def closed(path: str) -> Callable[[Handler], Handler]:
    def around(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=404, text="no route") if request.path == path else await handler(request)

        return answer

    return around


async def checked(
    gms: Gms, folder: Path, endpoint: Endpoint, token: str = "right", options: dict[str, Any] | None = None
) -> tuple[CheckResult, DatahubCheck]:
    async with Dialect().serve() as url:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "token": token}}
        found = await check(
            load(recipe_file(folder, url, options, sink, "tests"), {}, Flags(endpoint=endpoint), home=folder)
        )
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


def missing(datahub: DatahubCheck) -> list[tuple[str, list[str]]]:
    return [(each.to, each.entity_types) for each in datahub.missing_privileges]


@pytest.mark.parametrize("alternate", [True, False])
@pytest.mark.parametrize("endpoint", WAYS)
async def test_privileges_that_are_missing_are_told_and_nothing_is_written(
    endpoint: Endpoint, alternate: bool, tmp_path: Path
) -> None:
    async with Gms(token="right", alternate=alternate, forbidden_types={"mlModel", "dataset"}) as gms:
        found, datahub = await checked(gms, tmp_path, endpoint)
        assert (datahub.error, missing(datahub), found.exit_code) == (None, [("create", ["dataset", "mlModel"])], 1)
    assert "403" in datahub.missing_privileges[0].answer
    assert (gms.aspects, gms.dropped, gms.violations) == ({}, [], [])


async def test_what_exists_takes_another_privilege(tmp_path: Path) -> None:
    production = "urn:li:tag:mlflow_production"
    async with Gms(token="right", forbidden={production}) as gms:
        overwrite(gms, production, "status", {"removed": False})
        overwrite(gms, "urn:li:container:a", "status", {"removed": False})
        found, datahub = await checked(gms, tmp_path, Endpoint.RESTLI)
    assert (missing(datahub), found.exit_code) == ([("change or soft-delete", ["tag"])], 1)
    assert gms.history == []


async def test_reading_is_a_warning_where_a_crawl_reads_back(tmp_path: Path) -> None:
    async with Gms(token="right", unreadable=NOBODY.values(), scroll="forbidden") as gms:
        found, datahub = await checked(gms, tmp_path, Endpoint.RESTLI)
        assert (missing(datahub), found.exit_code) == ([("read back", sorted(NOBODY))], 0)
        found, datahub = await checked(gms, tmp_path, Endpoint.OPENAPI)
        assert (missing(datahub), found.exit_code) == ([], 0)


async def test_the_checkpoint_is_asked_for_where_a_crawl_reads_it(tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    def around(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if request.query.get("action") != "getTimeseriesAspectValues":
                return await handler(request)
            asked.append(await request.json())
            return web.json_response({"status": 403, "message": "User is unauthorized to get it"}, status=403)

        return answer

    gms = Gms(token="right")
    gms.around = around
    async with gms:
        _, datahub = await checked(gms, tmp_path, Endpoint.RESTLI)
        assert (missing(datahub), asked) == ([], [])
        options = {"stateful_ingestion": {"enabled": True}}
        found, datahub = await checked(gms, tmp_path, Endpoint.RESTLI, options=options)
    assert (missing(datahub), found.exit_code) == ([("read the checkpoint", ["dataJob"])], 0)
    job = "urn:li:dataJob:(urn:li:dataFlow:(datahub,tests,prod),mlflow_stale_entity_removal)"
    assert [(each["urn"], each["aspect"]) for each in asked] == [(job, "datahubIngestionCheckpoint")]


async def test_the_command_names_them(tmp_path: Path) -> None:
    async with Dialect().serve() as url, Gms(forbidden_types={"dataset"}) as gms:
        flags = ("--mlflow-uri", url, "--datahub-url", gms.url)
        code, output, _ = await run("check", *flags, folder=tmp_path)
        assert (code, "  wrong: may not create dataset: " in output) == (1, True)
        code, output, _ = await run("check", *flags, "--json", folder=tmp_path)
    assert json.loads(output)["output"]["missing_privileges"][0]["entity_types"] == ["dataset"]


@pytest.mark.parametrize("endpoint", WAYS)
async def test_an_endpoint_that_a_proxy_does_not_let_through(endpoint: Endpoint, tmp_path: Path) -> None:
    gms = Gms(token="right")
    gms.around = closed(WAYS[endpoint])
    async with gms:
        _, datahub = await checked(gms, tmp_path, endpoint)
    assert isinstance(datahub.error, WrongServer)
    assert f"{WAYS[endpoint]} answered 404" in str(datahub.error)
    assert "no route" in str(datahub.error)
