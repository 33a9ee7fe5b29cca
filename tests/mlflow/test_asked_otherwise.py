"""What a crawl asks beside the listings, also where that is refused.

Runs by their ids, runs listed backwards, runs without start_time.
"""

import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.errors import CredentialsRefused, ExitCode, RequestRefused
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.mapping.runs import run_urn
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run, RunInfo
from crawler.mlflow.experiment_id_limit import ExperimentIdLimit
from crawler.mlflow.paging.keyset import RunCursor, RunQuery
from crawler.mlflow.quirks.null_start_time import MAX_PAGES, NullStartTimeFindings, NullStartTimes
from crawler.mlflow.run_reader import RunReader
from crawler.settings.servers import ServerSettings
from crawler.telemetry.report import Report
from crawler.telemetry.timing import Timing
from tests.mlflow.listings import meets, number_token
from tests.support.crawls import crawl_to_file, recipe_file

API = "/api/2.0/mlflow"
RUNS = 12
LOST = "f" * 32
Query = dict[str, Any]
Answer = Callable[[Query, list[dict[str, Any]]], int | None]
"""The status that a search of runs is refused with, if it is, by its query and the rows of its page."""


def run_id(number: int) -> str:
    return f"{number:032x}"


class Tracking:
    """A server with some runs in one experiment, and a version of a run that is nowhere."""

    def __init__(self, refused: Answer = lambda _query, _rows: None) -> None:
        self.refused = refused
        self.of_one_run: dict[str, int] = {}
        """The status of `runs/get`, by run id."""
        self.is_opaque = False
        """Whether its tokens tell nothing, as Databricks' do."""
        self.asked: list[Query] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """At this URL."""
        app = web.Application()
        app.router.add_post(f"{API}/runs/search", self._search_runs)
        app.router.add_get(f"{API}/runs/get", self._get_run)
        app.router.add_post(f"{API}/experiments/search", self._experiments)
        app.router.add_get(f"{API}/registered-models/search", self._models)
        app.router.add_get(f"{API}/model-versions/search", self._versions)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")

    @asynccontextmanager
    async def reader(self, page_size: int = 4) -> AsyncIterator[RunReader]:
        """A reader of its runs."""
        async with self.serve() as url, Server("MLflow", ServerSettings(url=url, attempts=1), Traffic()) as server:
            yield RunReader(Api(server, server, Timing()), page_size)

    async def _search_runs(self, request: web.Request) -> web.Response:
        query = await request.json()
        self.asked.append(query)
        rows = [{"info": {"run_id": run_id(n), "experiment_id": "1", "start_time": 1_000 + n}} for n in range(RUNS)]
        for bound in query.get("filter", "").split(" AND "):
            rows = [row for row in rows if meets(row["info"], bound)]
        if is_backwards(query):
            rows.reverse()
        token = query.get("page_token") or number_token(0)
        offset = int(json.loads(b64decode(token.removeprefix("opaque ")))["offset"])
        page = rows[offset : offset + query["max_results"]]
        if status := self.refused(query, page):
            return web.json_response({"message": "refused"}, status=status)
        following = number_token(offset + len(page)) if offset + len(page) < len(rows) else ""
        if following and self.is_opaque:
            following = f"opaque {following}"
        return web.json_response({"runs": page, "next_page_token": following})

    async def _get_run(self, request: web.Request) -> web.Response:
        wanted = request.query["run_id"]
        return web.json_response({"run": {"info": {"run_id": wanted}}}, status=self.of_one_run.get(wanted, 200))

    async def _experiments(self, _request: web.Request) -> web.Response:
        return web.json_response({"experiments": [{"experiment_id": "1", "name": "e"}]})

    async def _versions(self, _request: web.Request) -> web.Response:
        return web.json_response({"model_versions": [{"name": "m", "version": "1", "run_id": LOST}]})

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"registered_models": [{"name": "m"}]})


def is_by_id(query: Query) -> bool:
    return " IN " in query.get("filter", "")


def is_backwards(query: Query) -> bool:
    return "DESC" in query.get("order_by", [""])[0]


def is_for_null_start_times(query: Query) -> bool:
    return "page_token" in query and "filter" not in query


def holds(rows: list[dict[str, Any]], *numbers: int) -> bool:
    return any(row["info"]["run_id"] in map(run_id, numbers) for row in rows)


async def crawl(tracking: Tracking, folder: Path) -> tuple[Report, set[str]]:
    """The report, and the URNs of the runs that were written."""
    async with tracking.serve() as url:
        recipe = recipe_file(folder, url, {"retry_max_times": 0})
        report, proposals = await crawl_to_file(recipe, folder, {"page_size": 4})
    return report, {each["entityUrn"] for each in proposals if ":dataProcessInstance:" in each["entityUrn"]}


@pytest.mark.parametrize("is_refused", [is_by_id, is_backwards, is_for_null_start_times])
async def test_credentials_that_are_withdrawn_end_the_crawl_whatever_is_asked(
    is_refused: Callable[[Query], bool], tmp_path: Path
) -> None:
    def refused(query: Query, rows: list[dict[str, Any]]) -> int | None:
        if is_refused(query):
            return 401
        return 500 if is_refused is is_backwards and holds(rows, 6, 7) else None

    tracking = Tracking(refused)
    with pytest.raises(CredentialsRefused) as caught:
        await crawl(tracking, tmp_path)
    assert caught.value.exit_code == ExitCode.SERVER
    assert any(map(is_refused, tracking.asked))


async def test_rows_that_fail_only_in_one_direction_are_all_read(tmp_path: Path) -> None:
    def refused(query: Query, rows: list[dict[str, Any]]) -> int | None:
        return 500 if holds(rows, 6, 7) and not is_backwards(query) and not is_for_null_start_times(query) else None

    report, urns = await crawl(Tracking(refused), tmp_path)
    assert urns == {run_urn(run_id(number)) for number in range(RUNS)}
    assert report.failures == []


async def test_where_tokens_are_no_offsets_no_offset_is_made_up() -> None:
    tracking = Tracking()
    tracking.is_opaque = True
    unreadable: list[str] = []
    async with tracking.reader() as reader:
        cursor, read = RunCursor(), 0
        while cursor.query is not None:
            async with reader.next_page(["1"], cursor) as step:
                read += len(step.rows)
                unreadable += step.unreadable
        pages = len(tracking.asked)
        findings = await reader.null_start_times.find()
    assert (read, unreadable, findings) == (RUNS, [], NullStartTimeFindings())
    assert len(tracking.asked) == pages > 1
    assert all(each.get("page_token", "opaque").startswith("opaque") for each in tracking.asked)


async def test_a_cursor_that_is_at_its_end_has_no_next_page() -> None:
    async with Tracking().reader(page_size=50) as reader:
        cursor = RunCursor()
        async with reader.next_page(["1"], cursor) as step:
            assert len(step.rows) == RUNS
        with pytest.raises(ValueError, match="at its end"):
            await reader.next_page(["1"], cursor).__aenter__()


async def test_runs_that_are_asked_for_one_by_one_cost_themselves() -> None:
    """As on MLflow 1.27, which cannot filter by run id."""
    tracking = Tracking()
    tracking.of_one_run = {"gone": 404, "broken": 500}
    async with tracking.reader() as reader:
        found = await reader.by_id(["a", "gone", "broken", "b"], [])
        assert {run.info.run_id for run in found.runs} == {"a", "b"}
        assert [each.partition(":")[0] for each in found.failed] == ["run broken"]
        tracking.of_one_run["secret"] = 403
        with pytest.raises(RequestRefused, match="403"):
            await reader.by_id(["a", "secret"], [])


class TestRunsWithoutStartTime:
    """Where a server lists them instead of failing."""

    async def found_in(self, pages: Callable[[int], Page[Run]]) -> tuple[NullStartTimeFindings, int]:
        """What is found of one experiment with ten other runs, and the number of pages that this took."""
        asked = 0

        async def search(_experiment_ids: list[str], _query: RunQuery) -> Page[Run]:
            nonlocal asked
            asked += 1
            return pages(asked)

        null_start_times = NullStartTimes(search, ExperimentIdLimit())
        null_start_times.resume_count("7", 10)
        return await null_start_times.find(), asked

    async def test_one_that_is_listed_is_named(self) -> None:
        rows = [Run(RunInfo(run_id="a", start_time=1)), Run(RunInfo(run_id="b"))]
        findings, asked = await self.found_in(lambda _: Page(rows))
        assert findings == NullStartTimeFindings(["experiment 7: runs that have no start_time in MLflow's database"])
        assert asked == 1

    async def test_a_listing_without_end_is_left(self) -> None:
        row = Run(RunInfo(run_id="a", start_time=1))
        _, asked = await self.found_in(lambda number: Page([row], number_token(number)))
        assert asked <= MAX_PAGES
