"""Rows that kill or stall the worker of MLflow that is asked for them cost themselves.

A server that is down ends the crawl.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CrawlerError, ExitCode, ServerError, Unreachable
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.run_reader import MAX_GIVEN_UP
from crawler.pipeline.crawl import crawl
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.mlflow.listings import meets, number_token
from tests.support.crawls import recipe_file

API = "/api/2.0/mlflow"
PLAIN = MappingSettings(ui_url="http://unused")
TIMEOUT = 0.5
RUNS = 60


def run_id(number: int) -> str:
    return f"{number:032x}"


def a_run(number: int, experiment: str = "1") -> dict[str, Any]:
    return {"info": {"run_id": run_id(number), "experiment_id": experiment, "start_time": 1_000 + number}}


class Mlflow:
    """Rows, and what becomes of requests: `bad` says of (what is asked, the query, the rows of its page) whether it
    fails, and `how`.
    """

    def __init__(self, how: str, bad: Callable[[str, dict[str, Any], list[Any]], bool]) -> None:
        self.how = how
        self.bad = bad
        self.experiments = ["1"]
        self.runs = [a_run(number) for number in range(RUNS)]
        self.models: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.asked: list[str] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """At this URL."""
        app = web.Application()
        app.router.add_post(f"{API}/runs/search", self._search_runs)
        app.router.add_post(f"{API}/experiments/search", self._experiments)
        app.router.add_get(f"{API}/registered-models/search", self._models)
        app.router.add_get(f"{API}/model-versions/search", self._versions)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")

    async def _search_runs(self, request: web.Request) -> web.StreamResponse:
        query = await request.json()
        found = [run for run in self.runs if run["info"]["experiment_id"] in query["experiment_ids"]]
        for bound in query.get("filter", "").split(" AND "):
            found = [run for run in found if meets(run["info"], bound)]
        if "DESC" in query.get("order_by", [""])[0]:
            found.reverse()
        return await self._page(request, "runs", query, found)

    async def _experiments(self, request: web.Request) -> web.StreamResponse:
        rows = [{"experiment_id": each, "name": f"e{each}"} for each in self.experiments]
        return await self._page(request, "experiments", await request.json(), rows)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        # No model here is a prompt.
        models = [] if "filter" in request.query else self.models
        return await self._page(request, "registered_models", dict(request.query), models)

    async def _versions(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request, "model_versions", dict(request.query), self.versions)

    async def _page(
        self, request: web.Request, kind: str, query: dict[str, Any], found: list[Any]
    ) -> web.StreamResponse:
        self.asked.append(kind)
        token = query.get("page_token")
        offset = int(json.loads(b64decode(token))["offset"]) if token else 0
        rows = found[offset : offset + int(query["max_results"])]
        if self.bad(kind, query, rows):
            return await self._fail(request)
        following = number_token(offset + len(rows)) if offset + len(rows) < len(found) else ""
        return web.json_response({kind: rows, "next_page_token": following})

    async def _fail(self, request: web.Request) -> web.StreamResponse:
        if self.how == "stalls":
            await asyncio.Event().wait()
        if self.how == "breaks off":
            answer = web.StreamResponse(headers={"Content-Length": "1000"})
            await answer.prepare(request)
            await answer.write(b'{"runs": [')
        if self.how in {"closes", "breaks off"}:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return web.Response(status=int(self.how), text="gateway")


class Crawled(msgspec.Struct):
    """A crawl: its report, the URNs that it wrote, and the error that it ended with."""

    report: Report
    urns: set[str]
    error: CrawlerError | None = None

    @property
    def failures(self) -> list[tuple[str, int]]:
        return [(failure.code, failure.count) for failure in self.report.failures]


async def crawled(mlflow: Mlflow, folder: Path, *, patience: float = 600, page_size: int = 16) -> Crawled:
    """One crawl of that server, without retries: a request is tried once more only where the server is well."""
    output = folder / "out.json"
    async with mlflow.serve() as url:
        settings = load(recipe_file(folder, url), {}, Flags(output=output, page_size=page_size), home=folder)
        server = msgspec.structs.replace(settings.mlflow.tracking, attempts=1, timeout=TIMEOUT, patience=patience)
        settings = msgspec.structs.replace(settings, mlflow=msgspec.structs.replace(settings.mlflow, tracking=server))
        report = Report(settings.run_id)
        try:
            await crawl(settings, report=report)
        except CrawlerError as error:
            return Crawled(report, set(), error)
    return Crawled(report, {each["entityUrn"] for each in json.loads(output.read_bytes())})


def holds_run(*numbers: int) -> Callable[[str, dict[str, Any], list[Any]], bool]:
    """Pages with one of these runs are bad."""
    ids = {run_id(number) for number in numbers}
    return lambda kind, _, rows: kind == "runs" and any(row["info"]["run_id"] in ids for row in rows)


def runs_of(urns: set[str]) -> set[str]:
    return {urn for urn in urns if ":dataProcessInstance:" in urn}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["502", "504", "closes", "breaks off", "stalls"])
async def test_a_run_that_no_worker_survives_costs_itself_only(how: str, tmp_path: Path) -> None:
    mlflow = Mlflow(how, holds_run(25))
    done = await crawled(mlflow, tmp_path)
    assert runs_of(done.urns) == {run_urn(run_id(number)) for number in range(RUNS) if number != 25}
    assert done.failures == [("unreadable_runs", 1)]
    sample = done.report.failures[0].samples[0]
    assert f"between {run_id(24)} (start_time 1024) and {run_id(26)} (start_time 1026): MLflow " in sample
    assert len(mlflow.asked) < 40


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closes", "stalls"])
async def test_a_registered_model_that_no_worker_survives_costs_itself_only(how: str, tmp_path: Path) -> None:
    mlflow = Mlflow(
        how,
        lambda kind, _, rows: kind == "registered_models" and any(row["name"] == "m5" for row in rows),
    )
    mlflow.models = [{"name": f"m{number}"} for number in range(9)]
    done = await crawled(mlflow, tmp_path)
    assert {urn for urn in done.urns if ":mlModelGroup:" in urn} == {
        model_group_urn(f"m{number}", PLAIN) for number in range(9) if number != 5
    }
    assert done.failures == [("unreadable_registered_models", 1)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closes", "stalls"])
async def test_a_run_of_a_version_that_no_worker_survives_costs_itself_only(how: str, tmp_path: Path) -> None:
    """Of runs that no listing gives, but that are found by their ids."""
    lost = holds_run(33)
    mlflow = Mlflow(
        how,
        lambda kind, query, rows: lost(kind, query, rows) if " IN " in query.get("filter", "") else False,
    )
    mlflow.experiments = []
    mlflow.models = [{"name": "m"}]
    mlflow.versions = [{"name": "m", "version": str(n), "run_id": run_id(n)} for n in range(30, 38)]
    # In an experiment of the trash.
    mlflow.experiments = ["1"]
    async with _in_trash(mlflow):
        done = await crawled(mlflow, tmp_path)
    assert {urn for urn in done.urns if ":mlModel:" in urn} == {
        model_urn("m", str(number), PLAIN) for number in range(30, 38)
    }
    (failure,) = done.report.failures
    assert (failure.code, failure.count) == ("runs_of_versions", 1)
    assert failure.samples[0].startswith(f"run {run_id(33)}: MLflow")
    assert [(each.code, each.samples) for each in done.report.warnings] == [("lost_runs", [f"run {run_id(33)}"])]


@asynccontextmanager
async def _in_trash(mlflow: Mlflow) -> AsyncIterator[None]:
    """Its experiments are in the trash."""

    async def experiments(request: web.Request) -> web.StreamResponse:
        rows = [{"experiment_id": "1", "name": "e1", "lifecycle_stage": "deleted"}]
        return await mlflow._page(request, "experiments", await request.json(), rows)

    mlflow._experiments = experiments  # type: ignore[method-assign]
    yield


@pytest.mark.slow
@pytest.mark.parametrize("how", ["502", "closes", "stalls"])
@pytest.mark.parametrize("pages", [1, 3])
async def test_a_server_that_is_out_ends_the_crawl_and_no_row_is_blamed(how: str, pages: int, tmp_path: Path) -> None:
    mlflow = Mlflow(how, lambda *_: mlflow.asked.count("runs") > pages)
    done = await crawled(mlflow, tmp_path, patience=1)
    assert isinstance(done.error, Unreachable)
    assert done.error.exit_code is ExitCode.SERVER
    assert "It has answered nobody for " in done.error.message
    assert done.failures == []
    # One try of each of the few that are under way, then only the question whether it is back.
    assert mlflow.asked.count("runs") <= pages + 4


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closes", "stalls"])
async def test_more_of_them_in_a_row_than_are_left_out_cost_their_experiment_only(how: str, tmp_path: Path) -> None:
    mlflow = Mlflow(how, holds_run(*range(20, 40)))
    mlflow.experiments = ["1", "2"]
    mlflow.runs += [a_run(number, "2") for number in range(100, 130)]
    done = await crawled(mlflow, tmp_path)
    expected = {run_urn(run_id(number)) for number in (*range(20), *range(100, 130))}
    assert runs_of(done.urns) >= expected
    assert ("experiment", 1) in done.failures
    assert done.report.failures[0].samples[0].startswith("1 e1: ")


@pytest.mark.slow
async def test_a_server_that_gives_no_page_of_runs_ends_the_crawl(tmp_path: Path) -> None:
    mlflow = Mlflow("closes", lambda kind, _, __: kind == "runs")
    mlflow.experiments = [str(number) for number in range(40)]
    done = await crawled(mlflow, tmp_path)
    assert type(done.error) is ServerError
    assert "no page of runs any more" in done.error.message
    assert done.failures[0][1] >= MAX_GIVEN_UP


@pytest.mark.parametrize("how", ["502", "closes", "stalls"])
async def test_all_else_is_delivered_where_runs_without_start_time_cannot_be_asked_for(
    how: str, tmp_path: Path
) -> None:
    mlflow = Mlflow(how, lambda kind, query, _: kind == "runs" and not query.get("filter") and "page_token" in query)
    # A version that waits for a run that is nowhere.
    mlflow.models = [{"name": "m"}]
    mlflow.versions = [{"name": "m", "version": "1", "run_id": run_id(1_000)}]
    done = await crawled(mlflow, tmp_path)
    assert runs_of(done.urns) == {run_urn(run_id(number)) for number in range(RUNS)}
    assert model_urn("m", "1", PLAIN) in done.urns
    assert done.failures == [("untimed_unknown", 1)]
    assert done.report.failures[0].samples[0].startswith("experiment 1: ")
    assert {each.code for each in done.report.warnings} == {"lost_runs"}


@pytest.mark.slow
async def test_pages_grow_again_behind_a_run_that_stalls(tmp_path: Path) -> None:
    mlflow = Mlflow("stalls", holds_run(25))
    mlflow.runs = [a_run(number) for number in range(1_000)]
    done = await crawled(mlflow, tmp_path, page_size=64)
    assert len(runs_of(done.urns)) == 999
    assert mlflow.asked.count("runs") < 60
