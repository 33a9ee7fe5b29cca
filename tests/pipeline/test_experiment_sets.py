"""Many experiments by one search of runs: how many requests, and what becomes of them where one experiment fails."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused
from crawler.http.exchange import Request
from crawler.mapping.runs import run_urn
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Confirm
from crawler.telemetry.events import Event, ExperimentDone, Outcomes
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.simulation.tracking_server import IdLimit, TrackingServer
from tests.support.crawls import recipe_file

SEARCH = "/api/2.0/mlflow/runs/search"
BESIDE_RUNS = 9
"""Requests for the version, its workspaces, models, versions, prompts, evaluation datasets, experiments, traces and
logged models.
"""
NULL_START_TIMES = 1
"""Search that looks for runs without start time, in sets of several pages."""


class Mlflow:
    """The simulation's MLflow on a port, which notes each search of runs and what it was answered."""

    def __init__(self, experiments: int, runs: int) -> None:
        self.server = TrackingServer(lambda: 0.0)
        self.searches: list[tuple[int, dict[str, Any]]] = []
        self.fails_after: int | None = None
        self.newest_status = 200
        for number in range(1, experiments + 1):
            self.add_experiment(number)
        for number in range(experiments * runs):
            self.add_run(number, 1 + number % experiments)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for status, _ in self.searches)

    @property
    def sizes(self) -> list[int]:
        """How many experiments each search named."""
        return [len(query["experiment_ids"]) for _, query in self.searches]

    def add_experiment(self, number: int) -> None:
        self.server.put_experiment(
            {"experiment_id": str(number), "name": f"e{number}", "artifact_location": "", "lifecycle_stage": "active"}
        )

    def add_run(self, number: int, experiment: int) -> None:
        """Three runs start at once, in as many experiments."""
        info = {
            "run_id": run_id(number),
            "experiment_id": str(experiment),
            "start_time": 1_000 + number // 3,
            "status": "RUNNING",
            "lifecycle_stage": "active",
        }
        self.server.put_run({"info": info, "data": {}})

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """At this URL."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == SEARCH and self.fails_after == len(self.searches):
            return web.Response(status=401)
        body = await request.read()
        answer = self.server.answer(Request(method=request.method, url=str(request.rel_url), body=body))
        if request.path == SEARCH:
            if is_of_newest(query := json.loads(body)) and self.newest_status != 200:
                return web.Response(status=self.newest_status)
            self.searches.append((answer.status, query))
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")


def is_of_newest(query: dict[str, Any]) -> bool:
    return query.get("order_by") == ["attributes.start_time DESC"]


def run_id(number: int) -> str:
    return f"{number:032x}"


class Crawled:
    """What one crawl of a server into the double came to."""

    def __init__(self) -> None:
        self.report = Report("a run")
        self.runs: Counter[str] = Counter()
        self.experiments = 0

    @property
    def failures(self) -> list[tuple[str, int, list[str]]]:
        return [(each.code, each.count, each.samples) for each in self.report.failures]

    def hear(self, event: Event) -> None:
        if isinstance(event, Outcomes):
            self.runs.update(each.urn for each in event.entities if each.entity_type == "dataProcessInstance")
        self.experiments += isinstance(event, ExperimentDone)


async def crawled(mlflow: Mlflow, folder: Path, **flags: Any) -> Crawled:
    """Crawl it, one request at a time unless the flags say otherwise; a state is kept in the folder."""
    async with mlflow.serve() as url, Gms(trust=True) as gms:
        done = Crawled()
        await crawl(settings_for(url, gms.url, folder, **flags), report=done.report, listeners=[done.hear])
    return done


def settings_for(url: str, datahub: str, folder: Path, **flags: Any) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": datahub}}
    given: dict[str, Any] = {"mlflow_concurrency": 1, "confirm": Confirm.NONE, "state": folder / "state.db"} | flags
    recipe = recipe_file(folder, url, {"requests_per_second": 10_000}, sink)
    return load(recipe, {}, Flags(**given), home=folder)


def urns(numbers: range, but: tuple[int, ...] = ()) -> Counter[str]:
    return Counter(run_urn(run_id(number)) for number in numbers if number not in but)


async def test_a_thousand_experiments_are_ten_searches(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1_000, runs=5)
    done = await crawled(mlflow, tmp_path, mlflow_concurrency=16)
    assert done.runs == urns(range(5_000))
    assert done.report.mlflow.requests == BESIDE_RUNS + 10
    assert mlflow.sizes == [100] * 10
    assert (done.experiments, done.failures) == (1_000, [])


async def test_few_experiments_are_dealt_out_to_several_workers(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=25, runs=2)
    done = await crawled(mlflow, tmp_path)
    assert done.runs == urns(range(50))
    assert mlflow.sizes == [3] * 8 + [1]


async def test_a_large_experiment_is_read_with_small_ones_beside_it(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1_000, runs=1)
    for number in range(1_000, 1_400):
        mlflow.add_run(number, experiment=7)
    done = await crawled(mlflow, tmp_path, page_size=120)
    assert done.runs == urns(range(1_400))
    assert len(mlflow.searches) == 9 + 5 + NULL_START_TIMES


async def test_a_single_experiment_is_shared_by_all_once_its_newest_run_is_known(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1, runs=2_000)
    done = await crawled(mlflow, tmp_path, mlflow_concurrency=4, page_size=100)
    assert done.runs == urns(range(2_000))
    queries = [query for _, query in mlflow.searches]
    asked = [is_of_newest(query) for query in queries]
    assert asked.index(True) == 1
    assert sum(asked) == 1
    parts = {bound for query in queries if (bound := query.get("filter", "").partition(" < ")[2])}
    assert len(parts) >= 3


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_where_the_newest_run_is_not_told_nothing_is_lost(tmp_path: Path, status: int) -> None:
    mlflow = Mlflow(experiments=1, runs=500)
    mlflow.newest_status = status
    done = await crawled(mlflow, tmp_path, mlflow_concurrency=4, page_size=100)
    assert done.runs == urns(range(500))
    assert done.failures == []
    assert set(mlflow.statuses) == {200}


async def test_an_experiment_that_may_not_be_read_costs_itself(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1_000, runs=2)
    mlflow.server.forbidden = frozenset({"150"})
    done = await crawled(mlflow, tmp_path)
    assert done.runs == urns(range(2_000), but=(149, 1_149))
    ((code, count, (sample,)),) = done.failures
    assert (code, count) == ("experiment", 1)
    assert sample.startswith("150 e150: MLflow at ")
    assert mlflow.statuses == {403: 7, 200: 9 + 6}
    assert done.experiments == 1_000


@pytest.mark.slow
async def test_a_row_that_fails_is_named_with_its_experiment(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1_000, runs=2)
    mlflow.server.broken = {run_id(149)}
    done = await crawled(mlflow, tmp_path)
    assert done.runs == urns(range(2_000), but=(149,))
    ((code, count, (sample,)),) = done.failures
    assert (code, count) == ("unreadable_runs", 1)
    assert sample.startswith(f"experiment 150: a run before {run_id(1_149)} ")
    assert done.experiments == 1_000


@pytest.mark.parametrize(
    ("limit", "refused", "searches"),
    [
        (IdLimit(10, is_told=True), [100], 100),
        (IdLimit(10, is_told=False), [100, 50, 25, 12], 109),
    ],
)
async def test_what_the_server_takes_is_remembered(
    limit: IdLimit, refused: list[int], searches: int, tmp_path: Path
) -> None:
    mlflow = Mlflow(experiments=1_000, runs=1)
    mlflow.server.id_limit = limit
    done = await crawled(mlflow, tmp_path)
    assert done.runs == urns(range(1_000))
    assert done.failures == []
    by_status = {
        status: [len(query["experiment_ids"]) for each, query in mlflow.searches if each == status]
        for status in (400, 200)
    }
    assert by_status[400] == refused
    assert len(by_status[200]) == searches


async def test_one_that_is_refused_alone_lowers_nothing(tmp_path: Path) -> None:
    mlflow = Mlflow(experiments=1_000, runs=1)
    answer = mlflow.server.answer

    def refuse(request: Request) -> Any:
        """400 wherever experiment 1 is."""
        wants = json.loads(request.body or b"{}").get("experiment_ids", [])
        mlflow.server.id_limit = IdLimit(0 if "1" in wants else 1_000, is_told=False)
        return answer(request)

    mlflow.server.answer = refuse  # type: ignore[method-assign]
    done = await crawled(mlflow, tmp_path)
    assert done.runs == urns(range(1_000), but=(0,))
    assert [(code, count) for code, count, _ in done.failures] == [("experiment", 1)]
    assert mlflow.sizes[-9:] == [100] * 9


@pytest.mark.parametrize("searches", [1, 3, 5])
async def test_a_crawl_goes_on_in_the_middle_of_a_set(searches: int, tmp_path: Path) -> None:
    """And experiments that were in one set are in one again."""
    mlflow = Mlflow(experiments=1_000, runs=1)
    for number in range(1_000, 1_700):
        mlflow.add_run(number, experiment=1 + number % 100)
    done = Crawled()
    async with mlflow.serve() as url, Gms(trust=True) as gms:
        settings = settings_for(url, gms.url, tmp_path, page_size=120)
        mlflow.fails_after = searches
        with pytest.raises(CredentialsRefused):
            await crawl(settings, listeners=[done.hear])
        mlflow.fails_after = None
        first, mlflow.searches = mlflow.searches, []
        await crawl(settings, report=done.report, listeners=[done.hear])
    assert len(first) + len(mlflow.searches) == 9 + 7 + NULL_START_TIMES
    assert mlflow.sizes[: 8 - searches] == [100] * (8 - searches)
    starts = [query.get("filter") for _, query in first[1:] + mlflow.searches if query["experiment_ids"][0] == "1"]
    assert len(starts) == len(set(starts)) == 6 + NULL_START_TIMES
    assert done.runs.keys() == urns(range(1_700)).keys()
    # Those that start when a page ends belong to the window that was not done.
    assert done.runs.total() - 1_700 <= 3
    assert done.report.read["runs"] == 1_700


async def test_a_set_that_is_taken_apart_goes_on_where_it_was(tmp_path: Path) -> None:
    """Runs of the last start time are not written twice, and the state holds nothing that was not delivered."""
    mlflow = Mlflow(experiments=100, runs=9)
    answer = mlflow.server.answer

    def forbid(request: Request) -> Any:
        """Experiment 5 from the third search on."""
        mlflow.server.forbidden = frozenset({"5"} if len(mlflow.searches) > 1 else ())
        return answer(request)

    mlflow.server.answer = forbid  # type: ignore[method-assign]
    done = await crawled(mlflow, tmp_path, page_size=20)
    lost = urns(range(900)) - done.runs
    assert 0 < len(lost) < 9
    assert lost <= urns(range(4, 900, 100))
    assert set(done.runs.values()) == {1}
    assert [(code, count) for code, count, _ in done.failures] == [("experiment", 1)]
