"""Packing: nothing lost, doubled or reordered within an entity; limits held; one type a batch where that is asked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.pending import Pending

Kind = type[Packer | PackerByType]
TYPES = ("tag", "container", "mlModel")

proposals = st.lists(st.binary(min_size=1, max_size=30), max_size=12)
parcels = st.lists(st.tuples(st.sampled_from(TYPES), proposals), max_size=30).map(
    lambda each: [EncodedEntity(kind, f"urn:{number}", data) for number, (kind, data) in enumerate(each)]
)
kinds = pytest.mark.parametrize("kind", [Packer, PackerByType])

PENDING = Pending()


def frame(parcel: EncodedEntity) -> int:
    """As much as the URN takes."""
    return len(parcel.urn)


def pack(kind: Kind, given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int) -> list[Batch]:
    packer = kind(max_proposals, max_bytes, frame)
    batches = [batch for parcel in given_parcels for batch in packer.add(parcel)]
    batches += packer.flush()
    assert packer.flush() == []
    return batches


@kinds
@given(given_parcels=parcels, max_proposals=st.integers(1, 20), max_bytes=st.integers(5, 200))
def test_nothing_is_lost_doubled_or_reordered(
    kind: Kind, given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int
) -> None:
    sent: dict[str, list[bytes]] = {}
    last: list[str] = []
    for batch in pack(kind, given_parcels, max_proposals, max_bytes):
        # An entity is in a request once: its pieces are in several.
        assert len({parcel.urn for parcel in batch.entities}) == len(batch.entities)
        for parcel in batch.entities:
            sent.setdefault(parcel.urn, []).extend(parcel.proposals)
            last += [parcel.urn] * parcel.last
    full = [parcel for parcel in given_parcels if parcel.proposals]
    assert sent == {parcel.urn: parcel.proposals for parcel in full}
    for entity_type in TYPES if kind is PackerByType else (None,):
        of_type = [parcel.urn for parcel in full if entity_type in {None, parcel.entity_type}]
        assert [urn for urn in sent if urn in of_type] == [urn for urn in last if urn in of_type] == of_type


@given(given_parcels=parcels, max_proposals=st.integers(1, 20), max_bytes=st.integers(5, 200))
def test_one_type_a_batch(given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int) -> None:
    for batch in pack(PackerByType, given_parcels, max_proposals, max_bytes):
        assert len({parcel.entity_type for parcel in batch.entities}) == 1


@kinds
@given(given_parcels=parcels, max_proposals=st.integers(1, 20), max_bytes=st.integers(5, 200))
def test_limits_hold(kind: Kind, given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int) -> None:
    for batch in pack(kind, given_parcels, max_proposals, max_bytes):
        encoded = [proposal for parcel in batch.entities for proposal in parcel.proposals]
        assert batch.proposals == len(encoded) <= max_proposals
        assert batch.bytes == sum(map(len, encoded)) + len(encoded) + sum(map(frame, batch.entities))
        # A proposal that alone is larger than a batch travels alone.
        assert batch.bytes <= max_bytes or len(encoded) == 1


@kinds
@given(given_parcels=parcels, max_proposals=st.integers(1, 20), max_bytes=st.integers(5, 200))
def test_an_entity_that_fits_is_never_cut(
    kind: Kind, given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int
) -> None:
    whole = [parcel for batch in pack(kind, given_parcels, max_proposals, max_bytes) for parcel in batch.entities]
    for parcel in given_parcels:
        size = sum(map(len, parcel.proposals)) + len(parcel.proposals) + frame(parcel)
        if parcel.proposals and len(parcel.proposals) <= max_proposals and size <= max_bytes:
            assert parcel in whole


@kinds
@given(given_parcels=parcels, max_proposals=st.integers(1, 20), max_bytes=st.integers(5, 200))
def test_a_batch_is_closed_only_by_what_does_not_fit(
    kind: Kind, given_parcels: list[EncodedEntity], max_proposals: int, max_bytes: int
) -> None:
    batches = pack(kind, given_parcels, max_proposals, max_bytes)
    for entity_type in TYPES if kind is PackerByType else (None,):
        of_type = [batch for batch in batches if entity_type in {None, batch.entities[0].entity_type}]
        for batch, following in pairwise(of_type):
            first = following.entities[0]
            if first.urn == batch.entities[-1].urn:
                # The rest of an entity that was cut: not one proposal more had fitted.
                more, size = 1, len(first.proposals[0]) + 1
            else:
                more, size = len(first.proposals), sum(map(len, first.proposals)) + len(first.proposals) + frame(first)
            assert batch.proposals + more > max_proposals or batch.bytes + size > max_bytes


def test_a_proposal_larger_than_a_batch_travels_alone_and_in_its_place() -> None:
    given_parcels = [EncodedEntity("t", "a", [b"1", b"x" * 50, b"2"]), EncodedEntity("t", "b", [b"3"])]
    batches = pack(Packer, given_parcels, 10, 20)
    sent = [[(parcel.urn, parcel.proposals) for parcel in batch.entities] for batch in batches]
    assert sent == [[("a", [b"1"])], [("a", [b"x" * 50])], [("a", [b"2"]), ("b", [b"3"])]]


def test_a_parcel_with_some_of_its_proposals_is_the_same_otherwise() -> None:
    parcel = EncodedEntity("tag", "urn:li:tag:a", [b"1", b"2"], last=False, pending=PENDING)
    assert parcel.holding([b"2"]) == EncodedEntity("tag", "urn:li:tag:a", [b"2"], last=False, pending=PENDING)


def test_without_a_frame_only_proposals_and_their_commas_take_room() -> None:
    packer = Packer(10, 6)
    first, second, third = (EncodedEntity("t", urn, [b"12"]) for urn in "abc")
    assert [batch for each in (first, second, third) for batch in packer.add(each)] == [Batch([first, second], 2, 6)]
