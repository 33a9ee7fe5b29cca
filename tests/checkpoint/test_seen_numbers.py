"""A bit for each number, in blocks."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.seen_numbers import BLOCK_BYTES, SeenNumbers
from tests.support.examples import examples

A_BLOCK = 8 * BLOCK_BYTES
NUMBERS = st.lists(st.integers(0, 3 * A_BLOCK) | st.sampled_from([0, 7, 8, A_BLOCK - 1, A_BLOCK, 10**7]))


@examples(100)
@given(NUMBERS, NUMBERS)
def test_it_is_a_set_that_can_be_kept_in_parts(first: list[int], second: list[int]) -> None:
    seen = SeenNumbers()
    kept: dict[int, bytes] = {}
    for numbers in (first, second):
        for number in numbers:
            seen.add(number)
        kept |= dict(seen.changed())
        assert dict(seen.changed()) == {}
    again = SeenNumbers(kept)
    for number in {*first, *second, 1, A_BLOCK + 1}:
        assert (number in seen, number in again) == (number in first + second,) * 2


def test_only_what_has_changed_is_kept_again() -> None:
    seen = SeenNumbers()
    for number in (5, A_BLOCK, 5):
        seen.add(number)
    assert [block for block, _ in seen.changed()] == [0, 1]
    seen.add(5)
    seen.add(6)
    assert [block for block, _ in seen.changed()] == [0]
