"""What a cursor through one experiment asks for, page by page, and what it gives away."""

from typing import Any

import pytest

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST, Window
from crawler.mlflow.paging.keyset import RunCursor, RunQuery
from crawler.mlflow.paging.seen_runs import SEEN_AT_MOST
from crawler.mlflow.paging.skipped import Skipped
from tests.mlflow.listings import number_token, row_id, run

FAULT = "MLflow answers 500"


def page(first: int, *times: int | None, token: int = 0) -> Page[Run]:
    """Runs of ids from `first` on."""
    return Page([run(first + i, time) for i, time in enumerate(times)], number_token(token) if token else "")


def query_of(cursor: RunCursor) -> RunQuery:
    query = cursor.query
    assert query is not None
    return query


def steady(since: int | None = None, until: int | None = None) -> RunCursor:
    """Two pages of four runs, 10 ms apart, are read; the server has shown that it keeps the filter."""
    cursor = RunCursor(since, until)
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    cursor.take(page(3, 30, 40, 50, 60, token=4))
    return cursor


def test_a_cursor_of_which_a_page_fails_is_not_split_until_that_row_is_found() -> None:
    cursor = steady()
    assert cursor.pages_left(4) == 2
    query = query_of(cursor)
    assert cursor.failed(query, 5, FAULT)
    assert cursor.pages_left(4) == 0
    assert cursor.split(2, 4) == []


def test_a_page_that_failed_for_a_cursor_that_gave_away_meanwhile_is_asked_for_again() -> None:
    cursor = steady()
    query = query_of(cursor)
    (part,) = cursor.split(1, 4)
    later = query_of(cursor)
    assert (later.until, later.most) == (query_of(part).since, 0)
    assert cursor.failed(query, 1, FAULT)
    assert cursor.slow(query, 1)
    assert cursor.query == later
    assert not cursor.slow(later, 2)


def test_parts_of_a_cursor_whose_pages_took_too_long_ask_for_as_few() -> None:
    cursor = steady()
    assert cursor.slow(query_of(cursor), 5)
    assert query_of(cursor).most == 2 + 1
    # One of the four that took too long may be the reason: then parts need not ask for fewer.
    assert cursor.split(1, 4) == []
    cursor.take(page(6, 60, 70, 80, token=3))
    assert cursor.split(1, 4) == []
    cursor.take(page(8, 80, 90, 100, token=3))
    (part,) = cursor.split(1, 4)
    assert query_of(part).most == 2
    assert query_of(part).since == query_of(cursor).until
    start = query_of(part).since
    assert start is not None
    part.take(page(20, start, start + 1, token=2))
    assert query_of(part).most == 2 + 1


def test_a_cursor_that_starts_again_asks_for_no_more_than_came_in_time() -> None:
    cursor = RunCursor()
    assert cursor.slow(query_of(cursor), 40)
    cursor.leave_out_null_start_times()
    assert query_of(cursor).most == 20
    cursor.restart(EARLIEST)
    assert query_of(cursor) == RunQuery(EARLIEST, most=20)
    cursor.take(page(0, *range(20), token=20))
    assert query_of(cursor) == RunQuery(19, most=20 + 1)


def test_runs_without_start_time_are_left_out_by_a_filter() -> None:
    cursor = RunCursor()
    cursor.leave_out_null_start_times()
    assert query_of(cursor).filter == "attributes.start_time >= -9223372036854775808"


def test_pages_left_are_those_behind_the_one_that_is_asked_for() -> None:
    cursor = steady(0, 500)
    # From 60 to 500 lie 44 runs.
    assert cursor.pages_left(4) == pytest.approx(440 / 30 - 1)
    assert steady(0, 70).pages_left(4) == 0
    assert steady(0, 120).pages_left(4) == pytest.approx(1)


@pytest.mark.parametrize(("page_rows", "left"), [(4, 992), (3, 0), (8, 495.5)])
def test_a_page_within_one_millisecond_is_not_split(page_rows: int, left: float) -> None:
    cursor = RunCursor(0, 1_000)
    cursor.take(page(0, 5, 5, 6, 6, token=4))
    cursor.take(page(2, 6, 6, 7, 7, token=4))
    assert cursor.pages_left(page_rows) == left


def test_a_page_of_one_start_time_tells_nothing_of_what_is_left() -> None:
    cursor = steady(0, 1_000)
    cursor.take(page(6, 100, 100, 100, token=4))
    assert query_of(cursor).since == 100
    assert cursor.pages_left(1_000) == 0
    assert cursor.split(4, 1_000) == []


def test_what_comes_again_after_a_new_start_is_counted_once() -> None:
    cursor = RunCursor()
    pages: list[Page[Any]] = [
        page(0, 10, 11, 12, 13, token=4),
        # Out of order: read again from the beginning, without a filter.
        page(3, 13, 30, 14, 15, token=4),
        page(0, 10, 11, 12, 13, token=4),
        page(2, 12, 13, 30, 14, 15, 16),
    ]
    read, windows = [], []
    for each in pages:
        step = cursor.take(each)
        read += step.rows
        windows += [step.window] if step.window else []
    assert cursor.query is None
    assert {row_id(row) for row in read} == {row_id(run(number, None)) for number in range(8)}
    assert windows == [Window(None, 13, {"": 3}), Window(13, None, {"": 5})]


def test_a_cursor_is_not_split_before_the_filter_is_proven_nor_within_one_start_time_nor_at_its_end() -> None:
    cursor = RunCursor(0, 10_000)
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    assert (cursor.pages_left(4), cursor.split(2, 4)) == (0, [])
    cursor = steady(0, 10_000)
    cursor.take(page(6, 60, 60, 60, 60, token=4))
    assert query_of(cursor).token
    assert (cursor.pages_left(4), cursor.split(2, 4)) == (0, [])
    cursor = steady(0, 10_000)
    cursor.take(page(6, 60, 70))
    assert (cursor.pages_left(4), cursor.split(2, 4)) == (0, [])


def test_a_cursor_gives_no_more_parts_than_it_has_read_pages() -> None:
    cursor = steady(0, 10_000)
    assert len(cursor.split(5, 4)) == 2
    assert cursor.split(5, 4) == []
    cursor.take(page(6, 60, 70, 80, 90, token=4))
    cursor.take(page(9, 90, 100, 110, 120, token=4))
    assert len(cursor.split(1, 4)) == 1
    assert len(cursor.split(5, 4)) == 1
    assert cursor.split(5, 4) == []


def test_a_cursor_without_an_end_gives_as_many_parts_as_are_asked_for() -> None:
    cursor = RunCursor()
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    for number in range(1, 12):
        cursor.take(page(3 * number, *range(30 * number, 30 * number + 40, 10), token=4))
    parts = cursor.split(1, 4)
    assert [query_of(part).until for part in parts] == [None]
    assert len(cursor.split(2, 4)) == 2


@pytest.mark.parametrize(("until", "parts"), [(150, 0), (200, 0), (210, 1), (270, 2)])
def test_stretches_are_worth_two_pages(until: int, parts: int) -> None:
    assert len(steady(0, until).split(5, 4)) == parts


@pytest.mark.parametrize(("page_rows", "parts"), [(3, 0), (4, 1)])
def test_a_cursor_without_an_end_is_not_split_within_one_millisecond(page_rows: int, parts: int) -> None:
    cursor = RunCursor()
    cursor.take(page(0, 5, 5, 6, 6, token=4))
    cursor.take(page(2, 6, 6, 7, 7, token=4))
    given = cursor.split(1, page_rows)
    assert len(given) == parts
    assert all(query_of(cursor).since != query_of(part).since for part in given)


def test_a_cursor_that_gave_parts_away_cannot_start_again_without_the_filter() -> None:
    cursor = steady()
    (part,) = cursor.split(1, 4)
    for each in (cursor, part):
        since = query_of(each).since
        assert since is not None
        with pytest.raises(DecodeError, match=r"^MLflow's answer holds other runs than those .* asked for\.$"):
            each.take(page(6, since, since + 2, since + 1, token=4))


def test_a_run_that_one_page_holds_twice_comes_once_and_another_one_of_its_id_is_named() -> None:
    odd = run(1, 11)
    step = RunCursor().take(Page([run(0, 10), run(0, 10), run(1, 10), odd]))
    assert step.rows == [run(0, 10), run(1, 10)]
    assert step.unreadable == ["run 00001 comes twice, with other data: only the first is kept"]


def test_runs_from_the_bound_on_are_left_to_the_next_stretch_whatever_the_server_lists() -> None:
    cursor = RunCursor(0, 40)
    step = cursor.take(page(0, 10, 39, 40, 50, token=4))
    assert step.rows == [run(0, 10), run(1, 39)]
    assert step.is_last
    assert cursor.query is None
    assert step.window == Window(0, 40, {"": 2})
    cursor = RunCursor(0, 40)
    assert cursor.take(page(0, 10, 20, 40)).rows == [run(0, 10), run(1, 20)]


def test_a_page_that_reaches_the_bound_is_the_last_one_whatever_of_it_cannot_be_read() -> None:
    cursor = RunCursor(0, 40)
    cursor.take(page(0, 10, 10, 10, 10, token=4))
    cursor.take(page(0, 10, 10, 10, 10, 10, 10, token=6))
    assert query_of(cursor).token == number_token(3)
    # Those that are known may be among what cannot be read.
    assert cursor.take(Page([run(7, 20), run(8, 40)], number_token(7), ["00005: broken"])).rows == [run(7, 20)]
    assert cursor.query is None


def test_a_stretch_that_comes_without_order_counts_what_lies_in_it() -> None:
    cursor = RunCursor(0, 40)
    rows = page(0, -1, 30, 0, 39, 40, 50).rows
    step = cursor.take(Page(rows))
    assert step.rows == rows
    assert step.window == Window(0, 40, {"": 3})


def test_a_cursor_without_order_goes_on_whatever_it_had_to_forget() -> None:
    cursor = RunCursor()
    first = [run(number, -number) for number in range(SEEN_AT_MOST + 1)]
    assert cursor.take(Page(first, "opaque")).rows == first
    for token in ("another", ""):
        rows = [run(SEEN_AT_MOST + 1 + len(token), 1)]
        assert cursor.take(Page(rows, token)).rows == rows


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_run_that_has_come_among_those_that_are_known_is_read(is_slow: bool) -> None:
    cursor = RunCursor()
    cursor.take(Page([run(0, 5), run(9, 5)], number_token(2)))
    if is_slow:
        assert cursor.slow(query_of(cursor), 2 + 8)
    assert cursor.take(Page([run(0, 5), run(1, 5), run(9, 5), run(10, 6)])).rows == [run(1, 5), run(10, 6)]


def test_a_filter_is_proven_only_by_runs_that_it_left_out() -> None:
    cursor = RunCursor()
    cursor.take(page(0, 10, 20, 30, 40, token=4))
    assert cursor.is_unproven
    # All come once more: this server takes no notice of the filter.
    cursor.take(page(0, 10, 20, 30, 40, 50, 60, token=6))
    assert not cursor._pace.filter_holds
    cursor = RunCursor()
    cursor.take(page(0, 10, 20, 30, 40, token=4))
    cursor.take(page(3, 40, 50, 60, 70, token=4))
    assert cursor._pace.filter_holds


def behind_a_run_left_out() -> RunCursor:
    """Four runs that start at 5, one that fails, and one that starts at 8."""
    cursor = RunCursor()
    cursor.take(page(0, 5, 5, 5, 5, token=4))
    for asked in (6, 5, 1):
        assert cursor.failed(query_of(cursor), asked, FAULT)
    assert cursor.take(page(10, 8, token=6)).rows == []
    step = cursor.take(page(0, 5, 5, 5, 5, token=4))
    assert step.rows == [run(10, 8)]
    assert step.skipped == [Skipped(run(3, 5), run(10, 8), FAULT)]
    return cursor


def test_a_run_left_out_is_counted_in_its_window() -> None:
    cursor = behind_a_run_left_out()
    step = cursor.take(page(10, 8, 9, 9))
    assert step.rows == [run(11, 9), run(12, 9)]
    assert step.window == Window(5, None, {"": 4 + 1 + 3})
    assert step.skipped == []


def stepped_back() -> RunCursor:
    """A cursor that has read runs which start at 8, and was then led back to an earlier one."""
    cursor = behind_a_run_left_out()
    assert cursor.take(page(10, 8, 8, 8, token=8)).rows == [run(11, 8), run(12, 8)]
    # The first ones are purged, so that this page begins behind all that are known.
    assert cursor.take(page(15, 9, 9, token=9)).rows == []
    assert query_of(cursor).token == ""
    # From the beginning on: the first row fails, then come runs that start before those that were read.
    for asked in (2, 1):
        assert cursor.failed(query_of(cursor), asked, FAULT)
    step = cursor.take(page(5, 6, token=2))
    assert step.rows == [run(5, 6)]
    assert step.skipped == [Skipped(run(12, 8), run(5, 6), FAULT)]
    return cursor


def test_what_a_cursor_that_stepped_back_has_read_of_later_start_times_comes_once() -> None:
    cursor = stepped_back()
    assert cursor.take(page(5, 6, 7, token=3)).rows == [run(6, 7)]
    assert query_of(cursor) == RunQuery(7, known=1)
    behind = page(11, 8, 8, 8, 8, 9, 9).rows
    assert cursor.take(Page([run(6, 7), *behind])).rows == behind[2:]


def test_what_a_cursor_that_stepped_back_has_read_of_the_last_start_time_comes_once() -> None:
    cursor = stepped_back()
    assert cursor.take(Page([run(5, 6), run(6, 7), run(11, 8)], number_token(4))).rows == [run(6, 7)]
    assert query_of(cursor) == RunQuery(8, known=1)
    behind = page(11, 8, 8, 8, 8, 9, 9).rows
    assert cursor.take(Page(behind)).rows == behind[2:]


def test_stretches_that_are_given_away_follow_one_another() -> None:
    cursor = steady(0, 600)
    assert cursor.pages_left(4) == 17
    queries = [query_of(each) for each in (cursor, *cursor.split(5, 4))]
    assert [(query.since, query.until) for query in queries] == [(60, 260), (260, 430), (430, 600)]


def test_runs_of_a_later_part_are_left_to_it_also_before_one_without_start_time() -> None:
    cursor = RunCursor(0, 30)
    step = cursor.take(page(0, 10, 20, 30, 40, None, token=5))
    assert [row.info.start_time for row in step.rows] == [10, 20, None]
    assert cursor.query is None


def test_an_open_end_is_shared_at_once_by_all_when_the_newest_start_time_is_known() -> None:
    cursor = RunCursor()
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    wanted = [cursor.wants_newest]
    cursor.learn_newest(600)
    wanted.append(cursor.wants_newest)
    assert wanted == [True, False]
    cursor.take(page(3, 30, 40, 50, 60, token=4))
    queries = [query_of(each) for each in (cursor, *cursor.split(4, 4))]
    assert [(query.since, query.until) for query in queries] == [
        (60, 192),
        (192, 294),
        (294, 396),
        (396, 498),
        (498, None),
    ]
    # Only once: a cursor that gives more before it has read as many pages may give empty ones.
    assert cursor.split(4, 1) == []


def test_a_part_with_an_open_end_knows_what_the_whole_has_learned() -> None:
    cursor = RunCursor()
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    cursor.learn_newest(600)
    cursor.take(page(3, 30, 40, 50, 60, token=4))
    (last,) = cursor.split(1, 4)
    assert query_of(last).since == 345
    last.take(page(40, 345, 355, 365, 375, token=4))
    assert not last.wants_newest
    assert last.pages_left(4) == pytest.approx((600 - 375) / 30 - 1)


@pytest.mark.parametrize("newest", [None, 0, 30])
def test_where_no_newer_run_is_known_an_open_end_is_taken_to_be_as_far_as_the_beginning(newest: int | None) -> None:
    cursor = RunCursor()
    cursor.take(page(0, 0, 10, 20, 30, token=4))
    cursor.learn_newest(newest)
    cursor.take(page(3, 30, 40, 50, 60, token=4))
    assert cursor.pages_left(4) == 2
    assert not cursor.wants_newest


def test_the_newest_start_time_is_of_no_use_where_the_end_is_near_or_known() -> None:
    ended, bounded, tied = RunCursor(), RunCursor(0, 600), RunCursor()
    ended.take(page(0, 0, 10))
    bounded.take(page(0, 0, 10, 20, 30, token=4))
    tied.take(page(0, 0, 0, 0, 0, token=4))
    tied.take(page(3, 0, 0, 0, 0, token=4))
    assert query_of(tied).token
    assert not any(each.wants_newest for each in (ended, bounded, tied, RunCursor(0)))
