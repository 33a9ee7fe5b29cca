"""From entities to the bytes of their proposals: checked, each aspect encoded once, pure.

A crawl says some things again and again, such as the platform, the subtype and the container of each run. These are the
same objects each time, so what they come to on the wire is remembered.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects import Aspect
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.pending import Ack, Pending
from crawler.datahub.proposals import Entity, Proposal, Refusal
from crawler.datahub.wire.protocol import Wire

MAX_ASPECT_BYTES = 5_000_000
REMEMBERED = 1_024

_encode = msgspec.json.Encoder().encode

Validator = Callable[[Proposal], str | None]
"""Tells why a proposal must not be sent, or None."""


class Encoder:
    """Makes parcels of entities for one wire, without the (entity type, aspect) that are `unsupported`."""

    def __init__(
        self, wire: Wire, unsupported: Collection[tuple[str, str]] = (), validator: Validator | None = None
    ) -> None:
        self._wire = wire
        self._unsupported = unsupported
        self._validator = validator
        self._remembered: defaultdict[str, dict[int, tuple[Aspect, bytes]]] = defaultdict(dict)

    def encode(self, entity: Entity, ack: Ack | None = None) -> tuple[EncodedEntity, list[Refusal]]:
        """Encode one entity. Returns its proposals, and what of it DataHub could not take: all of it for its URN, or
        an aspect.
        """
        parcel = EncodedEntity(entity.type, entity.urn, [], True, Pending(ack=ack))
        if reason := urns.problem(entity.urn):
            return parcel, [
                Refusal("urn", entity.urn, reason, [self._proposal(entity, each) for each in entity.aspects])
            ]
        refusals: list[Refusal] = []
        head = self._wire.encode_entity_key(entity.type, entity.urn)
        remembered = self._remembered[entity.type]
        for aspect in entity.aspects:
            known = remembered.get(id(aspect))
            tail = self._tail(aspect, entity, refusals) if known is None else known[1]
            if tail:
                parcel.proposals.append(head + tail)
        parcel.pending.outstanding = len(parcel.proposals)
        return parcel, refusals

    def encode_proposals(self, proposals: Sequence[Proposal]) -> tuple[EncodedEntity, list[Refusal]]:
        """As `encode`, of proposals of one entity, no aspect twice, whose JSON is sent as it stands."""
        entity_type, urn = proposals[0].entity_type, proposals[0].urn
        parcel = EncodedEntity(entity_type, urn, [])
        if reason := urns.problem(urn, entity_type):
            return parcel, [Refusal("urn", urn, reason, list(proposals))]
        refusals: list[Refusal] = []
        head = self._wire.encode_entity_key(entity_type, urn)
        for proposal in proposals:
            if (entity_type, proposal.aspect_name) in self._unsupported:
                continue
            if len(proposal.aspect) > MAX_ASPECT_BYTES:
                refusals.append(_too_large(proposal))
            elif self._validator is not None and (problem := self._validator(proposal)):
                refusals.append(Refusal("invalid", urn, problem, [proposal]))
            else:
                parcel.proposals.append(head + self._wire.encode_aspect(proposal.aspect_name, proposal.aspect))
        parcel.pending.outstanding = len(parcel.proposals)
        return parcel, refusals

    def _tail(self, aspect: Aspect, entity: Entity, refusals: list[Refusal]) -> bytes:
        """Empty for what is not to be sent."""
        if self._unsupported and (entity.type, aspect.NAME) in self._unsupported:
            return b""
        data = _encode(aspect)
        if len(data) > MAX_ASPECT_BYTES:
            refusals.append(_too_large(self._proposal(entity, aspect)))
            return b""
        tail = self._wire.encode_aspect(aspect.NAME, data)
        if self._validator is None:
            if aspect.REPEATS:
                self._remember(aspect, tail, self._remembered[entity.type])
        elif problem := self._validator(proposal := self._proposal(entity, aspect)):
            refusals.append(Refusal("invalid", entity.urn, problem, [proposal]))
            return b""
        return tail

    def _proposal(self, entity: Entity, aspect: Aspect) -> Proposal:
        return Proposal(entity.type, entity.urn, aspect.NAME, _encode(aspect))

    def _remember(self, aspect: Aspect, tail: bytes, remembered: dict[int, tuple[Aspect, bytes]]) -> None:
        if len(remembered) == REMEMBERED:
            remembered.clear()
        # Kept with the aspect itself, whose id is no other's as long as it lives.
        remembered[id(aspect)] = (aspect, tail)


def _too_large(proposal: Proposal) -> Refusal:
    size = len(proposal.aspect)
    reason = f"aspect {proposal.aspect_name} takes {size} bytes, DataHub takes at most {MAX_ASPECT_BYTES}"
    return Refusal("aspect_size", proposal.urn, reason, [proposal])
