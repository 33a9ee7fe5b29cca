"""How many rows are asked for where a page cannot be had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mlflow.entities import Experiment
from crawler.mlflow.paging.page_bisection import Gap, PageBisector
from crawler.mlflow.paging.skipped import Skipped


@given(st.integers(1, 10_000), st.integers(0, 9_999))
def test_one_row_that_fails_is_found_by_halving_and_pages_grow_again(rows: int, place: int) -> None:
    bad, before, asked = place % rows, 0, 0
    bisector = PageBisector()
    bisector.begin(rows)
    bisector.suspect(rows)
    while not (bisector.rows == 1 and before == bad):
        asked += 1
        assert bisector.is_active
        if before <= bad < before + bisector.rows:
            bisector.begin(bisector.rows)
            bisector.suspect(bisector.rows)
        else:
            before += bisector.rows
            bisector.read(bisector.rows)
    assert asked <= 2 * rows.bit_length()
    assert bisector.whole == rows
    bisector.skipped()
    sizes = [bisector.rows]
    while bisector.is_active:
        bisector.read(bisector.rows)
        sizes.append(bisector.rows)
    assert sizes == [*(2**power for power in range((rows).bit_length())), 0]


def test_what_is_looked_through_again_is_halved_too() -> None:
    bisector = PageBisector()
    bisector.begin(100)
    bisector.suspect(32)
    assert bisector.rows == 16
    bisector.read(16)
    assert bisector.rows == 8
    bisector.read(16)
    assert bisector.rows == 16
    bisector.suspect(3)
    for _ in range(3):
        assert bisector.rows == 1
        bisector.read(1)
    assert bisector.rows == 2


@pytest.mark.parametrize("shrink", [PageBisector.suspect, PageBisector.slow])
@pytest.mark.parametrize(("rows", "asked"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_a_bound_is_never_none(shrink: object, rows: int, asked: int) -> None:
    bisector = PageBisector()
    shrink(bisector, rows)  # type: ignore[operator]
    assert bisector.rows == asked


def test_pages_that_took_too_long_stay_small_whatever_fails_meanwhile() -> None:
    bisector = PageBisector()
    bisector.begin(100)
    bisector.suspect(100)
    bisector.slow(50)
    assert (bisector.rows, bisector.ceiling, bisector.is_active) == (25, 25, True)
    bisector.read(25)
    # One of the 25 that are left of those that took too long may be the reason.
    assert (bisector.rows, bisector.is_active) == (25, True)
    bisector.read(25)
    assert (bisector.rows, bisector.is_active) == (25, False)
    bisector.slow_alone()
    assert bisector.rows == bisector.ceiling == 25
    assert PageBisector(25).rows == 25


def test_pages_that_were_slow_for_the_sake_of_one_row_grow_again_behind_it() -> None:
    bisector = PageBisector()
    bisector.slow(8)
    bisector.slow(4)
    bisector.slow(2)
    bisector.slow_alone()
    assert (bisector.whole, bisector.ceiling) == (8, 0)
    sizes = []
    while bisector.is_active:
        sizes.append(bisector.rows)
        bisector.read(bisector.rows)
    assert sizes == [1, 2, 4, 8]
    assert bisector.rows == 0
    bisector.slow_alone()
    assert not bisector.is_active


def test_a_slow_row_does_not_make_pages_larger_than_they_were() -> None:
    bisector = PageBisector()
    bisector.begin(20)
    bisector.slow(8)
    bisector.slow_alone()
    assert bisector.whole == 20
    bisector = PageBisector(10)
    bisector.slow_alone()
    assert (bisector.rows, bisector.ceiling, bisector.whole) == (10, 10, 0)


def test_a_page_that_is_no_larger_than_a_whole_one_is_still_bisecting() -> None:
    bisector = PageBisector()
    bisector.begin(4)
    bisector.suspect(4)
    bisector.read(4)
    assert (bisector.rows, bisector.is_active) == (4, True)
    bisector.read(4)
    assert (bisector.rows, bisector.is_active) == (0, False)


def test_a_row_left_out_can_be_named_behind_another_one() -> None:
    rows = [Experiment(name) for name in "abc"]
    skipped = Skipped(rows[0], rows[2], "500")
    assert skipped.behind(rows[1]) == Skipped(rows[1], rows[2], "500")
    assert skipped.behind(None) == Skipped(None, rows[2], "500")


def test_a_gap_ends_behind_the_rows_that_are_left_out() -> None:
    assert Gap[Experiment](7).end == 7
    assert Gap[Experiment](7, ["500", "500"]).end == 9


def test_a_row_that_stalls_alone_leaves_what_was_found_about_the_size_of_pages() -> None:
    bisector = PageBisector()
    bisector.slow(100)
    bisector.read(100)
    bisector.slow(50)
    bisector.slow(25)
    bisector.slow_alone()
    bisector.skipped()
    assert (bisector.rows, bisector.ceiling, bisector.whole) == (1, 50, 50)
