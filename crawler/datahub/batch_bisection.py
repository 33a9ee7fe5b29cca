"""Taking a refused batch apart, to find the proposals that DataHub refuses it for: pure.

GMS refuses a batch as a whole for one bad proposal, and mostly does not say which one (`AspectResource.java`).
"""

import re

from msgspec import structs

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.http.status_policy import FORBIDDEN, NO_ENDPOINT

# "HttpStatus: 403 Urn: urn:li:tag:a, HttpStatus: 403 Urn: …" (`AspectResource.java`)
_NAMED = re.compile(r"Urn: (urn:li:.*?)(?=,? *HttpStatus:|$)", re.DOTALL)


def bisect_refused(batch: Batch, status: int, words: str) -> tuple[list[EncodedEntity], list[Batch]]:
    """What of a batch that was refused with a status and in these words is refused for good, and what is to be tried by
    itself.
    """
    if status == FORBIDDEN and (parcels := named(batch, words)):
        return parcels, without(batch, parcels)
    if batch.proposals > 1 and status not in NO_ENDPOINT:
        return [], halves(batch)
    return batch.entities, []


def halves(batch: Batch) -> list[Batch]:
    """The batch in two, as even as can be: in order, nothing lost. An entity may be cut, so that k bad proposals of n
    are found with at most 2·k·log2(n) requests; a single proposal is given as it is.
    """
    if batch.proposals < 2:
        return [batch]
    room = batch.proposals // 2
    first: list[EncodedEntity] = []
    second: list[EncodedEntity] = []
    for parcel in batch.entities:
        count = len(parcel.proposals)
        if count <= room:
            first.append(parcel)
        elif room > 0:
            first.append(structs.replace(parcel, proposals=parcel.proposals[:room], last=False))
            second.append(structs.replace(parcel, proposals=parcel.proposals[room:]))
        else:
            second.append(parcel)
        room = max(room - count, 0)
    return [_batch(first), _batch(second)]


def named(batch: Batch, words: str) -> list[EncodedEntity]:
    """The parcels of the entities that a refusal for want of privileges (403) names."""
    urns = {urn.strip() for urn in _NAMED.findall(words)}
    return [parcel for parcel in batch.entities if parcel.urn in urns]


def without(batch: Batch, parcels: list[EncodedEntity]) -> list[Batch]:
    """What is left of the batch: one, or none."""
    taken_out = set(map(id, parcels))
    left = [parcel for parcel in batch.entities if id(parcel) not in taken_out]
    return [_batch(left)] if left else []


def _batch(parcels: list[EncodedEntity]) -> Batch:
    proposals = [proposal for parcel in parcels for proposal in parcel.proposals]
    return Batch(parcels, len(proposals), sum(map(len, proposals)) + len(proposals))
