"""Taking a refused batch apart: every good proposal arrives, in order; every bad one is found; few requests."""

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub import batch_bisection as apart
from crawler.datahub.batching import Batch, EncodedEntity

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def batch_of(sizes: list[int]) -> Batch:
    parcels = [
        EncodedEntity("tag", f"urn:li:tag:{number}", [b"%d:%d" % (number, proposal) for proposal in range(size)])
        for number, size in enumerate(sizes)
    ]
    proposals = [proposal for parcel in parcels for proposal in parcel.proposals]
    return Batch(parcels, len(proposals), sum(map(len, proposals)) + len(proposals))


def proposals_of(batch: Batch) -> list[bytes]:
    return [proposal for parcel in batch.entities for proposal in parcel.proposals]


@given(sizes=sizes, data=st.data())
def test_the_bad_are_found_with_few_requests_and_the_good_arrive_in_order(
    sizes: list[int], data: st.DataObject
) -> None:
    batch = batch_of(sizes)
    everything = proposals_of(batch)
    bad = data.draw(st.sets(st.sampled_from(everything), min_size=1, max_size=5))
    left, taken, refused, requests = [batch], [], [], 0
    last_pieces = []
    while left:
        part = left.pop()
        requests += 1
        sent = proposals_of(part)
        assert part.proposals == len(sent) > 0
        assert part.bytes == sum(map(len, sent)) + len(sent)
        assert all(parcel.proposals for parcel in part.entities)
        if not bad.intersection(sent):
            taken += sent
            last_pieces += [parcel.urn for parcel in part.entities if parcel.last]
        elif part.proposals == 1:
            refused += sent
            last_pieces += [parcel.urn for parcel in part.entities if parcel.last]
        else:
            left += reversed(apart.halves(part))
    assert taken == [proposal for proposal in everything if proposal not in bad]
    assert refused == [proposal for proposal in everything if proposal in bad]
    assert last_pieces == [parcel.urn for parcel in batch.entities]
    assert requests <= 1 + 2 * len(bad) * ceil(log2(len(everything)))


@given(sizes=sizes)
def test_halves_are_even(sizes: list[int]) -> None:
    batch = batch_of(sizes)
    halves = apart.halves(batch)
    assert [proposal for half in halves for proposal in proposals_of(half)] == proposals_of(batch)
    if batch.proposals > 1:
        first, second = halves
        assert 0 <= second.proposals - first.proposals <= 1


def test_a_refusal_names_its_entities_and_no_others() -> None:
    batch = batch_of([1, 2, 3])
    odd = EncodedEntity("tag", "urn:li:tag:a, b (c) HttpStatus", [b"x"])
    batch = Batch([*batch.entities, odd], 7, 0)
    words = (
        "User urn:li:corpuser:x is unauthorized to modify entity: HttpStatus: 403 Urn: urn:li:tag:1, "
        "HttpStatus: 403 Urn: urn:li:tag:a, b (c) HttpStatus, HttpStatus: 403 Urn: urn:li:tag:22"
    )
    found = apart.named(batch, words)
    assert [parcel.urn for parcel in found] == ["urn:li:tag:1", "urn:li:tag:a, b (c) HttpStatus"]
    (left,) = apart.without(batch, found)
    assert [parcel.urn for parcel in left.entities] == ["urn:li:tag:0", "urn:li:tag:2"]
    assert left.proposals == 4
    assert apart.without(left, left.entities) == []
    assert apart.named(batch, "urn:li:corpuser:x is unauthorized to CREATE entities.") == []


FORBIDDEN = "User urn:li:corpuser:x is unauthorized to modify entity: HttpStatus: 403 Urn: urn:li:tag:1"


def urns_of(batches: list[Batch]) -> list[list[str]]:
    return [[parcel.urn for parcel in batch.entities] for batch in batches]


def test_entities_that_a_refusal_names_are_given_up_and_the_others_tried_again() -> None:
    batch = batch_of([2, 1, 3])
    given_up, left = apart.bisect_refused(batch, 403, FORBIDDEN)
    assert given_up == [batch.entities[1]]
    assert urns_of(left) == [["urn:li:tag:0", "urn:li:tag:2"]]
    alone = batch_of([1])
    assert apart.bisect_refused(alone, 403, FORBIDDEN.replace("tag:1", "tag:0")) == (alone.entities, [])


@pytest.mark.parametrize(("status", "words"), [(403, "Forbidden."), (400, FORBIDDEN), (413, ""), (422, ""), (500, "")])
def test_what_is_refused_without_names_is_halved_down_to_single_proposals(status: int, words: str) -> None:
    batch = batch_of([1, 1])
    assert apart.bisect_refused(batch, status, words) == ([], apart.halves(batch))
    alone = batch_of([1])
    assert apart.bisect_refused(alone, status, words) == (alone.entities, [])


@pytest.mark.parametrize("status", [404, 405, 501])
def test_where_there_is_no_endpoint_no_part_is_tried(status: int) -> None:
    batch = batch_of([1, 2])
    assert apart.bisect_refused(batch, status, FORBIDDEN) == (batch.entities, [])
