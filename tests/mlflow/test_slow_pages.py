"""Pages that take too long: smaller ones are asked for, as few as can be, and nothing is missed."""

from collections import Counter
from collections.abc import Callable
from math import ceil, log2
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Experiment
from crawler.mlflow.paging.keyset import RunCursor
from crawler.mlflow.paging.offset import OVERLAP, OffsetCursor
from tests.mlflow.listings import PageFailed, Store, by_time, in_turns, number_token, passes, row_id, run
from tests.support.examples import examples

FAULT = "MLflow answers 500"
thorough = examples(200)
times = st.lists(st.sampled_from([1, 2, 2, 2, 2, 2, 3, 4, 5, 5, 5, 6]) | st.integers(0, 400), max_size=120)
places = st.sets(st.integers(0, 119), max_size=6)
sizes = st.integers(1, 90)
bearable = st.integers(OVERLAP + 1, 60)


class PageSlow(Exception):
    """A page of `rows` does not come in time."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


class SlowStore(Store):
    """Bears no more than so many rows a page."""

    bearable = 0
    slow = 0

    def page(
        self, token: str, keep: Callable[[Any], bool] = lambda _: True, known: int = 0, most: int = 0
    ) -> Page[Any]:
        size = most or self.page_size + known
        if size > self.bearable:
            self.slow += 1
            raise PageSlow(size)
        return super().page(token, keep, known, most)


def slow_store(rows: list[Any], page_size: int, bearable: int, places: set[int], **options: Any) -> SlowStore:
    failing = [row_id(row) for place, row in enumerate(rows) if place in places]
    store = SlowStore(rows, page_size, failing=failing, **options)
    store.bearable = bearable
    return store


def check(store: SlowStore, read: list[Any], skipped: int) -> None:
    assert Counter(map(row_id, read)) == Counter(store.throughout - store.failing)
    assert skipped == len(store.failing)
    # No page of the cursor asks for as many again: each halves what is asked for.
    assert store.slow <= ceil(log2(store.page_size + 1))


@thorough
@given(st.integers(0, 120), places, sizes, bearable)
def test_all_other_rows_come_once(count: int, places: set[int], page_size: int, bearable: int) -> None:
    store = slow_store([Experiment(f"{number:05}") for number in range(count)], page_size, bearable, places)
    cursor, read, skipped = OffsetCursor[Any](row_id), [], 0
    while cursor.token is not None:
        try:
            step = cursor.take(store.page(cursor.token, most=cursor.most))
            read += step.rows
            skipped += len(step.skipped)
        except PageSlow as slow:
            helped = cursor.slow(slow.rows)
        except PageFailed as failed:
            helped = cursor.failed(failed.rows, FAULT)
        else:
            helped = True
        assert helped
    check(store, read, skipped)


@thorough
@given(times, places, sizes, bearable)
def test_all_other_runs_come_once(times: list[int], places: set[int], page_size: int, bearable: int) -> None:
    rows = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    store = slow_store(rows, page_size, bearable, places, order=by_time)
    cursor, read, skipped = RunCursor(), [], 0
    while (query := cursor.query) is not None:
        try:
            keep = lambda row, query=query: passes(row, query)  # noqa: E731
            step = cursor.take(store.page(query.token, keep, query.known, query.most))
            read += step.rows
            skipped += len(step.skipped)
        except PageSlow as slow:
            helped = cursor.slow(query, slow.rows)
        except PageFailed as failed:
            helped = cursor.failed(query, failed.rows, FAULT)
        else:
            helped = True
        assert helped
    check(store, read, skipped)


def test_known_rows_are_asked_for_beside_half_of_the_new_ones() -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page([Experiment(str(number)) for number in range(20)], number_token(20)))
    assert cursor.token == number_token(10)
    assert cursor.slow(20)
    assert cursor.most == 10 + 5
    assert cursor.slow(15)
    assert cursor.slow(12)
    assert (cursor.most, cursor.token) == (10 + 1, number_token(10))
    assert not cursor.slow(11)


def test_of_many_known_rows_only_the_last_are_asked_for() -> None:
    rows = [Experiment(f"{number:02}") for number in range(60)]
    cursor = OffsetCursor(row_id, known=rows[:40])
    assert cursor.slow(60)
    assert (cursor.most, cursor.token) == (10 + OVERLAP, number_token(40 - OVERLAP))
    assert cursor.take(Page(rows[24:50], number_token(50))).rows == rows[40:50]
    # The others of those that took too long may hold one that stalls.
    assert cursor.is_bisecting
    assert cursor.take(Page(rows[34:60], number_token(60))).rows == rows[50:60]
    assert not cursor.is_bisecting


def test_a_page_of_an_opaque_token_is_asked_for_again_as_it_stands() -> None:
    rows = [Experiment(str(number)) for number in range(20)]
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page(rows, "opaque"))
    assert cursor.slow(20)
    assert (cursor.most, cursor.token) == (10, "opaque")
    assert cursor.take(Page(rows[:10])).rows == rows[:10]


def test_behind_an_opaque_token_nothing_comes_once_more() -> None:
    rows = [Experiment(str(number)) for number in range(20)]
    cursor = OffsetCursor(row_id, known=rows[:4])
    assert cursor.slow(4 + 10)
    assert cursor.most == 4 + 5
    cursor.take(Page(rows[:9], "opaque"))
    assert cursor.most == 5


def shrink(cursor: Any, rows: int, *query: Any) -> None:
    """Make a cursor ask for less, as its callers do where a page stalls."""
    if not cursor.slow(*query, rows):
        assert cursor.failed(*query, rows, FAULT)


def stall_bound(store: Store, plain: int) -> float:
    """Requests, as for rows that fail at once."""
    return plain + len(store.failing) * (4 * ceil(log2(store.page_size + OVERLAP)) + 8)


@thorough
@given(st.integers(0, 120), places, sizes)
def test_rows_that_stall_cost_themselves_only(count: int, places: set[int], page_size: int) -> None:
    rows = [Experiment(f"{number:05}") for number in range(count)]
    store = Store(rows, page_size, failing=[row_id(row) for place, row in enumerate(rows) if place in places])
    cursor, read, skipped = OffsetCursor[Any](row_id), [], 0
    while cursor.token is not None:
        try:
            step = cursor.take(store.page(cursor.token, most=cursor.most))
            read += step.rows
            skipped += len(step.skipped)
        except PageFailed as failed:
            shrink(cursor, failed.rows)
    assert Counter(map(row_id, read)) == Counter(store.throughout - store.failing)
    assert skipped == len(store.failing)
    assert store.requests <= stall_bound(store, ceil(count / max(1, page_size - OVERLAP)) + 2)


@thorough
@given(times, places, sizes, st.randoms(use_true_random=False))
def test_runs_that_stall_cost_themselves_only(
    times: list[int], places: set[int], page_size: int, random: Random
) -> None:
    rows = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    failing = [row_id(row) for place, row in enumerate(rows) if place in places]
    store = Store(rows, page_size, order=by_time, failing=failing)
    read, skipped = [], 0
    for cursor, query in in_turns([RunCursor()], store.page_size, random):
        try:
            keep = lambda row, query=query: passes(row, query)  # noqa: E731
            step = cursor.take(store.page(query.token, keep, query.known, query.most))
            read += step.rows
            skipped += len(step.skipped)
        except PageFailed as failed:
            shrink(cursor, failed.rows, query)
    assert Counter(map(row_id, read)) == Counter(store.throughout - store.failing)
    assert skipped == len(failing)


def test_behind_a_row_that_stalls_pages_are_whole_again() -> None:
    store = Store([run(number, number) for number in range(2_000)], 64, order=by_time, failing=["00025"])
    cursor = RunCursor()
    while (query := cursor.query) is not None:
        try:
            cursor.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known, query.most))  # type: ignore[misc]
        except PageFailed as failed:
            shrink(cursor, failed.rows, query)
            # Nobody gets a part for which pages would stay small.
            assert cursor.split(8, store.page_size) == []
    assert store.requests <= 2_000 / 63 + 2 * log2(64) + 12
