"""URNs in little memory."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.comparison.seen_urns import FIRST_CAPACITY, HASH_BYTES, SeenUrns
from tests.support.examples import examples


@examples(200)
@given(st.lists(st.text(max_size=3), max_size=60), st.lists(st.text(max_size=3), max_size=20))
def test_it_is_a_set(added: list[str], asked: list[str]) -> None:
    seen = SeenUrns()
    for urn in added:
        seen.add(urn)
    assert len(seen) == len(set(added))
    assert all(urn in seen for urn in added)
    assert [urn in seen for urn in asked] == [urn in set(added) for urn in asked]


def test_it_grows_and_takes_16_bytes_a_urn_at_most() -> None:
    seen = SeenUrns()
    for number in range(20_000):
        seen.add(f"urn:li:dataProcessInstance:{number}")
        seen.add(f"urn:li:dataProcessInstance:{number // 2}")
        if number >= FIRST_CAPACITY:
            assert len(seen._table) * HASH_BYTES <= 16 * len(seen)
    assert len(seen) == 20_000
    assert all(f"urn:li:dataProcessInstance:{number}" in seen for number in range(20_000))
    assert not any(f"urn:li:dataProcessInstance:{number}" in seen for number in range(20_000, 40_000))


def test_half_a_surrogate_pair_is_no_obstacle() -> None:
    seen = SeenUrns()
    seen.add("urn:li:tag:\ud83d")
    assert "urn:li:tag:\ud83d" in seen
