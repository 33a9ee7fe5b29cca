"""What a walk through one experiment asks for, page by page, and what it gives away."""

from typing import Any

import pytest

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.keyset import EARLIEST, SEEN_AT_MOST, Covered, RunQuery, RunWalk
from crawler.mlflow.paging.page_bisection import Skipped
from tests.mlflow.listings import number_token, row_id, run

FAULT = "MLflow answers 500"


def page(first: int, *times: int | None, token: int = 0) -> Page[Run]:
    """Runs of ids from `first` on."""
    return Page([run(first + i, time) for i, time in enumerate(times)], number_token(token) if token else "")


def query_of(walk: RunWalk) -> RunQuery:
    query = walk.query
    assert query is not None
    return query


def steady(since: int | None = None, until: int | None = None) -> RunWalk:
    """Two pages of four runs, 10 ms apart, are read; the server has shown that it keeps the filter."""
    walk = RunWalk(since, until)
    walk.take(page(0, 0, 10, 20, 30, token=4))
    walk.take(page(3, 30, 40, 50, 60, token=4))
    return walk


def test_a_walk_of_which_a_page_fails_is_not_split_until_that_row_is_found() -> None:
    walk = steady()
    assert walk.pages_left(4) == 2
    query = query_of(walk)
    assert walk.failed(query, 5, FAULT)
    assert walk.pages_left(4) == 0
    assert walk.split(2, 4) == []


def test_a_page_that_failed_for_a_walk_that_gave_away_meanwhile_is_asked_for_again() -> None:
    walk = steady()
    query = query_of(walk)
    (part,) = walk.split(1, 4)
    narrower = query_of(walk)
    assert (narrower.until, narrower.most) == (query_of(part).since, 0)
    assert walk.failed(query, 1, FAULT)
    assert walk.slow(query, 1)
    assert walk.query == narrower
    assert not walk.slow(narrower, 2)


def test_parts_of_a_walk_whose_pages_took_too_long_ask_for_as_few() -> None:
    walk = steady()
    assert walk.slow(query_of(walk), 5)
    assert query_of(walk).most == 2 + 1
    # One of the four that took too long may be the reason: then parts need not ask for fewer.
    assert walk.split(1, 4) == []
    walk.take(page(6, 60, 70, 80, token=3))
    assert walk.split(1, 4) == []
    walk.take(page(8, 80, 90, 100, token=3))
    (part,) = walk.split(1, 4)
    assert query_of(part).most == 2
    assert query_of(part).since == query_of(walk).until
    start = query_of(part).since
    assert start is not None
    part.take(page(20, start, start + 1, token=2))
    assert query_of(part).most == 2 + 1


def test_a_walk_that_starts_again_asks_for_no_more_than_came_in_time() -> None:
    walk = RunWalk()
    assert walk.slow(query_of(walk), 40)
    walk.leave_out_untimed()
    assert query_of(walk).most == 20
    walk.begin(EARLIEST)
    assert query_of(walk) == RunQuery(EARLIEST, most=20)
    walk.take(page(0, *range(20), token=20))
    assert query_of(walk) == RunQuery(19, most=20 + 1)


def test_runs_without_start_time_are_left_out_by_a_filter() -> None:
    walk = RunWalk()
    walk.leave_out_untimed()
    assert query_of(walk).filter == "attributes.start_time >= -9223372036854775808"


def test_pages_left_are_those_behind_the_one_that_is_asked_for() -> None:
    walk = steady(0, 500)
    # From 60 to 500 lie 44 runs.
    assert walk.pages_left(4) == pytest.approx(440 / 30 - 1)
    assert steady(0, 70).pages_left(4) == 0
    assert steady(0, 120).pages_left(4) == pytest.approx(1)


@pytest.mark.parametrize(("page_rows", "left"), [(4, 992), (3, 0), (8, 495.5)])
def test_a_page_within_one_millisecond_is_not_split(page_rows: int, left: float) -> None:
    walk = RunWalk(0, 1_000)
    walk.take(page(0, 5, 5, 6, 6, token=4))
    walk.take(page(2, 6, 6, 7, 7, token=4))
    assert walk.pages_left(page_rows) == left


def test_a_page_of_one_start_time_tells_nothing_of_what_is_left() -> None:
    walk = steady(0, 1_000)
    walk.take(page(6, 100, 100, 100, token=4))
    assert query_of(walk).since == 100
    assert walk.pages_left(1_000) == 0
    assert walk.split(4, 1_000) == []


def test_what_comes_again_after_a_new_start_is_counted_once() -> None:
    walk = RunWalk()
    pages: list[Page[Any]] = [
        page(0, 10, 11, 12, 13, token=4),
        # Out of order: read again from the beginning, without a filter.
        page(3, 13, 30, 14, 15, token=4),
        page(0, 10, 11, 12, 13, token=4),
        page(2, 12, 13, 30, 14, 15, 16),
    ]
    read, windows = [], []
    for each in pages:
        read += walk.take(each)
        windows += [walk.covered] if walk.covered else []
    assert walk.query is None
    assert {row_id(row) for row in read} == {row_id(run(number, None)) for number in range(8)}
    assert windows == [Covered(None, 13, 3), Covered(13, None, 5)]


def test_a_walk_is_not_split_before_the_filter_is_proven_nor_within_one_start_time_nor_at_its_end() -> None:
    walk = RunWalk(0, 10_000)
    walk.take(page(0, 0, 10, 20, 30, token=4))
    assert (walk.pages_left(4), walk.split(2, 4)) == (0, [])
    walk = steady(0, 10_000)
    walk.take(page(6, 60, 60, 60, 60, token=4))
    assert query_of(walk).token
    assert (walk.pages_left(4), walk.split(2, 4)) == (0, [])
    walk = steady(0, 10_000)
    walk.take(page(6, 60, 70))
    assert (walk.pages_left(4), walk.split(2, 4)) == (0, [])


def test_a_walk_gives_no_more_parts_than_it_has_read_pages() -> None:
    walk = steady(0, 10_000)
    assert len(walk.split(5, 4)) == 2
    assert walk.split(5, 4) == []
    walk.take(page(6, 60, 70, 80, 90, token=4))
    walk.take(page(9, 90, 100, 110, 120, token=4))
    assert len(walk.split(1, 4)) == 1
    assert len(walk.split(5, 4)) == 1
    assert walk.split(5, 4) == []


def test_a_walk_without_an_end_gives_as_many_parts_as_are_asked_for() -> None:
    walk = RunWalk()
    walk.take(page(0, 0, 10, 20, 30, token=4))
    for number in range(1, 12):
        walk.take(page(3 * number, *range(30 * number, 30 * number + 40, 10), token=4))
    parts = walk.split(1, 4)
    assert [query_of(part).until for part in parts] == [None]
    assert len(walk.split(2, 4)) == 2


@pytest.mark.parametrize(("until", "parts"), [(150, 0), (200, 0), (210, 1), (270, 2)])
def test_stretches_are_worth_two_pages(until: int, parts: int) -> None:
    assert len(steady(0, until).split(5, 4)) == parts


@pytest.mark.parametrize(("page_rows", "parts"), [(3, 0), (4, 1)])
def test_a_walk_without_an_end_is_not_split_within_one_millisecond(page_rows: int, parts: int) -> None:
    walk = RunWalk()
    walk.take(page(0, 5, 5, 6, 6, token=4))
    walk.take(page(2, 6, 6, 7, 7, token=4))
    given = walk.split(1, page_rows)
    assert len(given) == parts
    assert all(query_of(walk).since != query_of(part).since for part in given)


def test_a_walk_that_gave_parts_away_cannot_start_again_without_the_filter() -> None:
    walk = steady()
    (part,) = walk.split(1, 4)
    for each in (walk, part):
        since = query_of(each).since
        assert since is not None
        with pytest.raises(DecodeError, match=r"^MLflow's answer holds other runs than those .* asked for\.$"):
            each.take(page(6, since, since + 2, since + 1, token=4))


def test_a_run_that_one_page_holds_twice_comes_once_and_another_one_of_its_id_is_told() -> None:
    walk = RunWalk()
    odd = run(1, 11)
    assert walk.take(Page([run(0, 10), run(0, 10), run(1, 10), odd])) == [run(0, 10), run(1, 10)]
    assert walk.lost == [odd]


def test_runs_from_the_bound_on_are_left_to_the_next_stretch_whatever_the_server_lists() -> None:
    walk = RunWalk(0, 40)
    assert walk.take(page(0, 10, 39, 40, 50, token=4)) == [run(0, 10), run(1, 39)]
    assert walk.query is None
    assert walk.covered == Covered(0, 40, 2)
    walk = RunWalk(0, 40)
    assert walk.take(page(0, 10, 20, 40)) == [run(0, 10), run(1, 20)]


def test_a_page_that_reaches_the_bound_is_the_last_one_whatever_of_it_cannot_be_read() -> None:
    walk = RunWalk(0, 40)
    walk.take(page(0, 10, 10, 10, 10, token=4))
    walk.take(page(0, 10, 10, 10, 10, 10, 10, token=6))
    assert query_of(walk).token == number_token(3)
    # Those that are known may be among what cannot be read.
    assert walk.take(Page([run(7, 20), run(8, 40)], number_token(7), ["00005: broken"])) == [run(7, 20)]
    assert walk.query is None


def test_a_stretch_that_comes_without_order_counts_what_lies_in_it() -> None:
    walk = RunWalk(0, 40)
    rows = page(0, -1, 30, 0, 39, 40, 50).rows
    assert walk.take(Page(rows)) == rows
    assert walk.covered == Covered(0, 40, 3)


def test_a_walk_without_order_goes_on_whatever_it_had_to_forget() -> None:
    walk = RunWalk()
    first = [run(number, -number) for number in range(SEEN_AT_MOST + 1)]
    assert walk.take(Page(first, "opaque")) == first
    for token in ("another", ""):
        rows = [run(SEEN_AT_MOST + 1 + len(token), 1)]
        assert walk.take(Page(rows, token)) == rows


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_run_that_has_come_among_those_that_are_known_is_read(is_slow: bool) -> None:
    walk = RunWalk()
    walk.take(Page([run(0, 5), run(9, 5)], number_token(2)))
    if is_slow:
        assert walk.slow(query_of(walk), 2 + 8)
    assert walk.take(Page([run(0, 5), run(1, 5), run(9, 5), run(10, 6)])) == [run(1, 5), run(10, 6)]


def test_a_filter_is_proven_only_by_runs_that_it_left_out() -> None:
    walk = RunWalk()
    walk.take(page(0, 10, 20, 30, 40, token=4))
    assert walk.is_unproven
    # All come once more: this server takes no notice of the filter.
    walk.take(page(0, 10, 20, 30, 40, 50, 60, token=6))
    assert not walk._filter_holds
    walk = RunWalk()
    walk.take(page(0, 10, 20, 30, 40, token=4))
    walk.take(page(3, 40, 50, 60, 70, token=4))
    assert walk._filter_holds


def behind_a_run_left_out() -> RunWalk:
    """Four runs that start at 5, one that fails, and one that starts at 8."""
    walk = RunWalk()
    walk.take(page(0, 5, 5, 5, 5, token=4))
    for asked in (6, 5, 1):
        assert walk.failed(query_of(walk), asked, FAULT)
    assert walk.take(page(10, 8, token=6)) == []
    assert walk.take(page(0, 5, 5, 5, 5, token=4)) == [run(10, 8)]
    return walk


def test_a_run_left_out_is_counted_in_its_window() -> None:
    walk = behind_a_run_left_out()
    assert walk.take(page(10, 8, 9, 9)) == [run(11, 9), run(12, 9)]
    assert walk.covered == Covered(5, None, 4 + 1 + 3)
    assert walk.take_skipped() == [Skipped(run(3, 5), run(10, 8), FAULT)]
    assert walk.take_skipped() == []


def stepped_back() -> RunWalk:
    """A walk that has read runs which start at 8, and was then led back to an earlier one."""
    walk = behind_a_run_left_out()
    assert walk.take(page(10, 8, 8, 8, token=8)) == [run(11, 8), run(12, 8)]
    # The first ones are purged, so that this page begins behind all that are known.
    assert walk.take(page(15, 9, 9, token=9)) == []
    assert query_of(walk).token == ""
    # From the beginning on: the first row fails, then come runs that start before those that were read.
    for asked in (2, 1):
        assert walk.failed(query_of(walk), asked, FAULT)
    assert walk.take(page(5, 6, token=2)) == [run(5, 6)]
    assert walk.take_skipped() == [Skipped(run(3, 5), run(10, 8), FAULT), Skipped(run(12, 8), run(5, 6), FAULT)]
    return walk


def test_what_a_walk_that_stepped_back_has_read_of_later_start_times_comes_once() -> None:
    walk = stepped_back()
    assert walk.take(page(5, 6, 7, token=3)) == [run(6, 7)]
    assert query_of(walk) == RunQuery(7, known=1)
    behind = page(11, 8, 8, 8, 8, 9, 9).rows
    assert walk.take(Page([run(6, 7), *behind])) == behind[2:]


def test_what_a_walk_that_stepped_back_has_read_of_the_last_start_time_comes_once() -> None:
    walk = stepped_back()
    assert walk.take(Page([run(5, 6), run(6, 7), run(11, 8)], number_token(4))) == [run(6, 7)]
    assert query_of(walk) == RunQuery(8, known=1)
    behind = page(11, 8, 8, 8, 8, 9, 9).rows
    assert walk.take(Page(behind)) == behind[2:]


def test_stretches_that_are_given_away_follow_one_another() -> None:
    walk = steady(0, 600)
    assert walk.pages_left(4) == 17
    queries = [query_of(each) for each in (walk, *walk.split(5, 4))]
    assert [(query.since, query.until) for query in queries] == [(60, 260), (260, 430), (430, 600)]
