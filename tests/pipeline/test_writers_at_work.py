"""Crawls of a real MLflow that is written to between any two pages: what was there throughout is in the output."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.mapping.model_versions import model_urn
from crawler.mapping.runs import run_urn
from crawler.settings.mapping import MappingSettings
from tests.mlflow.page_rows import small_pages
from tests.servers.filled import filled_server
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow

API = "/api/2.0/mlflow"
PLAIN = MappingSettings(ui_url="http://unused")


class Writer:
    """Someone who deletes, adds and edits runs and versions; what is gone or new is kept in mind."""

    def __init__(self, url: str, session: aiohttp.ClientSession, reported: dict[str, Any], seed: int) -> None:
        self._url = url
        self._session = session
        self._chance = random.Random(seed)
        self._runs = [run["id"] for run in reported["runs"]]
        self._versions = [(version["name"], version["version"]) for version in reported["versions"]]
        self._experiment = reported["runs"][0]["experiment"]
        self.gone: set[Any] = set()

    async def write(self) -> None:
        """One change of a random kind."""
        await self._chance.choice((self._delete_run, self._add_run, self._edit_version, self._delete_version))()

    async def _delete_run(self) -> None:
        run = self._runs.pop(self._chance.randrange(len(self._runs)))
        self.gone.add(run)
        await self._post("runs/delete", {"run_id": run})

    async def _add_run(self) -> None:
        start = self._chance.choice((1, 1_700_000_000_050, 1_900_000_000_000))
        await self._post("runs/create", {"experiment_id": self._experiment, "user_id": "new", "start_time": start})

    async def _edit_version(self) -> None:
        name, version = self._chance.choice(self._versions)
        await self._post("model-versions/set-tag", {"name": name, "version": version, "key": "k", "value": "edited"})

    async def _delete_version(self) -> None:
        name, version = self._versions.pop(self._chance.randrange(len(self._versions)))
        self.gone.add((name, version))
        await self._session.delete(f"{self._url}{API}/model-versions/delete", json={"name": name, "version": version})

    async def _post(self, endpoint: str, body: dict[str, Any]) -> None:
        async with self._session.post(f"{self._url}{API}/{endpoint}", json=body) as answer:
            assert answer.status == 200, await answer.text()


@asynccontextmanager
async def disturbed(server: MlflowServer, reported: dict[str, Any], seed: int) -> AsyncIterator[tuple[str, Writer]]:
    """A proxy before the server that lets the writer write after each page."""
    async with aiohttp.ClientSession() as session:
        writer = Writer(server.url, session, reported, seed)

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {"Content-Type": request.content_type}
            url = f"{server.url}{request.path_qs}"
            async with session.request(request.method, url, data=body, headers=headers) as answer:
                data, status, kind = await answer.read(), answer.status, answer.content_type
            if "search" in request.path:
                await writer.write()
            return web.Response(body=data, status=status, content_type=kind)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        async with TestServer(app) as proxy:
            yield str(proxy.make_url("")).rstrip("/"), writer


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_there_throughout_is_delivered(seed: int, tmp_path: Path) -> None:
    with filled_server("2.20.4", tmp_path / "server") as filled:
        async with disturbed(filled.server, filled.reported, seed) as (url, writer):
            with small_pages(model_versions=5, registered_models=4):
                report, proposals = await crawl_to_file(recipe_file(tmp_path, url), tmp_path, {"page_size": 5})
    assert report.failures == []
    assert len(writer.gone) > 5
    written = {proposal["entityUrn"] for proposal in proposals}
    runs = {run_urn(run["id"]) for run in filled.reported["runs"] if run["id"] not in writer.gone}
    versions = {(version["name"], version["version"]) for version in filled.reported["versions"]} - writer.gone
    assert runs <= written
    assert {model_urn(*version, PLAIN) for version in versions} <= written
