"""Packing: nothing lost, doubled or reordered within an entity; limits held."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.batches import Batch, Packer, Parcel

proposals = st.lists(st.binary(min_size=1, max_size=30), max_size=12)
parcels = st.lists(proposals, max_size=30).map(
    lambda each: [Parcel("t", f"urn:{number}", data) for number, data in enumerate(each)]
)


def pack(given_parcels: list[Parcel], max_proposals: int, max_bytes: int) -> list[Batch]:
    packer = Packer(max_proposals, max_bytes)
    batches = [batch for parcel in given_parcels for batch in packer.add(parcel)]
    batches += packer.flush()
    assert packer.flush() == []
    return batches


@given(parcels, st.integers(1, 20), st.integers(5, 200))
def test_nothing_is_lost_doubled_or_reordered(given_parcels: list[Parcel], max_proposals: int, max_bytes: int) -> None:
    sent: dict[str, list[bytes]] = {}
    for batch in pack(given_parcels, max_proposals, max_bytes):
        for parcel in batch.parcels:
            sent.setdefault(parcel.urn, []).extend(parcel.proposals)
    assert sent == {parcel.urn: parcel.proposals for parcel in given_parcels if parcel.proposals}
    assert list(sent) == [parcel.urn for parcel in given_parcels if parcel.proposals]


@given(parcels, st.integers(1, 20), st.integers(5, 200))
def test_limits_hold(given_parcels: list[Parcel], max_proposals: int, max_bytes: int) -> None:
    for batch in pack(given_parcels, max_proposals, max_bytes):
        encoded = [proposal for parcel in batch.parcels for proposal in parcel.proposals]
        assert batch.proposals == len(encoded) <= max_proposals
        assert batch.bytes == sum(map(len, encoded)) + len(encoded)
        # A proposal that alone is larger than a batch travels alone.
        assert batch.bytes <= max_bytes or len(encoded) == 1


@given(parcels, st.integers(1, 20), st.integers(5, 200))
def test_an_entity_that_fits_is_never_cut(given_parcels: list[Parcel], max_proposals: int, max_bytes: int) -> None:
    whole = [parcel for batch in pack(given_parcels, max_proposals, max_bytes) for parcel in batch.parcels]
    for parcel in given_parcels:
        size = sum(map(len, parcel.proposals)) + len(parcel.proposals)
        if parcel.proposals and len(parcel.proposals) <= max_proposals and size <= max_bytes:
            assert parcel in whole


@given(parcels, st.integers(1, 20), st.integers(5, 200))
def test_a_batch_is_closed_only_by_what_does_not_fit(
    given_parcels: list[Parcel], max_proposals: int, max_bytes: int
) -> None:
    batches = pack(given_parcels, max_proposals, max_bytes)
    for batch, following in pairwise(batches):
        first = following.parcels[0]
        size = sum(map(len, first.proposals)) + len(first.proposals)
        assert batch.proposals + len(first.proposals) > max_proposals or batch.bytes + size > max_bytes


def test_a_proposal_larger_than_a_batch_travels_alone_and_in_its_place() -> None:
    given_parcels = [Parcel("t", "a", [b"1", b"x" * 50, b"2"]), Parcel("t", "b", [b"3"])]
    batches = pack(given_parcels, 10, 20)
    sent = [[(parcel.urn, parcel.proposals) for parcel in batch.parcels] for batch in batches]
    assert sent == [[("a", [b"1"])], [("a", [b"x" * 50])], [("a", [b"2"]), ("b", [b"3"])]]
