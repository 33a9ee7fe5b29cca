"""The windows of start times that pages complete: a resumed crawl does not read them again."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mlflow.decoding import Page
from crawler.mlflow.paging.coverage import EARLIEST, LATEST, Window
from crawler.mlflow.paging.keyset import RunCursor
from tests.mlflow.listings import PageFailed, Store, by_time, in_turns, number_token, passes, row_id, run
from tests.support.examples import examples

times = st.lists(st.sampled_from([7, 500, 500, 501, 999]) | st.integers(-5, 1_000), max_size=120)
cuts = st.lists(st.integers(-10, 1_010), max_size=4, unique=True).map(sorted)
thorough = examples(400)


def lies_in(start_time: int, window: Window) -> bool:
    """Whether a run of this start time belongs to the window."""
    since = EARLIEST if window.since is None else window.since
    return since <= start_time < (LATEST if window.until is None else window.until)


def read(store: Store, cursors: list[RunCursor], random: Random) -> tuple[list[str], list[Window]]:
    """All that the cursors and their parts give, in any order, with some split while their page is on its way."""
    ids: list[str] = []
    windows: list[Window] = []
    for cursor, query in in_turns(cursors, store.page_size, random):
        try:
            page = store.page(query.token, lambda row, query=query: passes(row, query), query.known, query.most)  # type: ignore[misc]
        except PageFailed as failed:
            helped = cursor.failed(query, failed.rows, "500")
        else:
            helped = True
            step = cursor.take(page)
            ids += map(row_id, step.rows)
            windows += [step.window] if step.window else []
        assert helped
    return ids, windows


@thorough
@given(times, cuts, st.integers(2, 20), st.sets(st.integers(0, 119), max_size=4), st.randoms(use_true_random=False))
def test_windows_are_disjoint_and_hold_all_and_count_what_lies_in_them(
    times: list[int], cuts: list[int], page_size: int, failing: set[int], random: Random
) -> None:
    rows = [run(number, time) for number, time in enumerate(times)]
    store = Store(rows, page_size, order=by_time, failing=(row_id(row) for row in rows if int(row_id(row)) in failing))
    # A crawl that goes on begins at gaps; without cuts, this is a new one.
    ids, windows = read(store, [RunCursor(*bounds) for bounds in pairwise([None, *cuts, None])], random)
    assert Counter(ids) == Counter(store.throughout - store.failing)
    windows.sort(key=lambda window: EARLIEST if window.since is None else window.since)
    assert (windows[0].since, windows[-1].until) == (None, None)
    assert all(before.until == after.since is not None for before, after in pairwise(windows))
    assert [window.total for window in windows] == [sum(lies_in(time, window) for time in times) for window in windows]


@examples(200)
@given(times, st.integers(2, 20), st.integers(0, 12), st.randoms(use_true_random=False))
def test_a_crawl_that_was_killed_reads_what_no_window_covers(
    times: list[int], page_size: int, pages: int, random: Random
) -> None:
    store = Store([run(number, time) for number, time in enumerate(times)], page_size, order=by_time)
    cursor = RunCursor()
    done: list[Window] = []
    for _ in range(pages):
        if (query := cursor.query) is None:
            break
        keep = lambda row, query=query: passes(row, query)  # noqa: E731
        step = cursor.take(store.page(query.token, keep, query.known, query.most))
        done += [step.window] if step.window else []
    gap = done[-1].until if done else None
    rest = [] if done and gap is None else [RunCursor(gap)]
    ids, windows = read(store, rest, random)
    assert sorted(ids) == sorted(
        row_id(row) for row in store.rows if not any(lies_in(row.info.start_time, w) for w in done)
    )
    assert sum(window.total for window in [*done, *windows]) == len(times)


def test_runs_without_start_time_lie_in_no_window() -> None:
    step = RunCursor().take(Page([run(0, 5), run(1, 6), run(2, None)]))
    assert step.window == Window(None, None, {"": 2})


def test_pages_within_one_start_time_complete_nothing() -> None:
    cursor = RunCursor()
    step = cursor.take(Page([run(0, 5), run(1, 6), run(2, 6)], number_token(3)))
    assert step.window == Window(None, 6, {"": 1})
    step = cursor.take(Page([run(1, 6), run(2, 6), run(3, 6), run(4, 6)], number_token(4)))
    assert step.window is None
    step = cursor.take(Page([run(4, 6), run(5, 6), run(6, 8)]))
    assert step.window == Window(6, None, {"": 6})


@pytest.mark.parametrize("page_size", [2, 7, 100])
def test_a_server_without_order_covers_all_at_its_end(page_size: int) -> None:
    rows = [run(number, time) for number, time in enumerate([9, 3, 7, 1, 8, 2, 6, 4])]
    store = Store(rows, page_size)
    cursor, windows = RunCursor(), []
    while (query := cursor.query) is not None:
        step = cursor.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known))  # type: ignore[misc]
        windows += [step.window] if step.window else []
    assert windows == [Window(None, None, {"": 8})]
