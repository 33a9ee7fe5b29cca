"""Pages that mix the runs of several experiments, in the order of start time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import RequestRefused
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST, LATEST, Window
from crawler.mlflow.paging.keyset import RunCursor, RunQuery
from crawler.mlflow.quirks.null_start_time import NullStartTimeFindings
from crawler.mlflow.resources import Resource
from crawler.mlflow.run_reader import RunReader
from tests.mlflow.listings import PageFailed, Store, Write, by_time, passes, row_id, run
from tests.support.examples import examples

EXPERIMENTS = ["1", "2", "3"]
NULL_START_TIME = "BAD_REQUEST: start_time cannot be None"

times = st.sampled_from([7, 500, 500, 500, 501, 999]) | st.integers(0, 1_000)
experiments = st.sampled_from(EXPERIMENTS)
histories = st.lists(st.tuples(times, experiments), max_size=100)
without_start_time = st.lists(experiments, max_size=4)
new_runs = st.builds(run, st.integers(0, 150).map(lambda number: 2 * number + 1), times, experiments)
inserts = st.tuples(st.just("insert"), st.floats(0, 0.999), new_runs)
purges = st.tuples(st.just("purge"), st.floats(0, 0.999), st.sampled_from([1, 1, 2, 20]))
deletes = st.tuples(st.just("delete"), st.floats(0, 0.999), st.none())
schedules = st.lists(st.lists(inserts | purges | deletes, max_size=3), max_size=20)
thorough = examples(200)


class Tracking:
    """MLflow as the reader sees it: fails for pages with a failing run or with one that has no start_time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tracking = SimpleNamespace(concurrency=2)

    async def search(self, _: Resource[Any], query: dict[str, Any], _attempts: int | None = None) -> bytes:
        """A page, as MLflow's SQL stores give it."""
        store = self.store
        bounds = RunQuery(*_bounds(query.get("filter", "")))
        backwards = query["order_by"][0].endswith("DESC")
        store.rows.sort(key=store.order, reverse=backwards)
        try:
            page = store.page(
                query.get("page_token", ""),
                lambda row: row.info.experiment_id in query["experiment_ids"] and passes(row, bounds),
                most=query["max_results"],
            )
        except PageFailed as failed:
            raise RequestRefused("MLflow refuses it.", status=500, answer="failed") from failed
        finally:
            store.rows.sort(key=store.order)
        if any(row.info.start_time is None for row in page.rows):
            raise RequestRefused("MLflow refuses it.", status=500, answer=NULL_START_TIME)
        return msgspec.json.encode({"runs": page.rows, "next_page_token": page.token})

    def decoded(self, decode: Callable[[bytes], Page[Any]], body: bytes) -> Page[Any]:
        """The page."""
        return decode(body)


def _bounds(text: str) -> tuple[int | None, int | None]:
    """The bounds of a filter: from the first on, before the second."""
    since = until = None
    for bound in filter(None, text.split(" AND ")):
        _, operator, value = bound.split()
        since = int(value) if operator == ">=" else since
        until = int(value) + (operator == "<=") if operator != ">=" else until
    return since, until


class Read(msgspec.Struct):
    """What came of a partition."""

    rows: list[Run] = []
    unreadable: list[str] = []
    windows: list[tuple[Sequence[str], Window]] = []
    findings: NullStartTimeFindings = NullStartTimeFindings()


async def read(store: Store, experiment_ids: Sequence[str], random: Random) -> Read:
    """Read a partition to its end, by several cursors that are split now and then; what fails is taken apart."""
    api: Any = Tracking(store)
    reader = RunReader(api, store.page_size)
    result, cursors = Read(), [(experiment_ids, RunCursor())]
    while cursors:
        ids, cursor = random.choice(cursors)
        try:
            async with reader.next_page(ids, cursor) as step:
                cursors += [(ids, part) for part in cursor.split(random.randrange(4), reader.page_rows)]
                result.rows += step.rows
                result.unreadable += step.unreadable
                result.windows += [(ids, step.window)] if step.window else []
                assert step.is_last == (cursor.query is None)
        except RequestRefused:
            cursors.remove((ids, cursor))
            middle = random.randrange(1, len(ids))
            cursors += [(some, cursor.of_experiments(some)) for some in (ids[:middle], ids[middle:])]
        cursors = [each for each in cursors if each[1].query is not None]
    result.findings = await reader.null_start_times.find()
    return result


def stored(history: list[tuple[int, str]], null: list[str]) -> list[Run]:
    runs = [run(2 * number, *each) for number, each in enumerate(history)]
    return [*runs, *(run(1_000 + number, None, experiment) for number, experiment in enumerate(null))]


@thorough
@given(histories, without_start_time, schedules, st.integers(2, 20), st.randoms(use_true_random=False))
def test_no_run_is_missed_whatever_is_written_meanwhile(
    history: list[tuple[int, str]], null: list[str], writes: list[list[Write]], page_size: int, random: Random
) -> None:
    rows = stored(history, null)
    store = Store(rows, page_size, writes, by_time)
    result = asyncio.run(read(store, EXPERIMENTS, random))
    timed = {row_id(row) for row in rows if row.info.start_time is not None}
    assert store.throughout & timed - set(map(row_id, result.rows)) == set()


@thorough
@given(histories, without_start_time, st.integers(2, 20), st.randoms(use_true_random=False))
def test_each_run_is_read_once_and_counted_for_its_experiment(
    history: list[tuple[int, str]], null: list[str], page_size: int, random: Random
) -> None:
    rows = stored(history, null)
    asked = random.sample(EXPERIMENTS, random.choice([2, 3]))
    result = asyncio.run(read(Store(rows, page_size, order=by_time), asked, random))
    wanted = [row for row in rows if row.info.experiment_id in asked and row.info.start_time is not None]
    assert Counter(map(row_id, result.rows)) == Counter(map(row_id, wanted))
    assert [each.rows for _, each in result.windows] == [
        Counter(row.info.experiment_id for row in wanted if lies_in(row, window)) for _, window in result.windows
    ]
    assert sum(each.total for _, each in result.windows) == len(wanted)
    named = [f"experiment {each}: runs that have no start_time in MLflow's database" for each in sorted(set(null))]
    assert (result.unreadable, result.findings.unknown) == ([], [])
    assert result.findings.unreadable == [each for each in named if each.split()[1].rstrip(":") in asked]


def lies_in(row: Run, window: Window) -> bool:
    since = EARLIEST if window.since is None else window.since
    return since <= (row.info.start_time or 0) < (LATEST if window.until is None else window.until)


@thorough
@given(
    histories,
    without_start_time,
    st.sets(st.integers(0, 99), max_size=4),
    st.integers(2, 20),
    st.randoms(use_true_random=False),
)
def test_runs_that_fail_cost_themselves_only(
    history: list[tuple[int, str]], null: list[str], failing: set[int], page_size: int, random: Random
) -> None:
    rows = stored(history, null)
    failing_ids = {row_id(row) for number, row in enumerate(rows[: len(history)]) if number in failing}
    result = asyncio.run(read(Store(rows, page_size, order=by_time, failing=failing_ids), EXPERIMENTS, random))
    wanted = [row for row in rows if row.info.start_time is not None and row_id(row) not in failing_ids]
    assert Counter(map(row_id, result.rows)) == Counter(map(row_id, wanted))
    lost = [row.info.experiment_id for row in rows if row_id(row) in failing_ids]
    untimed = [text for text in result.unreadable if text.endswith("no start_time in MLflow's database")]
    named = Counter(text.partition(": a run ")[0] for text in result.unreadable if text not in untimed)
    assert named == Counter(f"experiment {each}" for each in lost)
    timed = [row for row in rows if row.info.start_time is not None]
    for ids, window in result.windows:
        there = Counter(row.info.experiment_id for row in timed if lies_in(row, window))
        assert Counter(window.rows) == Counter({each: there[each] for each in ids})
    assert sum(window.total for _, window in result.windows) == len(timed)
    found = {text.split()[1].rstrip(":") for text in [*untimed, *result.findings.unreadable]}
    assert found == set(null)


def test_one_experiment_is_counted_by_its_id_with_what_is_left_out() -> None:
    rows = [run(number, number, "7") for number in range(9)]
    result = asyncio.run(read(Store(rows, 4, order=by_time, failing=["00005"]), ["7"], Random(0)))
    assert sum((Counter(window.rows) for _, window in result.windows), Counter()) == {"7": 9}
    (text,) = result.unreadable
    assert text.startswith("experiment 7: a run between 00004 (start_time 4) and 00006 (start_time 6): ")


def test_an_experiment_with_runs_without_start_time_is_named_at_once_where_it_is_alone() -> None:
    rows = [*(run(number, number, "7") for number in range(9)), run(9, None, "7")]
    result = asyncio.run(read(Store(rows, 20, order=by_time), ["7"], Random(0)))
    assert len(result.rows) == 9
    assert result.unreadable == ["experiment 7: runs that have no start_time in MLflow's database"]
    assert result.findings == NullStartTimeFindings()
