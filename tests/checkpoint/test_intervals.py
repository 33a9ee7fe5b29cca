"""Done ranges against a naive model: a set of whole numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.intervals import Bounds, Intervals

LOW, HIGH = -1, 21
"""Outside of all bounds that are drawn: what is true there is true of an open end."""

edges = st.none() | st.integers(0, 20)
bounds = st.lists(st.tuples(edges, edges), max_size=8)


def numbers(since: int | None, until: int | None) -> set[int]:
    """What lies in a range, between both ends of the world."""
    return set(range(LOW if since is None else since, HIGH + 1 if until is None else until))


def merged(parts: list[Bounds]) -> Intervals:
    ranges = Intervals()
    for part in parts:
        ranges = ranges.add(*part)
    return ranges


@given(bounds)
def test_ranges_cover_what_was_added_and_nothing_else(parts: list[Bounds]) -> None:
    covered, model = (set().union(*(numbers(*part) for part in each)) for each in (merged(parts).parts, parts))
    assert covered == model
    assert {number for number in numbers(None, None) if number in merged(parts)} == model


@given(bounds)
def test_gaps_are_the_rest(parts: list[Bounds]) -> None:
    gaps, model = merged(parts).gaps(), set().union(*(numbers(*part) for part in parts))
    in_gaps = [number for gap in gaps for number in numbers(*gap)]
    assert len(in_gaps) == len(set(in_gaps))
    assert set(in_gaps) == numbers(None, None) - model


@given(bounds)
def test_ranges_are_ascending_apart_and_not_empty(parts: list[Bounds]) -> None:
    found = merged(parts).parts
    assert all(since is None or until is None or since < until for since, until in found)
    for (_, until), (since, _) in pairwise(found):
        assert until is not None
        assert since is not None
        assert until < since


@given(bounds, st.randoms(use_true_random=False))
def test_the_order_of_adding_does_not_matter(parts: list[Bounds], random: object) -> None:
    shuffled = sorted(parts, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert merged(shuffled) == merged(parts)


@given(bounds)
def test_gaps_that_are_added_leave_none(parts: list[Bounds]) -> None:
    ranges = merged(parts)
    for gap in ranges.gaps():
        ranges = ranges.add(*gap)
    assert ranges == Intervals(((None, None),))
    assert ranges.gaps() == []
