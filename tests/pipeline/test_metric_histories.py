"""What is asked of MLflow for the histories of metrics, in what parts, and what a failure costs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.protocol import Progress
from crawler.datahub.aspects.runs import MLTrainingRunProperties, PastValue
from crawler.errors import CrawlerError, CredentialsRefused, RequestRefused
from crawler.http import Response, Server
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.metric_history import POINTS_OF_A_RUN, thinned
from crawler.mlflow import metric_history
from crawler.mlflow.api import Api
from crawler.mlflow.entities import Metric, Run, RunData, RunInfo
from crawler.mlflow.metric_history import FEWER_RUNS, RUNS_A_REQUEST, MetricHistoryReader
from crawler.pipeline import metric_histories
from crawler.pipeline.metric_histories import FAILURES_IN_A_ROW, POINTS, POINTS_OF_A_PART, MetricHistories
from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Selection
from crawler.telemetry.events import Event, RowsSkipped
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.timing import Timing
from tests.support.examples import examples
from tests.support.read_context import read_context

ALL = Selection(metric_history="all", max_metric_points=5)
FAILS = RequestRefused("answered 500", status=500)
GONE = RequestRefused("answered 404", status=404, answer="RESOURCE_DOES_NOT_EXIST: no such run")
NO_ENDPOINT = RequestRefused("answered 404", status=404, answer="<!doctype html><title>404 Not Found</title>")

Sizes = Mapping[str, Mapping[str, int]]
"""How many points each metric has, by run."""


class Tracking:
    """Answers as MLflow does; a request for runs of `errors` fails, or for more than `most_runs`."""

    def __init__(self, sizes: Sizes, errors: Mapping[str, CrawlerError] | None = None, most_runs: int = 100) -> None:
        self.sizes = sizes
        self.most_runs = most_runs
        self.errors = errors or {}
        self.asked: list[tuple[str, list[str]]] = []
        self.at_once = self.most_at_once = 0

    async def get(self, path: str, params: Sequence[tuple[str, str]], *, attempts: int) -> Response:
        assert attempts > 1
        given = dict(params)
        key, most = given["metric_key"], int(given["max_results"])
        run_ids = [value for name, value in params if name in {"run_id", "run_ids"}]
        self.asked.append((key, run_ids))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if len(run_ids) > self.most_runs:
            answer = f"INVALID_PARAMETER_VALUE: … request cannot specify more than {self.most_runs} run_ids."
            raise RequestRefused("answered 400", status=400, answer=answer)
        for run_id in run_ids:
            if run_id in self.errors:
                raise self.errors[run_id]
        rows = [
            {"key": key, "value": float("nan"), "timestamp": step, "step": step, "run_id": run_id}
            for run_id in sorted(run_ids)
            for step in range(self.sizes[run_id].get(key, 0))
        ]
        rows = thinned(rows, max(most, 2)) if path.endswith("-interval") else rows[:most]
        return Response(200, json.dumps({"metrics": rows}).encode(), {})


class Crawled:
    """What became of the runs: the steps that they show, by run and metric, and all that was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.steps: dict[str, dict[str, list[int]]] = {}
        self.forgotten: set[str] = set()
        self.parts: list[int] = []

    @property
    def unread(self) -> int:
        return sum(each.count for each in self.events if isinstance(each, Finding))

    @property
    def left_out(self) -> int:
        return sum(each.count for each in self.events if isinstance(each, RowsSkipped) and each.what == POINTS)


async def crawled(tracking: Tracking, selection: Selection = ALL, *, deleted: frozenset[str] = frozenset()) -> Crawled:
    found = Crawled()
    mapper = CrawlMapper(MappingSettings(ui_url="http://x"))
    server = cast("Server", tracking)
    client = SimpleNamespace(metric_history=MetricHistoryReader(Api(server, server, Timing())))
    memory = SimpleNamespace(experiments=SimpleNamespace(forget=found.forgotten.update))
    progress = cast("Progress", SimpleNamespace(memory=memory))
    context = read_context(client, found.events.append, mapper=mapper, selection=selection, progress=progress)
    histories = MetricHistories(context)
    runs = [run(run_id, metrics, deleted=run_id in deleted) for run_id, metrics in tracking.sizes.items()]
    for part in histories.parts(runs):
        found.parts.append(len(part))
        async with histories.read(part):
            for each in part:
                for entity in mapper.run(each):
                    for aspect in entity.aspects:
                        if isinstance(aspect, MLTrainingRunProperties):
                            found.steps[each.info.run_id] = steps(aspect)
    return found


def run(run_id: str, metrics: Mapping[str, int], *, deleted: bool) -> Run:
    info = RunInfo(run_id, experiment_id=f"of {run_id}", lifecycle_stage="deleted" if deleted else "active")
    return Run(info, RunData([Metric(key) for key, count in metrics.items() if count]))


def steps(aspect: MLTrainingRunProperties) -> dict[str, list[int]]:
    shown: dict[str, list[int]] = {}
    for each in aspect.training_metrics:
        if isinstance(each, PastValue):
            shown.setdefault(each.name, []).append(int(each.description.removeprefix("step ")))
    return shown


async def test_few_requests_for_many_runs_and_few_at_once() -> None:
    tracking = Tracking({f"r{number:03}": {"a": 3, "b": 9, "c": 1} for number in range(200)})
    found = await crawled(tracking)
    assert len(tracking.asked) == 3 * -(-200 // RUNS_A_REQUEST)
    assert max(len(run_ids) for _, run_ids in tracking.asked) == RUNS_A_REQUEST
    assert tracking.most_at_once == metric_histories.REQUESTS_AT_ONCE
    assert all(shown == {"a": [0, 1, 2], "b": [0, 2, 4, 6, 8]} for shown in found.steps.values())
    assert (len(found.steps), found.unread, found.left_out) == (200, 0, 200 * 4)


async def test_an_older_mlflow_takes_fewer_runs() -> None:
    tracking = Tracking({f"r{number:03}": {"a": 3, "b": 3} for number in range(200)}, most_runs=FEWER_RUNS)
    found = await crawled(tracking)
    assert all(shown == {"a": [0, 1, 2], "b": [0, 1, 2]} for shown in found.steps.values())
    assert (len(found.steps), found.events) == (200, [])
    # One request for each metric that was asked for before the first refusal.
    assert len(tracking.asked) == 2 * 200 // FEWER_RUNS + 2


async def test_nothing_is_asked_for_latest_values_nor_for_runs_that_are_not_written() -> None:
    tracking = Tracking({f"r{number:03}": {"a": 3} for number in range(200)})
    found = await crawled(tracking, Selection())
    assert (tracking.asked, found.parts, found.events) == ([], [200], [])
    assert all(shown == {} for shown in found.steps.values())
    tracking = Tracking({"gone": {"a": 3}, "here": {"a": 3}})
    found = await crawled(tracking, deleted=frozenset({"gone"}))
    assert tracking.asked == [("a", ["here"])]


async def test_parts_are_small_where_runs_have_many_metrics() -> None:
    tracking = Tracking({f"r{number}": dict.fromkeys(map(str, range(200)), 1) for number in range(30)})
    found = await crawled(tracking, Selection(metric_history="all", max_metric_points=10**6))
    assert found.parts == [POINTS_OF_A_PART // POINTS_OF_A_RUN] * 3


@examples(300)
@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=2),
        st.fixed_dictionaries({"m": st.integers(1, 12), "n": st.integers(0, 4)}),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 20),
    st.sets(st.text("abc", min_size=1, max_size=2), max_size=1),
)
def test_each_history_is_whole_however_little_fits_into_an_answer(sizes: Sizes, room: int, failing: set[str]) -> None:
    """Also where one run fails each request for it: that costs its own histories."""
    tracking = Tracking(sizes, dict.fromkeys(failing & sizes.keys(), FAILS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metric_history, "POINTS_A_REQUEST", room)
        patch.setattr(metric_histories, "POINTS_A_REQUEST", room)
        found = asyncio.run(crawled(tracking))
    lost = failing & sizes.keys()
    for run_id, metrics in sizes.items():
        whole = {key: thinned(range(count), 5) for key, count in metrics.items() if 1 < count < room}
        sampled = {key: count for key, count in metrics.items() if max(2, room) <= count}
        shown = found.steps[run_id]
        assert shown.keys() == (set() if run_id in lost else whole.keys() | sampled.keys())
        for key, of_key in shown.items():
            if key in whole:
                assert of_key == whole[key]
            else:
                assert len(of_key) <= 5
                assert (of_key[0], of_key[-1]) == (0, sampled[key] - 1)
    assert found.forgotten == {f"of {run_id}" for run_id in lost}
    assert found.unread == sum(bool(count) for run_id in lost for count in sizes[run_id].values())


async def test_a_server_without_histories_is_asked_once() -> None:
    runs = [f"r{number:03}" for number in range(200)]
    tracking = Tracking({key: {"a": 3, "b": 3, "c": 3} for key in runs}, dict.fromkeys(runs, NO_ENDPOINT))
    found = await crawled(tracking)
    assert [each.code for each in found.events if isinstance(each, Finding)] == ["metric_history_missing"]
    assert len(tracking.asked) <= metric_histories.REQUESTS_AT_ONCE
    assert (len(found.steps), found.forgotten) == (200, set())


@pytest.mark.parametrize("error", [FAILS, GONE])
async def test_it_is_given_up_where_no_history_can_be_had(error: CrawlerError) -> None:
    runs = [f"r{number:03}" for number in range(200)]
    tracking = Tracking({key: {"a": 3, "b": 3} for key in runs}, dict.fromkeys(runs, error))
    found = await crawled(tracking)
    assert (found.unread, len(found.steps), len(found.forgotten)) == (400, 200, 200)
    assert FAILURES_IN_A_ROW <= len(tracking.asked) <= FAILURES_IN_A_ROW + 2


async def test_answers_about_other_runs_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_history, "POINTS_A_REQUEST", 2)

    class Confused(Tracking):
        async def get(self, path: str, params: Sequence[tuple[str, str]], *, attempts: int) -> Response:
            await super().get(path, params, attempts=attempts)
            row: dict[str, Any] = {"key": "a", "run_id": "another"}
            return Response(200, json.dumps({"metrics": [row, row]}).encode(), {})

    found = await crawled(Confused({"r1": {"a": 3}, "r2": {"a": 3}}))
    assert (found.unread, found.steps) == (2, {"r1": {}, "r2": {}})


async def test_what_fails_all_requests_ends_the_crawl() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await crawled(Tracking({"r": {"a": 3}}, {"r": CredentialsRefused("401")}))
    assert raised.group_contains(CredentialsRefused)


@pytest.mark.parametrize("room", [3, 5_000])
async def test_a_point_that_cannot_be_read_is_named(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_history, "POINTS_A_REQUEST", room)

    class Odd(Tracking):
        async def get(self, path: str, params: Sequence[tuple[str, str]], *, attempts: int) -> Response:
            answer = await super().get(path, params, attempts=attempts)
            return Response(200, answer.body.replace(b'"timestamp": 1,', b'"timestamp": [],'), {})

    found = await crawled(Odd({"r1": {"a": 3}}))
    assert {each.code for each in found.events if isinstance(each, Finding)} == {"metric_history_unread"}
    assert found.steps["r1"]["a"][-1] == 2
