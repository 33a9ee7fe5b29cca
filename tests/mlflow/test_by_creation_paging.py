"""Paging through logged models against a listing that others write to between the pages: nothing that was there
throughout is missed or read twice, rows that fail cost only themselves, and every cursor ends.
"""

from collections import Counter
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import LoggedModel, LoggedModelInfo
from crawler.mlflow.paging.by_creation import SEEN_AT_MOST, LoggedModelCursor, LoggedModelQuery
from crawler.mlflow.paging.offset import MAX_SKIPPED, OVERLAP
from crawler.mlflow.paging.tokens import offset_token, parse_offset, with_query, without_query
from tests.mlflow.listings import PageFailed, Store, Write, row_id
from tests.support.examples import examples

LATEST = 1_000


def model(number: int, created: int, updated: int = 0) -> LoggedModel:
    return LoggedModel(LoggedModelInfo(f"m-{number:05}", "1", "name", created, updated))


def by_creation(row: LoggedModel) -> tuple[int, str]:
    return row.info.creation_timestamp_ms, row.info.model_id


def passes(row: LoggedModel, query: LoggedModelQuery) -> bool:
    created, updated = row.info.creation_timestamp_ms, row.info.last_updated_timestamp_ms
    return (
        (query.since is None or created >= query.since)
        and (query.until is None or created < query.until)
        and (query.changed_since is None or updated >= query.changed_since)
    )


def read(store: Store, cursors: list[LoggedModelCursor], random: Random, lost: list[str] | None = None) -> list[str]:
    """Read with all cursors in any order; they are split, and replaced by copies, at any time between pages."""
    found = []
    while cursors:
        cursor = random.choice(cursors)
        query = cursor.query
        if query is None:
            cursors.remove(cursor)
            continue
        try:
            page = store.page(query.token, lambda row, query=query: passes(row, query), query.known, query.most)  # type: ignore[misc]
        except PageFailed as failed:
            if not cursor.failed(failed.rows, "500"):
                raise
            continue
        step = cursor.take(page)
        found += [row_id(row) for row in step.rows]
        if lost is not None:
            lost += step.unreadable
        if random.random() < 0.3 and (parts := cursor.split(LATEST, random.randint(1, 4))):
            cursors += parts
        elif random.random() < 0.2 and cursor.query is not None and not cursor.query.token and not cursor.query.most:
            cursors[cursors.index(cursor)] = cursor.copy()
    return found


where = st.floats(0, 0.999)
times = st.one_of(st.integers(0, LATEST), st.sampled_from([7, 500, 500, 500, 501, 999]))
few_times = st.sampled_from([1, 2, 2, 2, 2, 2, 3, 5, 5, 5])
rows = (st.lists(times, max_size=100) | st.lists(few_times, max_size=100)).map(
    lambda found: [model(2 * i, time) for i, time in enumerate(found)]
)
new = st.builds(model, st.integers(0, 100).map(lambda number: 2 * number + 1), times | few_times)
insert = st.tuples(st.just("insert"), where, new)
purge = st.tuples(st.just("purge"), where, st.sampled_from([1, 1, 2, 3, OVERLAP, OVERLAP + 5, 30]))
schedules = st.lists(st.lists(insert | purge, max_size=4), max_size=30)
randoms = st.randoms(use_true_random=False)


@examples(200)
@given(rows, schedules, st.integers(2, 20), randoms)
@example([model(2 * i, 5) for i in range(8)], [[], [("purge", 0.0, 4)]], 4, Random(1))
def test_no_model_is_missed_whatever_is_written_meanwhile(
    listed: list[LoggedModel], writes: list[list[Write]], page_size: int, random: Random
) -> None:
    store = Store(listed, page_size, writes, by_creation)
    found = Counter(read(store, [LoggedModelCursor()], random))
    assert store.throughout - set(found) == set()


@examples(200)
@given(rows, st.integers(2, 20), randoms)
def test_each_model_is_read_once(listed: list[LoggedModel], page_size: int, random: Random) -> None:
    found = read(Store(listed, page_size, order=by_creation), [LoggedModelCursor()], random)
    assert Counter(found) == Counter(map(row_id, listed))


@examples(200)
@given(rows, st.sets(st.integers(0, 50), max_size=5), st.sets(st.integers(0, 50), max_size=5), st.integers(2, 20))
def test_models_that_fail_or_cannot_be_read_cost_only_themselves(
    listed: list[LoggedModel], failing: set[int], broken: set[int], page_size: int
) -> None:
    ids = {row_id(row) for row in listed}
    bad, garbled = ({f"m-{2 * number:05}" for number in numbers} & ids for numbers in (failing, broken))
    store = Store(listed, page_size, order=by_creation, failing=bad, broken=garbled - bad)
    lost: list[str] = []
    found = read(store, [LoggedModelCursor()], Random(0), lost)
    assert Counter(found) == Counter(ids - bad - garbled)
    assert sum(text.endswith(": 500") for text in lost) == len(bad)


def test_too_many_that_fail_in_a_row_are_given_up() -> None:
    listed = [model(number, number) for number in range(MAX_SKIPPED + 5)]
    store = Store(listed, 4, order=by_creation, failing=[row_id(row) for row in listed])
    with pytest.raises(PageFailed):
        read(store, [LoggedModelCursor()], Random(0))


@examples(100)
@given(st.lists(st.tuples(few_times, st.integers(0, 9)), max_size=40), st.integers(0, 9), st.integers(2, 9))
def test_only_what_changed_is_read(listed: list[tuple[int, int]], since: int, page_size: int) -> None:
    models = [model(number, created, updated) for number, (created, updated) in enumerate(listed)]
    found = read(Store(models, page_size, order=by_creation), [LoggedModelCursor(changed_since=since)], Random(0))
    assert Counter(found) == Counter(row_id(row) for row in models if row.info.last_updated_timestamp_ms >= since)


def test_a_page_that_took_too_long_is_asked_for_with_half_of_the_rows() -> None:
    cursor = LoggedModelCursor()
    assert cursor.slow(40)
    assert cursor.query == LoggedModelQuery(most=20)
    assert not cursor.slow(1)


def test_other_models_than_those_that_were_asked_for_are_refused() -> None:
    for cursor, first in ((LoggedModelCursor(), [model(1, 5), model(2, 4)]), (LoggedModelCursor(9), [model(1, 5)])):
        with pytest.raises(DecodeError, match="other logged models"):
            cursor.take(Page(first, offset_token(2)))


def test_where_nothing_follows_the_order_does_not_matter() -> None:
    cursor = LoggedModelCursor()
    assert len(cursor.take(Page([model(1, 5), model(2, 4)])).rows) == 2
    assert cursor.query is None


def test_a_model_that_comes_twice_with_other_data_is_named() -> None:
    step = LoggedModelCursor().take(Page([model(1, 5), model(1, 5, 7)], mended=["m"]))
    assert (len(step.rows), step.unreadable) == (1, ["m-00001 comes twice, with other data: only the first is kept"])


def test_memory_of_one_creation_time_is_bounded() -> None:
    cursor = LoggedModelCursor()
    rows_a_page = 5_000
    for first in range(0, 30_000, rows_a_page):
        page = [model(number, 5) for number in range(first, first + rows_a_page)]
        cursor.take(Page(page, offset_token(first + rows_a_page)))
        assert len(cursor._seen) <= SEEN_AT_MOST + rows_a_page + OVERLAP


def test_a_filter_names_all_bounds() -> None:
    assert LoggedModelQuery().filter == ""
    assert LoggedModelQuery(1, 2, 3).filter == (
        "creation_timestamp >= 1 AND creation_timestamp < 2 AND last_updated_timestamp >= 3"
    )


def test_tokens_that_hold_their_query() -> None:
    query = {"experiment_ids": ["1"], "filter_string": None, "order_by": None}
    token = with_query(offset_token(40), query)
    assert parse_offset(token) is None
    assert (without_query(token), parse_offset(without_query(token))) == (offset_token(40), 40)
    assert (without_query(""), without_query("opaque"), with_query("opaque", query)) == ("", "opaque", "opaque")


def test_one_without_a_time_costs_no_other() -> None:
    """Nobody knows where a server puts it."""
    for places in ([5, 0, 7], [5, 7, 0], [0, 5, 7]):
        cursor = LoggedModelCursor()
        page = Page([model(number, time) for number, time in enumerate(places)], offset_token(3))
        assert len(cursor.take(page).rows) == 3
        assert cursor.query is not None
        assert (cursor.query.since, cursor.query.known) == (7, 1)


def test_what_is_left_is_given_to_as_many_as_it_is_worth_a_page_to() -> None:
    def bounds(left_until: int, parts: int) -> list[tuple[int | None, int | None]]:
        cursor = LoggedModelCursor()
        cursor.take(Page([model(number, 10 * number) for number in range(11)], offset_token(11)))
        given = cursor.split(left_until - 1, parts)
        return [(query.since, query.until) for each in (cursor, *given) if (query := each.query) is not None]

    assert bounds(500, 3) == [(100, 200), (200, 300), (300, 400), (400, None)]
    assert bounds(350, 3) == [(100, 183), (183, 266), (266, None)]
    assert bounds(120, 3) == [(100, 110), (110, None)]
    assert bounds(101, 3) == [(100, None)]
