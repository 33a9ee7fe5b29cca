"""The windows of start times that pages complete: what a crawl that was killed need not read again."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mlflow.decoding import Page
from crawler.mlflow.paging.keyset import EARLIEST, LATEST, Covered, RunWalk
from tests.mlflow.listings import PageFailed, Store, by_time, number_token, passes, row_id, run
from tests.support.examples import examples

times = st.lists(st.sampled_from([7, 500, 500, 501, 999]) | st.integers(-5, 1_000), max_size=120)
cuts = st.lists(st.integers(-10, 1_010), max_size=4, unique=True).map(sorted)
thorough = examples(400)


def lies_in(start_time: int, window: Covered) -> bool:
    """Whether a run of this start time belongs to the window."""
    since = EARLIEST if window.since is None else window.since
    return since <= start_time < (LATEST if window.until is None else window.until)


def read(store: Store, walks: list[RunWalk], random: Random) -> tuple[list[str], list[Covered]]:
    """All that the walks and their parts give, in any order, with some split while their page is on its way."""
    ids: list[str] = []
    windows: list[Covered] = []
    while walks:
        walk = random.choice(walks)
        query = walk.query
        assert query is not None
        if random.random() < 0.5:
            walks += walk.split(random.randrange(4), store.page_size)
        try:
            page = store.page(query.token, lambda row, query=query: passes(row, query), query.known, query.most)
        except PageFailed as failed:
            helped = walk.failed(query, failed.rows, "500")
        else:
            helped = True
            ids += map(row_id, walk.take(page))
        assert helped
        if walk.covered:
            windows.append(walk.covered)
        walks += walk.split(random.randrange(4), store.page_size)
        walks = [each for each in walks if each.query is not None]
    return ids, windows


@thorough
@given(times, cuts, st.integers(2, 20), st.sets(st.integers(0, 119), max_size=4), st.randoms(use_true_random=False))
def test_windows_are_disjoint_and_hold_all_and_count_what_lies_in_them(
    times: list[int], cuts: list[int], page_size: int, poisoned: set[int], random: Random
) -> None:
    rows = [run(number, time) for number, time in enumerate(times)]
    store = Store(
        rows, page_size, order=by_time, poisoned=(row_id(row) for row in rows if int(row_id(row)) in poisoned)
    )
    # A crawl that goes on begins at gaps; without cuts, this is a new one.
    ids, windows = read(store, [RunWalk(*bounds) for bounds in pairwise([None, *cuts, None])], random)
    assert Counter(ids) == Counter(store.throughout - store.poisoned)
    windows.sort(key=lambda window: EARLIEST if window.since is None else window.since)
    assert (windows[0].since, windows[-1].until) == (None, None)
    assert all(before.until == after.since is not None for before, after in pairwise(windows))
    assert [window.rows for window in windows] == [sum(lies_in(time, window) for time in times) for window in windows]


@examples(200)
@given(times, st.integers(2, 20), st.integers(0, 12), st.randoms(use_true_random=False))
def test_a_crawl_that_was_killed_reads_what_no_window_covers(
    times: list[int], page_size: int, pages: int, random: Random
) -> None:
    store = Store([run(number, time) for number, time in enumerate(times)], page_size, order=by_time)
    walk = RunWalk()
    done: list[Covered] = []
    for _ in range(pages):
        if (query := walk.query) is None:
            break
        walk.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known, query.most))
        done += [walk.covered] if walk.covered else []
    gap = done[-1].until if done else None
    rest = [] if done and gap is None else [RunWalk(gap)]
    ids, windows = read(store, rest, random)
    assert sorted(ids) == sorted(
        row_id(row) for row in store.rows if not any(lies_in(row.info.start_time, w) for w in done)
    )
    assert sum(window.rows for window in [*done, *windows]) == len(times)


def test_runs_without_start_time_lie_in_no_window() -> None:
    rows = [run(0, 5), run(1, 6), run(2, None)]
    walk = RunWalk()
    walk.take(Page(rows))
    assert walk.covered == Covered(None, None, 2)


def test_pages_within_one_start_time_complete_nothing() -> None:
    walk = RunWalk()
    walk.take(Page([run(0, 5), run(1, 6), run(2, 6)], number_token(3)))
    assert walk.covered == Covered(None, 6, 1)
    walk.take(Page([run(1, 6), run(2, 6), run(3, 6), run(4, 6)], number_token(4)))
    assert walk.covered is None
    walk.take(Page([run(4, 6), run(5, 6), run(6, 8)]))
    assert walk.covered == Covered(6, None, 6)


@pytest.mark.parametrize("page_size", [2, 7, 100])
def test_a_server_without_order_covers_all_at_its_end(page_size: int) -> None:
    rows = [run(number, time) for number, time in enumerate([9, 3, 7, 1, 8, 2, 6, 4])]
    store = Store(rows, page_size)
    walk, windows = RunWalk(), []
    while (query := walk.query) is not None:
        walk.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known))
        windows += [walk.covered] if walk.covered else []
    assert windows == [Covered(None, None, 8)]
