"""Paging against a model of MLflow that others write to between the pages: nothing that was there throughout is
missed.
"""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.errors import ServerError
from crawler.mlflow.entities import Experiment, Run, RunInfo
from crawler.mlflow.pages import Page
from crawler.mlflow.paging import OffsetWalk, RunQuery, RunWalk


class Store:
    """Rows in one order, asked by offset as MLflow's SQL stores do; `writes` happen after each page."""

    def __init__(self, rows: list[Any], order: Callable[[Any], Any], page_size: int, writes: list[Any]) -> None:
        self.rows = sorted(rows, key=order)
        self.order = order
        self.page_size = page_size
        self.writes = iter(writes)
        self.throughout = list(self.rows)
        self.requests = 0

    def page(self, token: str, keep: Callable[[Any], bool] = lambda _: True) -> Page[Any]:
        offset = json.loads(base64.b64decode(token))["offset"] if token else 0
        rows = [row for row in self.rows if keep(row)][offset : offset + self.page_size]
        full = len(rows) == self.page_size
        following = base64.b64encode(json.dumps({"offset": offset + self.page_size}).encode()).decode() if full else ""
        self.requests += 1
        assert self.requests < 3_000, "the walk does not end"
        self._write()
        return Page(rows, following)

    def _write(self) -> None:
        kind, where, new = next(self.writes, ("nothing", 0.0, None))
        if kind == "insert":
            self.rows = sorted([*self.rows, new], key=self.order)
        elif kind == "purge" and self.rows:
            gone = self.rows.pop(int(where * len(self.rows)))
            self.throughout = [row for row in self.throughout if row is not gone]


def run(number: int, start_time: int | None) -> Run:
    return Run(RunInfo(run_id=f"{number:05}", start_time=start_time))


def run_order(row: Run) -> tuple[bool, int, str]:
    return (row.info.start_time is None, row.info.start_time or 0, row.info.run_id)


def name_order(row: Experiment) -> str:
    return row.experiment_id


where = st.floats(0, 0.999)
start_times = st.sampled_from([1, 2, 2, 2, 2, 3, 4, 5, 6])


def schedules(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    write = st.tuples(st.sampled_from(["nothing", "insert", "purge", "purge"]), where, rows)
    return st.lists(write, max_size=40)


new_runs = st.builds(run, st.integers(50_000, 99_999), start_times)
old_runs = st.lists(start_times | st.none(), max_size=60).map(
    lambda times: [run(number, time) for number, time in enumerate(times)]
)


def walk_runs(store: Store) -> list[Run]:
    walk, read = RunWalk(), []
    while (query := walk.query) is not None:
        read += walk.take(store.page(query.token, lambda row, query=query: _kept(row, query)))
    return read


def _kept(row: Run, query: RunQuery) -> bool:
    return query.since is None or (row.info.start_time is not None and row.info.start_time >= query.since)


@settings(max_examples=400, deadline=None)
@given(old_runs, schedules(new_runs), st.integers(4, 20))
def test_no_run_is_missed_whatever_is_written_meanwhile(rows: list[Run], writes: list[Any], page_size: int) -> None:
    store = Store(rows, run_order, page_size, writes)
    read = {row.info.run_id for row in walk_runs(store)}
    # Runs without a start time sort last and cannot be asked for with the filter (MLflow answers 500 for them anyway).
    expected = {row.info.run_id for row in store.throughout if row.info.start_time is not None}
    assert expected <= read


@settings(max_examples=200, deadline=None)
@given(old_runs, st.integers(1, 20))
def test_each_run_comes_once_and_requests_are_pages(rows: list[Run], page_size: int) -> None:
    rows = [row for row in rows if row.info.start_time is not None]
    store = Store(rows, run_order, page_size, [])
    read = [row.info.run_id for row in walk_runs(store)]
    assert sorted(read) == sorted(row.info.run_id for row in rows)
    if len({row.info.start_time for row in rows}) == len(rows) and page_size > 1:
        assert store.requests <= len(rows) // (page_size - 1) + 1


def walk_names(store: Store) -> list[Experiment]:
    walk: OffsetWalk[Experiment] = OffsetWalk(lambda row: row.experiment_id)
    read: list[Experiment] = []
    while walk.token is not None:
        read += walk.take(store.page(walk.token))
    return read


names = st.text("abcdef", min_size=1, max_size=4)


@settings(max_examples=400, deadline=None)
@given(st.sets(names, max_size=80), schedules(names.map(lambda name: Experiment(f"{name}-new"))), st.integers(4, 30))
def test_no_listed_row_is_missed_whatever_is_written_meanwhile(
    old: set[str], writes: list[Any], page_size: int
) -> None:
    store = Store([Experiment(name) for name in old], name_order, page_size, writes)
    read = {row.experiment_id for row in walk_names(store)}
    assert {row.experiment_id for row in store.throughout} <= read


def test_many_rows_purged_at_once_hide_none() -> None:
    store = Store([Experiment(f"{number:04}") for number in range(400)], name_order, 50, [])
    walk: OffsetWalk[Experiment] = OffsetWalk(lambda row: row.experiment_id)
    read = [row.experiment_id for row in walk.take(store.page(walk.token or ""))]
    read += [row.experiment_id for row in walk.take(store.page(walk.token or ""))]
    del store.rows[:95]
    while walk.token is not None:
        read += [row.experiment_id for row in walk.take(store.page(walk.token))]
    assert {f"{number:04}" for number in range(95, 400)} <= set(read)


@settings(max_examples=100, deadline=None)
@given(st.sets(names, max_size=80), st.integers(1, 30))
def test_each_row_comes_once(old: set[str], page_size: int) -> None:
    read = [
        row.experiment_id for row in walk_names(Store([Experiment(name) for name in old], name_order, page_size, []))
    ]
    assert sorted(read) == sorted(old)


def test_opaque_tokens_are_followed_as_they_are() -> None:
    walk: OffsetWalk[Experiment] = OffsetWalk(lambda row: row.experiment_id)
    assert walk.take(Page([Experiment("a")], "opaque-1")) == [Experiment("a")]
    assert walk.token == "opaque-1"
    assert walk.take(Page([], "opaque-2")) == []
    assert walk.take(Page([Experiment("b")])) == [Experiment("b")]
    assert walk.token is None


def test_a_repeated_token_ends_the_walk() -> None:
    walk: OffsetWalk[Experiment] = OffsetWalk(lambda row: row.experiment_id)
    walk.take(Page([Experiment("a")], "again"))
    with pytest.raises(ServerError, match="twice"):
        walk.take(Page([Experiment("b")], "again"))


def test_empty_pages_without_end_end_the_walk() -> None:
    walk: OffsetWalk[Experiment] = OffsetWalk(lambda row: row.experiment_id)
    with pytest.raises(ServerError, match="nothing new"):
        _take_all(walk, (Page([], f"opaque-{number}") for number in range(1_000)))


@pytest.mark.parametrize("ignores", ["filter", "token"])
def test_a_server_that_ignores_filter_or_token_is_read_all_the_same(ignores: str) -> None:
    store = Store([run(number, number // 3) for number in range(40)], run_order, 7, [])
    walk, read = RunWalk(), []
    while (query := walk.query) is not None:
        keep = (lambda _: True) if ignores == "filter" else (lambda row, query=query: _kept(row, query))
        read += walk.take(store.page("" if ignores == "token" else query.token, keep))
    assert len({row.info.run_id for row in read}) == 40


def test_a_server_that_ignores_both_is_an_error_and_no_hang() -> None:
    store = Store([run(number, number // 3) for number in range(40)], run_order, 7, [])
    walk = RunWalk()
    with pytest.raises(ServerError):
        _take_all(walk, (store.page("") for _ in range(1_000)))


def _take_all(walk: OffsetWalk[Any] | RunWalk, pages: Iterable[Page[Any]]) -> None:
    for page in pages:
        walk.take(page)
