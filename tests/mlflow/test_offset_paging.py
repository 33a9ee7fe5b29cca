"""Paging against a model of MLflow that others write to between the pages: nothing that was there throughout is
missed, and every cursor ends.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.errors import ServerError
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Experiment, Run
from crawler.mlflow.paging.keyset import RunCursor, RunQuery
from crawler.mlflow.paging.loop_guard import MAX_FRUITLESS_PAGES, MAX_STEPS_BACK
from crawler.mlflow.paging.offset import OVERLAP, OffsetCursor
from crawler.mlflow.paging.page_rows import FEWEST_ROWS, PAGE_BYTES, PAGES_BYTES, PageRows
from crawler.mlflow.paging.seen_runs import SEEN_AT_MOST
from crawler.mlflow.paging.tokens import is_offset
from tests.mlflow.listings import Store, Write, by_time, in_turns, number_token, passes, row_id, run
from tests.support.examples import examples


def runs_read(store: Store, *, ignores: frozenset[str] = frozenset()) -> list[str]:
    cursor, read = RunCursor(), []
    while (query := cursor.query) is not None:
        keep = (lambda _: True) if "filter" in ignores else (lambda row, query=query: passes(row, query))  # type: ignore[misc]
        read += cursor.take(store.page("" if "page_token" in ignores else query.token, keep, query.known)).rows
    return [row_id(row) for row in read]


def runs_read_in_parts(
    store: Store, random: Random, *, ignores: str = "", cursors: list[RunCursor] | None = None
) -> list[str]:
    read = []
    for cursor, query in in_turns([RunCursor()] if cursors is None else cursors, store.page_size, random):
        seen = RunQuery(None, query.until, query.token) if "since" in ignores else query
        seen = RunQuery(seen.since, None, seen.token) if "until" in ignores else seen
        read += cursor.take(store.page(query.token, lambda row, query=seen: passes(row, query), query.known)).rows  # type: ignore[misc]
    return [row_id(row) for row in read]


def names_read(store: Store) -> list[str]:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    read: list[Experiment] = []
    while cursor.token is not None:
        read += cursor.take(store.page(cursor.token)).rows
    return [row_id(row) for row in read]


def take_all(cursor: OffsetCursor[Any] | RunCursor, pages: Iterable[Page[Any]]) -> None:
    for page in pages:
        cursor.take(page)


where = st.floats(0, 0.999)
# Start times with many equal ones; new rows have odd numbers, so they come before, among and behind the old ones.
start_times = st.sampled_from([1, 2, 2, 2, 2, 2, 3, 4, 5, 5, 5, 6])
new_runs = st.builds(run, st.integers(0, 60).map(lambda number: 2 * number + 1), start_times)
old_runs = st.lists(start_times, max_size=60).map(lambda times: [run(2 * i, time) for i, time in enumerate(times)])
names = st.text("abcdef", min_size=1, max_size=3)
new_names = names.map(lambda name: Experiment(f"{name}-new"))
old_names = st.sets(names, max_size=80).map(lambda ids: [Experiment(name) for name in sorted(ids)])


def schedules(new: st.SearchStrategy[Any], *, purges: bool = True) -> st.SearchStrategy[list[list[Write]]]:
    """Several writes after each page: rows come, go to the trash or vanish, one or more than the overlap at once."""
    insert = st.tuples(st.just("insert"), where, new)
    delete = st.tuples(st.just("delete"), where, st.none())
    purge = st.tuples(st.just("purge"), where, st.sampled_from([1, 1, 2, 3, OVERLAP, OVERLAP + 5, 30]))
    return st.lists(st.lists(insert | delete | purge if purges else insert | delete, max_size=5), max_size=30)


thorough = examples(400)
TIED = [run(2 * i, 5) for i in range(8)] + [run(2 * i, 6) for i in range(8, 12)]


@thorough
@given(old_runs, schedules(new_runs), st.integers(2, 20))
@example(TIED, [[], [], [("purge", 0.0, 4)]], 4)
def test_no_run_is_missed_whatever_is_written_meanwhile(
    rows: list[Run], writes: list[list[Write]], page_size: int
) -> None:
    store = Store(rows, page_size, writes, by_time)
    assert store.throughout - set(runs_read(store)) == set()


# Spread over more times, so that there is something to split.
wide_times = st.one_of(st.integers(0, 1_000), st.sampled_from([7, 500, 500, 501, 999]))
wide_runs = st.lists(wide_times, max_size=150).map(lambda times: [run(2 * i, time) for i, time in enumerate(times)])
wide_new_runs = st.builds(run, st.integers(0, 150).map(lambda number: 2 * number + 1), wide_times)


@thorough
@given(wide_runs, schedules(wide_new_runs), st.integers(2, 20), st.randoms(use_true_random=False))
def test_no_run_is_missed_by_cursors_that_share_an_experiment(
    rows: list[Run], writes: list[list[Write]], page_size: int, random: Random
) -> None:
    store = Store(rows, page_size, writes, by_time)
    assert store.throughout - set(runs_read_in_parts(store, random)) == set()


@thorough
@given(wide_runs, st.integers(2, 20), st.randoms(use_true_random=False), st.sampled_from(["", "until"]))
def test_cursors_that_share_an_experiment_read_each_run_once(
    rows: list[Run], page_size: int, random: Random, ignores: str
) -> None:
    store = Store(rows, page_size, order=by_time)
    assert Counter(runs_read_in_parts(store, random, ignores=ignores)) == Counter(map(row_id, rows))


@examples(100)
@given(wide_runs, st.integers(2, 20), st.randoms(use_true_random=False))
def test_a_server_that_ignores_the_filter_is_not_split(rows: list[Run], page_size: int, random: Random) -> None:
    store = Store(rows, page_size, order=by_time)
    assert set(runs_read_in_parts(store, random, ignores="since")) == store.throughout


def test_a_long_experiment_is_shared_by_all_at_little_cost() -> None:
    store = Store([run(number, 10 * number) for number in range(20_000)], 500, order=by_time)
    cursors, rounds = [RunCursor()], 0
    workers = 8
    while cursors:
        rounds += 1
        for cursor in list(cursors):
            query = cursor.query
            assert query is not None
            cursor.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known))  # type: ignore[misc]
            cursors = [each for each in cursors if each.query is not None]
            cursors += cursor.split(workers - len(cursors), store.page_size)
    assert rounds <= 12
    assert store.requests <= 40 + 2 * workers


def test_what_is_given_away_begins_where_the_rest_ends() -> None:
    store = Store([run(number, 10 * number) for number in range(1_000)], 100, order=by_time)
    cursor = RunCursor()
    for _ in range(3):
        query = cursor.query
        assert query is not None
        cursor.take(store.page(query.token, lambda row, query=query: passes(row, query), query.known))  # type: ignore[misc]
    parts = cursor.split(1, 100)
    queries = [each.query for each in (cursor, *parts)]
    assert [query.filter for query in queries if query] == [
        "attributes.start_time >= 2990 AND attributes.start_time < 6950",
        "attributes.start_time >= 6950",
    ]


def test_more_runs_of_one_start_time_than_a_cursor_remembers_come_once() -> None:
    rows = [run(0, 4), run(1, 4)] + [run(number, 5) for number in range(2, 2 * SEEN_AT_MOST + 3_000)]
    read = runs_read(Store(rows, 1_000, order=by_time))
    assert len(read) == len(set(read)) == len(rows)


# Start times of milliseconds, and behind them some that were written in nanoseconds.
far_times = st.one_of(st.integers(0, 400), st.integers(10**18, 10**18 + 400), st.integers(2**62 - 10**6, 2**62 - 1))
far_runs = st.lists(far_times, max_size=120).map(lambda times: [run(2 * i, time) for i, time in enumerate(times)])


@thorough
@given(far_runs, st.integers(2, 20), st.randoms(use_true_random=False))
def test_start_times_far_apart_are_split_within_what_a_database_can_compare(
    rows: list[Run], page_size: int, random: Random
) -> None:
    class Bounded(Store):
        def page(
            self, token: str, keep: Callable[[Any], bool] = lambda _: True, known: int = 0, most: int = 0
        ) -> Page[Any]:
            asked = [query for cursor in cursors if (query := cursor.query)]
            assert all(-(2**63) <= bound < 2**63 for query in asked for bound in (query.since or 0, query.until or 0))
            assert all(query.until is None or (query.since or 0) < query.until for query in asked)
            return super().page(token, keep, known, most)

    cursors = [RunCursor()]
    store = Bounded(rows, page_size, order=by_time)
    assert Counter(runs_read_in_parts(store, random, cursors=cursors)) == Counter(map(row_id, rows))


def test_a_cursor_that_lost_the_order_gives_no_parts() -> None:
    cursor = RunCursor()
    cursor.restart(-(2**63))
    times = [[1, 2, 3, 4], [4, 5, 6, 7], [7, 9, 8, 10]]
    for number, page in enumerate(times):
        cursor.take(Page([run(10 * number + i, time) for i, time in enumerate(page)], number_token(4)))
    assert cursor.query == RunQuery(-(2**63))
    assert cursor.pages_left(4) == 0
    assert cursor.split(3, 4) == []


def test_pages_stay_near_a_size_however_heavy_the_rows() -> None:
    rows = PageRows(5_000)
    for _ in range(20):
        rows.learn(rows.rows, rows.rows * 100_000)
    assert rows.rows == PAGE_BYTES // 100_000
    for _ in range(20):
        rows.learn(rows.rows, rows.rows * 10)
    assert rows.rows == 5_000
    rows.learn(1, 10 * PAGE_BYTES)
    assert rows.rows == FEWEST_ROWS
    assert PageRows(1).limit == FEWEST_ROWS
    rows.learn(0, 30)
    assert rows.rows == FEWEST_ROWS


@pytest.mark.parametrize(("at_once", "page_bytes"), [(1, PAGE_BYTES), (3, PAGE_BYTES), (16, PAGES_BYTES // 16)])
def test_the_more_pages_are_asked_for_at_once_the_smaller_they_are(at_once: int, page_bytes: int) -> None:
    rows = PageRows(5_000)
    for _ in range(20):
        rows.learn(rows.rows, rows.rows * 4_000, at_once)
    assert rows.rows == page_bytes // 4_000


def test_pages_grow_at_most_twofold_and_hold_whole_rows() -> None:
    rows = PageRows(5_000)
    rows.learn(7, 3_000_000)
    assert rows.rows == 9
    for expected in (18, 36, 72):
        rows.learn(1, 10)
        assert rows.rows == expected


@pytest.mark.parametrize(
    ("token", "is_one"),
    [
        (number_token(20), True),
        (number_token(1), True),
        ("", False),
        ("opaque", False),
        ("MTA=", False),
        ("!" + number_token(20), False),
    ],
)
def test_tokens_of_mlflow_itself_differ_from_others(token: str, is_one: bool) -> None:
    assert is_offset(token) is is_one


@thorough
@given(old_names, schedules(new_names), st.integers(2, 30))
def test_no_listed_row_is_missed_whatever_is_written_meanwhile(
    rows: list[Experiment], writes: list[list[Write]], page_size: int
) -> None:
    store = Store(rows, page_size, writes)
    assert store.throughout - set(names_read(store)) == set()


@examples(100)
@given(old_runs, schedules(new_runs, purges=False), old_names, schedules(new_names, purges=False))
def test_pages_of_one_row_miss_nothing_as_long_as_nothing_is_purged(
    runs: list[Run], run_writes: list[list[Write]], rows: list[Experiment], writes: list[list[Write]]
) -> None:
    store = Store(runs, 1, run_writes, by_time)
    assert store.throughout - set(runs_read(store)) == set()
    store = Store(rows, 1, writes)
    assert store.throughout - set(names_read(store)) == set()


@examples(300)
@given(old_runs, st.integers(1, 20))
def test_each_run_comes_once_and_requests_are_pages(rows: list[Run], page_size: int) -> None:
    store = Store(rows, page_size, order=by_time)
    assert Counter(runs_read(store)) == Counter(map(row_id, rows))
    # A page brings what lies behind the overlap; where a page ends within equal start times, they come once more.
    gain = page_size - min(OVERLAP, page_size // 2)
    assert store.requests <= 2 * len(rows) / gain + 2


@examples(100)
@given(st.integers(0, 80), st.integers(2, 20))
def test_runs_that_all_start_apart_take_a_request_a_page(count: int, page_size: int) -> None:
    store = Store([run(number, number) for number in range(count)], page_size, order=by_time)
    assert len(runs_read(store)) == count
    assert store.requests == count // page_size + 1


@examples(200)
@given(old_names, st.integers(1, 30))
def test_each_row_comes_once_and_requests_are_pages(rows: list[Experiment], page_size: int) -> None:
    store = Store(rows, page_size)
    assert names_read(store) == list(map(row_id, rows))
    assert store.requests <= len(rows) / (page_size - min(OVERLAP, page_size // 2)) + 1


def test_large_pages_cost_little_more_than_the_server_would_need() -> None:
    store = Store([Experiment(f"{number:05}") for number in range(10_000)], 500)
    assert len(names_read(store)) == 10_000
    assert store.requests == 10_000 // (500 - OVERLAP) + 1


@given(st.lists(st.sampled_from([1, 2, None, None]), max_size=30), st.integers(1, 40))
def test_runs_without_a_start_time_come_with_the_first_page(times: list[int | None], page_size: int) -> None:
    rows = [run(number, time) for number, time in enumerate(times)]
    read = runs_read(Store(rows, page_size, order=by_time))
    expected = {row_id(row) for row in rows if row.info.start_time is not None}
    expected |= {row_id(row) for row in sorted(rows, key=by_time)[:page_size]}
    assert expected <= set(read)
    assert len(read) == len(set(read))


@pytest.mark.slow
def test_many_rows_purged_at_once_hide_none() -> None:
    for gone in (10, 49, 95, 100, 5_000):
        rows = [Experiment(f"{number:05}") for number in range(7_000)]
        store = Store(rows, 50, [[]] * 150 + [[("purge", 0.0, gone)]])
        assert store.throughout - set(names_read(store)) == set(), gone


@pytest.mark.parametrize("gone", [OVERLAP, 50, 100, 250])
def test_rows_purged_in_a_long_listing_are_made_up_for_by_a_few_pages(gone: int) -> None:
    store = Store([Experiment(f"{number:05}") for number in range(5_000)], 100, [[]] * 40 + [[("purge", 0.0, gone)]])
    read = names_read(store)
    assert store.throughout - set(read) == set()
    plain = 5_000 // (100 - OVERLAP) + 1
    assert store.requests <= plain + gone // 100 + 2


@thorough
@given(old_runs, old_names, st.integers(1, 20), st.randoms(use_true_random=False), where)
@example([], [Experiment(f"{number:03}") for number in range(100)], 20, Random(1), 0.9)
def test_rows_that_cannot_be_read_hide_no_others(
    runs: list[Run], rows: list[Experiment], page_size: int, random: Random, share: float
) -> None:
    def broken(all_rows: Sequence[Run | Experiment]) -> set[str]:
        first = random.randrange(len(all_rows) + 1)
        stretch = all_rows[first : first + random.choice([1, 5, 45])]
        return {row_id(row) for row in [*stretch, *(row for row in all_rows if random.random() < share / 2)]}

    store = Store(runs, page_size, order=by_time, broken=broken(runs))
    assert Counter(runs_read(store)) == Counter(store.throughout - store.broken)
    store = Store(rows, page_size, broken=broken(rows))
    assert Counter(names_read(store)) == Counter(store.throughout - store.broken)


class OpaqueStore(Store):
    """Tokens that only this server understands, and empty pages in between."""

    def page(
        self, token: str, keep: Callable[[Any], bool] = lambda _: True, known: int = 0, most: int = 0
    ) -> Page[Any]:
        if token.endswith("-empty"):
            return Page([], token.removesuffix("-empty"))
        page = super().page(number_token(int(token.removeprefix("t"))) if token else "", keep, known, most)
        following = json.loads(base64.b64decode(page.token))["offset"] if page.token else 0
        return Page(page.rows, f"t{following}-empty" if following else "")


@examples(100)
@given(old_runs, old_names, st.integers(1, 20))
def test_opaque_tokens_are_followed_as_they_are(runs: list[Run], rows: list[Experiment], page_size: int) -> None:
    assert Counter(runs_read(OpaqueStore(runs, page_size, order=by_time))) == Counter(map(row_id, runs))
    assert names_read(OpaqueStore(rows, page_size)) == list(map(row_id, rows))


@pytest.mark.parametrize(
    "tokens",
    [
        ["opaque-1", "opaque-2", "opaque-3"],
        # As JSON like MLflow's, but with more in it than an offset.
        [base64.b64encode(b'{"offset": %d, "seed": 7}' % offset).decode() for offset in (20, 40, 60)],
        # Numbers that count pages, not rows.
        [number_token(number) for number in (1, 2, 3)],
        ["MTA=", "bnVsbA==", "é"],
    ],
)
def test_tokens_that_are_no_offsets_are_followed_as_they_are(tokens: list[str]) -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    for number, token in enumerate(tokens):
        rows = [Experiment(f"{number}-{each}") for each in range(20)]
        assert cursor.take(Page(rows, token)).rows == rows
        assert cursor.token == token
    assert cursor.take(Page([Experiment("last")])).rows == [Experiment("last")]
    assert cursor.token is None


@pytest.mark.parametrize("token", ["again", number_token(1)])
def test_a_repeated_token_ends_the_cursor(token: str) -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page([Experiment("a")], token))
    with pytest.raises(
        ServerError, match=r"^MLflow gave one page token twice.*\. Ask whoever .* the parameter page_token\.$"
    ):
        cursor.take(Page([Experiment("b")], token))


@pytest.mark.parametrize("new_cursor", [lambda: OffsetCursor(row_id), RunCursor], ids=["rows", "runs"])
@pytest.mark.parametrize("token", [lambda number: f"opaque-{number}", lambda number: number_token(20 * number)])
def test_empty_pages_without_end_end_the_cursor(
    new_cursor: Callable[[], OffsetCursor[Any] | RunCursor], token: Callable[[int], str]
) -> None:
    cursor = new_cursor()
    take_all(cursor, (Page([], token(number)) for number in range(1, MAX_FRUITLESS_PAGES + 1)))
    with pytest.raises(ServerError, match="nothing new"):
        cursor.take(Page([], token(MAX_FRUITLESS_PAGES + 1)))


def test_pages_that_bring_something_now_and_then_do_not_end_the_cursor() -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    for number in range(1, 3 * MAX_FRUITLESS_PAGES):
        rows = [] if number % (MAX_FRUITLESS_PAGES + 1) else [Experiment(str(number))]
        assert cursor.take(Page(rows, f"opaque-{number}")).rows == rows


@pytest.mark.parametrize(("offset", "follows"), [(2, 2), (3, 1)])
def test_where_tokens_advance_no_further_than_what_is_known_they_are_followed_as_they_stand(
    offset: int, follows: int
) -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page([Experiment(str(number)) for number in range(4)], number_token(offset)))
    assert cursor.token == number_token(follows)


@pytest.mark.parametrize("ignores", ["filter", "page_token"])
def test_a_server_that_ignores_filter_or_token_is_read_all_the_same(ignores: str) -> None:
    store = Store([run(number, number // 3) for number in range(400)], 7, order=by_time)
    assert set(runs_read(store, ignores=frozenset({ignores}))) == store.throughout
    # And not over and over: without a filter, every page is asked once.
    assert store.requests <= 400 / 4 + 2


def test_a_server_that_ignores_both_is_an_error_and_no_hang() -> None:
    store = Store([run(number, number // 3) for number in range(40)], 7, order=by_time)
    with pytest.raises(ServerError):
        runs_read(store, ignores=frozenset({"filter", "page_token"}))


def test_more_runs_of_one_time_than_a_page_on_a_server_that_ignores_tokens_is_an_error() -> None:
    store = Store([run(number, 5) for number in range(40)], 7, order=by_time)
    with pytest.raises(ServerError):
        runs_read(store, ignores=frozenset({"page_token"}))


def test_a_server_that_ignores_the_page_size_is_read_in_one_request() -> None:
    store = Store([run(number, number // 3) for number in range(40)], 1_000, order=by_time)
    assert set(runs_read(store)) == store.throughout
    assert store.requests == 1


@examples(100)
@given(st.integers(0, 60), st.integers(2, 20))
def test_a_server_that_lists_the_newest_runs_first_is_read_all_the_same(count: int, page_size: int) -> None:
    store = Store([run(n, n) for n in range(count)], page_size, order=lambda row: -row.info.start_time)
    assert Counter(runs_read(store)) == Counter(store.throughout)


def test_disorder_that_shows_late_starts_again_without_a_filter() -> None:
    times = [10, 11, 12, 13, 30, 14, 1, 2, 3, 4, 5, 6]
    store = Store([run(number, time) for number, time in enumerate(times)], 4)
    assert set(runs_read(store)) == store.throughout


def test_a_server_that_never_shows_a_row_again_is_an_error_and_no_hang() -> None:
    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    fresh = (Experiment(str(number)) for number in count())

    def pages() -> Iterator[Page[Experiment]]:
        for _ in range(10_000):
            offset = json.loads(base64.b64decode(cursor.token))["offset"] if cursor.token else 0
            yield Page(list(islice(fresh, 20)), number_token(offset + 20))

    with pytest.raises(ServerError, match=r"^MLflow lists its rows in another order each time.*page by page\.$"):
        take_all(cursor, pages())
    # Behind each page that was stepped back to comes one from which it steps back again.
    assert int(row_id(next(fresh))) == 20 * 2 * (MAX_STEPS_BACK + 1)


@examples(100)
@given(old_runs, old_names, st.integers(1, 8), st.randoms(use_true_random=False))
def test_a_server_with_another_order_each_time_is_no_hang(
    runs: list[Run], rows: list[Experiment], page_size: int, random: Random
) -> None:
    def shuffled(page: Callable[..., Page[Any]], store: Store) -> Callable[..., Page[Any]]:
        def answer(*args: Any) -> Page[Any]:
            random.shuffle(store.rows)
            return page(*args)

        return answer

    for store, cursor in ((Store(runs, page_size), runs_read), (Store(rows, page_size), names_read)):
        store.page = shuffled(store.page, store)  # type: ignore[method-assign]
        try:
            assert set(cursor(store)) <= store.throughout
        except ServerError as error:
            assert "order" in error.message or "nothing new" in error.message  # noqa: PT017  either way is fine


def test_each_step_back_goes_twice_as_far_until_a_row_is_known() -> None:
    def listed(first: int) -> Page[Experiment]:
        return Page([Experiment(f"{number:05}") for number in range(first, first + 20)], number_token(first + 20))

    cursor: OffsetCursor[Experiment] = OffsetCursor(row_id)
    cursor.take(Page(listed(0).rows, number_token(2_000)))
    steps = []
    for _ in range(4):
        assert cursor.take(listed(5_000)).rows == []
        steps.append(cursor.token)
    assert steps == [number_token(2_000 - 10 - 20 * far) for far in (1, 3, 7, 15)]
    assert len(cursor.take(Page(listed(10).rows, number_token(1_710))).rows) == 10
    cursor.take(listed(5_000))
    assert cursor.token == number_token(1_710 - 10 - 20)
