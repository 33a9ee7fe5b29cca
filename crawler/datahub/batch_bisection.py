"""Bisects a refused batch, to find the proposals that DataHub refuses it for: pure.

GMS refuses a batch as a whole for one bad proposal, and mostly does not say which one (`AspectResource.java`).
"""

import re

from msgspec import structs

from crawler.datahub.batching import Batch, EncodedEntity, batch_of
from crawler.http.status_policy import FORBIDDEN, NO_ENDPOINT

# "HttpStatus: 403 Urn: urn:li:tag:a, HttpStatus: 403 Urn: …" (`AspectResource.java`)
_NAMED = re.compile(r"Urn: (urn:li:.*?)(?=,? *HttpStatus:|$)", re.DOTALL)


def bisect_refused(batch: Batch, status: int, answer: str) -> tuple[list[EncodedEntity], list[Batch]]:
    """Return the entities of a refused batch that are refused for good, and the batches that are to be tried instead.

    `status` and `answer` are those of the refusal.
    """
    if status == FORBIDDEN and (entities := named(batch, answer)):
        return entities, without(batch, entities)
    if batch.proposals > 1 and status not in NO_ENDPOINT:
        return [], halves(batch)
    return batch.entities, []


def halves(batch: Batch) -> list[Batch]:
    """Return the batch as two of as many proposals each, in order; a single proposal as it is.

    An entity may be cut, so that k bad proposals of n are found with at most 2·k·log2(n) requests.
    """
    if batch.proposals < 2:
        return [batch]
    room = batch.proposals // 2
    first: list[EncodedEntity] = []
    second: list[EncodedEntity] = []
    for entity in batch.entities:
        count = len(entity.proposals)
        if count <= room:
            first.append(entity)
        elif room > 0:
            first.append(structs.replace(entity, proposals=entity.proposals[:room], last=False))
            second.append(structs.replace(entity, proposals=entity.proposals[room:]))
        else:
            second.append(entity)
        room = max(room - count, 0)
    return [batch_of(first), batch_of(second)]


def named(batch: Batch, answer: str) -> list[EncodedEntity]:
    """Return the entities of the batch that a refusal for lack of privileges (403) names."""
    urns = {urn.strip() for urn in _NAMED.findall(answer)}
    return [entity for entity in batch.entities if entity.urn in urns]


def without(batch: Batch, entities: list[EncodedEntity]) -> list[Batch]:
    """Return a batch of the other entities; none where there are no others."""
    removed = set(map(id, entities))
    left = [entity for entity in batch.entities if id(entity) not in removed]
    return [batch_of(left)] if left else []
