"""The time that is left: near the truth at a steady pace, falling between pages, nothing where little is known."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.telemetry.eta import LEAST_POINTS, STALE, WINDOW, Growth, Point, seconds_left
from tests.support.examples import examples

ROWS = st.integers(1, 10_000)
GAPS = st.floats(0.5, STALE - 1)


def grown(steps: list[tuple[float, int]]) -> list[Point]:
    """Points that each come so many seconds and rows after the one before."""
    points = [Point(0.0, 0)]
    for seconds, rows in steps:
        points.append(Point(points[-1].at + seconds, points[-1].rows + rows))
    return points


STEPS = st.lists(st.tuples(GAPS, ROWS), min_size=LEAST_POINTS, max_size=30).map(grown)


@examples(200)
@given(GAPS, ROWS, st.integers(7, 60), st.data())
def test_at_a_steady_pace_it_is_right_to_a_page(gap: float, rows: int, pages: int, data: st.DataObject) -> None:
    page = data.draw(st.integers(6, pages - 1))
    now = data.draw(st.floats(page * gap, (page + 1) * gap, exclude_max=True))
    growth = Growth()
    for number in range(page + 1):
        growth.note(number * gap, number * rows)
    left = seconds_left(growth.points, pages * rows, now)
    if page * gap >= 3:
        assert left is None or left == pytest.approx(pages * gap - now, abs=1e-6 * pages * gap)
        assert left is not None or pages * gap - now < 1e-6 * pages * gap


@examples(200)
@given(STEPS, ROWS, st.lists(st.floats(0, 1_000), min_size=2, max_size=20).map(sorted))
def test_it_falls_as_time_passes_while_nothing_comes(points: list[Point], more: int, waits: list[float]) -> None:
    total, last = points[-1].rows + more, points[-1].at
    lefts = [seconds_left(points, total, last + wait) for wait in waits]
    for (before, sooner), (after, later) in pairwise(zip(waits, lefts, strict=True)):
        if later is not None:
            assert sooner is not None
            assert sooner - later == pytest.approx(after - before, abs=1e-6)
            assert later > 0
    assert seconds_left(points, total, last + STALE + 0.1) is None


@examples(200)
@given(STEPS, st.integers(0, 10**9), ROWS)
def test_it_does_not_depend_on_when_a_clock_began_or_on_what_was_done_before(
    points: list[Point], shift: int, more: int
) -> None:
    total, now = points[-1].rows + more, points[-1].at
    moved = [Point(point.at + shift, point.rows + shift) for point in points]
    left = seconds_left(points, total, now)
    later = seconds_left(moved, total + shift, now + shift)
    assert (left is None) == (later is None) or left == pytest.approx(0, abs=1e-3)
    assert left is None or later is None or later == pytest.approx(left, rel=1e-4, abs=1e-3)


@given(STEPS, st.integers(0, 10**6))
def test_a_total_that_is_passed_tells_nothing(points: list[Point], passed: int) -> None:
    assert seconds_left(points, points[-1].rows - passed, points[-1].at) is None


def test_too_few_pages_tell_nothing() -> None:
    points = [Point(number * 10.0, number) for number in range(LEAST_POINTS)]
    assert seconds_left(points, 100, 30.0) == 970
    assert seconds_left(points[:-1], 100, 30.0) is None


@given(st.lists(st.tuples(st.floats(0.1, 200), st.integers(0, 5)), min_size=1, max_size=100))
def test_a_minute_or_four_steps_are_kept(steps: list[tuple[float, int]]) -> None:
    growth, now, count = Growth(), 0.0, 0
    for seconds, rows in steps:
        now, count = now + seconds, count + rows
        growth.note(now, count)
        kept = list(growth.points)
        assert all(before.at < after.at and before.rows < after.rows for before, after in pairwise(kept))
        assert kept[-1].rows == count
        assert len(kept) <= LEAST_POINTS or kept[-1].at - kept[1].at < WINDOW
