"""How many rows are asked for where a page cannot be had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mlflow.entities import Experiment
from crawler.mlflow.paging.page_bisection import Gap, PageBisector, Skipped


@given(st.integers(1, 10_000), st.integers(0, 9_999))
def test_one_row_that_fails_is_found_by_halving_and_pages_grow_again(rows: int, place: int) -> None:
    bad, before, asked = place % rows, 0, 0
    narrowing = PageBisector()
    narrowing.begin(rows)
    narrowing.suspect(rows)
    while not (narrowing.rows == 1 and before == bad):
        asked += 1
        assert narrowing.is_active
        if before <= bad < before + narrowing.rows:
            narrowing.begin(narrowing.rows)
            narrowing.suspect(narrowing.rows)
        else:
            before += narrowing.rows
            narrowing.read(narrowing.rows)
    assert asked <= 2 * rows.bit_length()
    assert narrowing.whole == rows
    narrowing.skipped()
    sizes = [narrowing.rows]
    while narrowing.is_active:
        narrowing.read(narrowing.rows)
        sizes.append(narrowing.rows)
    assert sizes == [*(2**power for power in range((rows).bit_length())), 0]


def test_what_is_looked_through_again_is_halved_too() -> None:
    narrowing = PageBisector()
    narrowing.begin(100)
    narrowing.suspect(32)
    assert narrowing.rows == 16
    narrowing.read(16)
    assert narrowing.rows == 8
    narrowing.read(16)
    assert narrowing.rows == 16
    narrowing.suspect(3)
    for _ in range(3):
        assert narrowing.rows == 1
        narrowing.read(1)
    assert narrowing.rows == 2


@pytest.mark.parametrize("narrow", [PageBisector.suspect, PageBisector.slow])
@pytest.mark.parametrize(("rows", "asked"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_a_bound_is_never_none(narrow: object, rows: int, asked: int) -> None:
    narrowing = PageBisector()
    narrow(narrowing, rows)  # type: ignore[operator]
    assert narrowing.rows == asked


def test_pages_that_took_too_long_stay_small_whatever_fails_meanwhile() -> None:
    narrowing = PageBisector()
    narrowing.begin(100)
    narrowing.suspect(100)
    narrowing.slow(50)
    assert (narrowing.rows, narrowing.ceiling, narrowing.is_active) == (25, 25, True)
    narrowing.read(25)
    # One of the 25 that are left of those that took too long may be the reason.
    assert (narrowing.rows, narrowing.is_active) == (25, True)
    narrowing.read(25)
    assert (narrowing.rows, narrowing.is_active) == (25, False)
    narrowing.slow_alone()
    assert narrowing.rows == narrowing.ceiling == 25
    assert PageBisector(25).rows == 25


def test_pages_that_were_slow_for_the_sake_of_one_row_grow_again_behind_it() -> None:
    narrowing = PageBisector()
    narrowing.slow(8)
    narrowing.slow(4)
    narrowing.slow(2)
    narrowing.slow_alone()
    assert (narrowing.whole, narrowing.ceiling) == (8, 0)
    sizes = []
    while narrowing.is_active:
        sizes.append(narrowing.rows)
        narrowing.read(narrowing.rows)
    assert sizes == [1, 2, 4, 8]
    assert narrowing.rows == 0
    narrowing.slow_alone()
    assert not narrowing.is_active


def test_a_slow_row_does_not_make_pages_larger_than_they_were() -> None:
    narrowing = PageBisector()
    narrowing.begin(20)
    narrowing.slow(8)
    narrowing.slow_alone()
    assert narrowing.whole == 20
    narrowing = PageBisector(10)
    narrowing.slow_alone()
    assert (narrowing.rows, narrowing.ceiling, narrowing.whole) == (10, 10, 0)


def test_a_page_that_is_no_larger_than_a_whole_one_is_still_narrow() -> None:
    narrowing = PageBisector()
    narrowing.begin(4)
    narrowing.suspect(4)
    narrowing.read(4)
    assert (narrowing.rows, narrowing.is_active) == (4, True)
    narrowing.read(4)
    assert (narrowing.rows, narrowing.is_active) == (0, False)


def test_a_row_left_out_can_be_told_behind_another_one() -> None:
    rows = [Experiment(name) for name in "abc"]
    skipped = Skipped(rows[0], rows[2], "500")
    assert skipped.behind(rows[1]) == Skipped(rows[1], rows[2], "500")
    assert skipped.behind(None) == Skipped(None, rows[2], "500")


def test_a_gap_ends_behind_the_rows_that_are_left_out() -> None:
    assert Gap[Experiment](7).end == 7
    assert Gap[Experiment](7, ["500", "500"]).end == 9


def test_a_row_that_stalls_alone_leaves_what_was_found_about_the_size_of_pages() -> None:
    narrowing = PageBisector()
    narrowing.slow(100)
    narrowing.read(100)
    narrowing.slow(50)
    narrowing.slow(25)
    narrowing.slow_alone()
    narrowing.skipped()
    assert (narrowing.rows, narrowing.ceiling, narrowing.whole) == (1, 50, 50)
