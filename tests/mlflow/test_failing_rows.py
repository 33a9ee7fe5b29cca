"""Rows that make a server fail for every page that holds them: they cost themselves only, and are named."""

from collections import Counter
from math import ceil, log2
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Experiment
from crawler.mlflow.paging.keyset import RunCursor, RunQuery
from crawler.mlflow.paging.loop_guard import MAX_DOUBTS
from crawler.mlflow.paging.offset import MAX_SKIPPED, OVERLAP, OffsetCursor
from crawler.mlflow.paging.skipped import Skipped
from tests.mlflow.listings import PageFailed, Store, by_time, in_turns, number_token, passes, row_id, run
from tests.support.examples import examples

FAULT = "MLflow answers 500"


class GivenUp(Exception):
    """The cursor says that asking for less does not help."""


class Reading:
    """What came of a listing."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.read: list[Any] = []
        self.skipped: list[Skipped[Any]] = []

    @property
    def ids(self) -> list[str]:
        return [row_id(row) for row in self.read]

    def take_names(self, cursor: OffsetCursor[Any]) -> None:
        """One page of a listing."""
        try:
            page = self.store.page(cursor.token or "", most=cursor.most)
        except PageFailed as failed:
            if not cursor.failed(failed.rows, FAULT):
                raise GivenUp from None
            return
        step = cursor.take(page)
        self.read += step.rows
        self.skipped += step.skipped

    def take_runs(self, cursor: RunCursor, query: RunQuery, until: int | None = None) -> None:
        """One page of runs, asked by a query that the cursor gave, perhaps before it was split."""
        try:
            page = self.store.page(query.token, lambda row: passes(row, query), query.known, query.most)
        except PageFailed as failed:
            if not cursor.failed(query, failed.rows, FAULT):
                raise GivenUp from None
            return
        step = cursor.take(page)
        self.read += step.rows
        self.skipped += step.skipped

    def check(self) -> None:
        """All but the failing rows came once; each of those was named once, by where it lies."""
        assert Counter(self.ids) == Counter(self.store.throughout - self.store.failing)
        assert len(self.skipped) == len(self.store.failing)
        order = self.store.order
        failing = [order(row) for row in self.store.rows if row_id(row) in self.store.failing]
        for each in self.skipped:
            assert each.error_text == FAULT
            assert any(
                (each.after is None or order(each.after) < place)
                and (each.before is None or place < order(each.before))
                for place in failing
            )


def read_names(store: Store) -> Reading:
    reading, cursor = Reading(store), OffsetCursor[Experiment](row_id)
    while cursor.token is not None:
        reading.take_names(cursor)
    return reading


def read_runs(store: Store) -> Reading:
    reading, cursor = Reading(store), RunCursor()
    while (query := cursor.query) is not None:
        reading.take_runs(cursor, query)
    return reading


def read_runs_in_parts(store: Store, random: Random) -> Reading:
    reading = Reading(store)
    for cursor, query in in_turns([RunCursor()], store.page_size, random):
        reading.take_runs(cursor, query)
    return reading


def failing(rows: list[Any], chosen: set[int]) -> list[str]:
    """The ids at these places, but for what would be more in a row than a cursor bears."""
    ids: list[str] = []
    in_a_row = 0
    for place, row in enumerate(rows):
        in_a_row = in_a_row + 1 if place in chosen and in_a_row < MAX_SKIPPED else 0
        if in_a_row:
            ids.append(row_id(row))
    return ids


def left_out(rows: list[Any], failing: set[str]) -> list[Skipped[Any]]:
    """The failing rows, each with the last one before it and the first one behind it that can be read."""
    readable = [place for place, row in enumerate(rows) if row_id(row) not in failing]
    return [
        Skipped(
            next((rows[other] for other in reversed(readable) if other < place), None),
            next((rows[other] for other in readable if other > place), None),
            FAULT,
        )
        for place, row in enumerate(rows)
        if row_id(row) in failing
    ]


def bound(rows: int, failing_rows: int, page_size: int, plain: int) -> float:
    """Requests: those of a listing without failing rows, and for each of these one that halves for each halving, as
    many to grow again, and a few to be sure.
    """
    return plain + failing_rows * (3 * ceil(log2(page_size + OVERLAP)) + 6)


thorough = examples(400)
times = st.lists(st.sampled_from([1, 2, 2, 2, 2, 2, 3, 4, 5, 5, 5, 6]) | st.integers(0, 400), max_size=120)
places = st.sets(st.integers(0, 119), max_size=12) | st.integers(0, 110).map(lambda n: set(range(n, n + MAX_SKIPPED)))
sizes = st.integers(1, 40)


@thorough
@given(times, places, sizes)
def test_all_other_runs_come_once(times: list[int], places: set[int], page_size: int) -> None:
    rows = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    plain = read_runs(Store(rows, page_size, order=by_time)).store.requests
    store = Store(rows, page_size, order=by_time, failing=failing(rows, places))
    read_runs(store).check()
    assert store.requests <= bound(len(rows), len(store.failing), page_size, plain)


@thorough
@given(times, places, st.integers(2, 20), st.randoms(use_true_random=False))
def test_all_other_runs_come_once_to_cursors_that_share_them(
    times: list[int], places: set[int], page_size: int, random: Random
) -> None:
    rows = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    store = Store(rows, page_size, order=by_time, failing=failing(rows, places))
    read_runs_in_parts(store, random).check()


@thorough
@given(st.integers(0, 120), places, sizes)
def test_all_other_rows_come_once(count: int, places: set[int], page_size: int) -> None:
    rows = [Experiment(f"{number:05}") for number in range(count)]
    plain = read_names(Store(rows, page_size)).store.requests
    store = Store(rows, page_size, failing=failing(rows, places))
    reading = read_names(store)
    reading.check()
    assert reading.skipped == left_out(rows, store.failing)
    assert store.requests <= bound(len(rows), len(store.failing), page_size, plain)


where = st.floats(0, 0.999)
purges = st.tuples(st.just("purge"), where, st.sampled_from([1, 1, 1, 2, 3, OVERLAP, OVERLAP + 5, 30]))
writes = st.lists(st.lists(purges, max_size=1), max_size=40)


@thorough
@given(st.integers(0, 120), places, st.integers(2, 40), writes)
@example(60, {30}, 20, [[]] * 8 + [[("purge", 0.0, 1)]])
def test_rows_that_are_purged_meanwhile_hide_none(
    count: int, places: set[int], page_size: int, writes: list[list[Any]]
) -> None:
    rows = [Experiment(f"{number:05}") for number in range(count)]
    store = Store(rows, page_size, writes, failing=failing(rows, places))
    try:
        reading = read_names(store)
    except GivenUp:
        # Purged rows had parted more failing ones than a cursor bears.
        assert len(store.failing) > MAX_SKIPPED
    else:
        assert store.throughout - store.failing - set(reading.ids) == set()


@thorough
@given(times, places, st.integers(2, 40), writes)
def test_runs_that_are_purged_meanwhile_hide_none_and_bring_none_twice(
    times: list[int], places: set[int], page_size: int, writes: list[list[Any]]
) -> None:
    rows = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    store = Store(rows, page_size, writes, by_time, failing=failing(rows, places))
    try:
        reading = read_runs(store)
    except GivenUp:
        assert len(store.failing) > MAX_SKIPPED
    else:
        assert store.throughout - store.failing - set(reading.ids) == set()
        assert len(reading.ids) == len(set(reading.ids))


@thorough
@given(times, places, st.integers(0, 110), st.integers(1, 45), sizes)
@example(list(range(100)), {30}, 32, 30, 20)
def test_rows_that_make_pages_fail_hide_no_others_where_others_cannot_be_read(
    times: list[int], places: set[int], first: int, unreadable: int, page_size: int
) -> None:
    runs = sorted((run(number, time) for number, time in enumerate(times)), key=by_time)
    names = [Experiment(f"{number:05}") for number in range(len(times))]
    for rows, order, read in ((runs, by_time, read_runs), (names, row_id, read_names)):
        bad = failing(rows, places)
        broken = map(row_id, rows[first : first + unreadable])
        store = Store(rows, page_size, order=order, broken=set(broken).difference(bad), failing=bad)
        reading = read(store)
        assert Counter(reading.ids) == Counter(store.throughout - store.failing - store.broken)


def test_more_failing_rows_in_a_row_than_a_cursor_bears_end_it() -> None:
    rows = [Experiment(f"{number:05}") for number in range(60)]
    for store in (Store(rows, 7, failing=map(row_id, rows)), Store(rows, 7, failing=map(row_id, rows[20:31]))):
        with pytest.raises(GivenUp):
            read_names(store)
        assert store.requests <= 20 / 4 + 2 * ceil(log2(7)) + MAX_SKIPPED + 3


@pytest.mark.parametrize("moment", range(9, 14))
def test_rows_that_move_while_a_row_is_left_out_are_looked_for_near_by(moment: int) -> None:
    rows = [Experiment(f"{number:05}") for number in range(400)]
    plain = read_names(Store(rows, 40, failing=["00200"])).store.requests
    store = Store(rows, 40, [[]] * moment + [[("purge", 0.0, 3)]], failing=["00200"])
    reading = read_names(store)
    assert store.throughout - store.failing - set(reading.ids) == set()
    assert len(reading.skipped) == 1
    assert store.requests <= plain + 10


def test_rows_that_never_stop_moving_are_looked_for_a_few_times_only() -> None:
    rows = [Experiment(f"{number:05}") for number in range(400)]
    store = Store(rows, 40, [[]] * 6 + [[("purge", 0.0, 1)]] * 300, failing=["00200"])
    reading, cursor, looked_for = Reading(store), OffsetCursor[Experiment](row_id), 0
    while cursor.token is not None:
        looked_for += cursor._gap is not None and cursor._gap.page is not None
        reading.take_names(cursor)
    assert looked_for == MAX_DOUBTS
    assert len(reading.skipped) == 1
    assert store.throughout - store.failing - set(reading.ids) == set()


def test_where_known_rows_have_moved_from_before_a_gap_two_overlaps_are_looked_through_in_halves() -> None:
    rows = [Experiment(f"{number:05}") for number in range(60)]
    cursor = OffsetCursor[Experiment](row_id)
    cursor.take(Page(rows[:40], number_token(40)))
    assert (cursor.token, cursor.most) == (number_token(40 - OVERLAP), 0)
    # Row 40 fails: with the known ones, then alone.
    assert cursor.failed(OVERLAP + 1, FAULT)
    assert (cursor.token, cursor.most) == (number_token(40), 1)
    assert cursor.failed(1, FAULT)
    assert (cursor.token, cursor.most) == (number_token(41), 1)
    assert cursor.take(Page(rows[41:42], number_token(42))).rows == []
    assert (cursor.token, cursor.most) == (number_token(40 - OVERLAP), OVERLAP)
    # Others lie there now, so that the row behind them is not the one that was there.
    assert cursor.take(Page(rows[27:43], number_token(40))).rows == []
    assert (cursor.token, cursor.most, cursor.is_bisecting) == (number_token(40 - 2 * OVERLAP), OVERLAP, True)
    # One that fails lies among these as well: what is before it is looked through.
    for rows_asked in (16, 8, 4, 2):
        assert cursor.failed(rows_asked, FAULT)
        assert (cursor.token, cursor.most) == (number_token(40 - 2 * OVERLAP), rows_asked // 2)
    assert cursor.failed(1, FAULT)
    assert (cursor.token, cursor.most) == ("", OVERLAP)
    step = cursor.take(Page(rows[:16], number_token(16)))
    assert (step.rows, step.skipped) == (rows[:16], [])


def test_of_many_known_rows_before_one_that_fails_only_the_last_are_asked_for() -> None:
    rows = [Experiment(f"{number:02}") for number in range(60)]
    cursor = OffsetCursor(row_id, known=rows[:40])
    assert cursor.failed(60, FAULT)
    assert (cursor.token, cursor.most) == (number_token(40 - OVERLAP), OVERLAP + 10)
    assert cursor.take(Page(rows[24:50], number_token(50))).rows == rows[40:50]


def test_a_page_that_fails_once_costs_no_row() -> None:
    store = Store([run(number, number) for number in range(60)], 16, order=by_time)
    reading, cursor = Reading(store), RunCursor()
    while (query := cursor.query) is not None:
        if store.requests == 1 and not query.most:
            assert cursor.failed(query, 16 + query.known, FAULT)
            continue
        reading.take_runs(cursor, query)
    assert reading.ids == [row_id(row) for row in store.rows]
    assert reading.skipped == []


@pytest.mark.parametrize("count", [2, 40, 100])
def test_pages_that_take_too_long_become_smaller_and_stay_so(count: int) -> None:
    store = Store([run(number, number // 3) for number in range(count)], 32, order=by_time)
    cursor, read, slow = RunCursor(), [], 0
    while (query := cursor.query) is not None:
        rows = query.most or 32 + query.known
        if rows - query.known > 12:
            slow += 1
            assert cursor.slow(query, rows)
            continue
        read += cursor.take(store.page(query.token, lambda row, query=query: passes(row, query), most=rows)).rows  # type: ignore[misc]
    assert Counter(map(row_id, read)) == Counter(store.throughout)
    assert slow == 2


def test_a_single_row_that_takes_too_long_is_not_left_out() -> None:
    cursor = RunCursor()
    query = cursor.query
    assert query is not None
    assert cursor.slow(query, 2)
    query = cursor.query
    assert query is not None
    assert query.most == 1
    assert not cursor.slow(query, 1)


@pytest.mark.parametrize("token", ["opaque", number_token(1)])
def test_nothing_is_left_out_where_tokens_are_no_offsets(token: str) -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page([Experiment(str(number)) for number in range(20)], token))
    assert not cursor.failed(20, FAULT)


def test_behind_a_row_left_out_of_pages_of_two_a_known_row_comes_with_each_new_one() -> None:
    rows = [Experiment(str(number)) for number in range(8)]
    cursor = OffsetCursor[Experiment](row_id)
    cursor.take(Page(rows[:2], number_token(2)))
    assert cursor.failed(2, FAULT)
    assert cursor.failed(1, FAULT)
    assert cursor.take(Page(rows[3:4], number_token(4))).rows == []
    assert cursor.take(Page(rows[:2], number_token(2))).rows == rows[3:4]
    assert (cursor.token, cursor.most) == (number_token(3), 1 + 2)


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (4, [12 + 2, 14 + 1, 15 + 1, 16 + 2, 16 + 4]),
        (6, [12 + 3, 15 + 1, 16 + 1, 16 + 1, 16 + 2, 16 + 4]),
    ],
)
def test_a_whole_page_is_one_of_new_rows_where_pages_grow_again(whole: int, expected: list[int]) -> None:
    store = Store([Experiment(f"{number:02}") for number in range(60)], whole)
    cursor = OffsetCursor(row_id, known=store.rows[:12])
    assert cursor.failed(12 + whole, FAULT)
    asked = []
    while cursor.is_bisecting:
        asked.append(cursor.most)
        read = cursor.take(store.page(cursor.token or "", most=cursor.most)).rows
    assert asked == expected
    # The next one holds half as many known ones as the last one held new ones.
    assert cursor.token == number_token(store.rows.index(read[-1]) + 1 - 4 // 2)


def test_behind_a_row_left_out_a_token_that_does_not_advance_is_followed_as_it_stands() -> None:
    rows = [Experiment(str(number)) for number in range(8)]
    cursor = OffsetCursor[Experiment](row_id)
    cursor.take(Page(rows[:4], number_token(4)))
    assert cursor.failed(3, FAULT)
    assert cursor.failed(1, FAULT)
    cursor.take(Page(rows[5:6], number_token(5)))
    assert cursor.take(Page(rows[:4], number_token(4))).rows == rows[5:6]
    assert cursor.token == number_token(5)
    assert not cursor.failed(2, FAULT)
