"""From entities to the bytes of their proposals, checked: pure.

Many entities have equal aspects, such as the platform, the subtype and the container of a run. The mapping gives them
the same object, so its bytes are remembered by its id.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.pending import Ack, Pending
from crawler.datahub.proposals import Entity, Proposal, Refusal
from crawler.datahub.wire.protocol import Wire

MAX_ASPECT_BYTES = 5_000_000
REMEMBERED = 1_024
"""Aspects of one entity type that are remembered."""

Validator = Callable[[Proposal], str | None]
"""Returns why a proposal must not be sent, or None."""


class Encoder:
    """Encodes entities for one wire, without the (entity type, aspect) pairs that are `unsupported`."""

    def __init__(
        self, wire: Wire, unsupported: Collection[tuple[str, str]] = (), validator: Validator | None = None
    ) -> None:
        self._wire = wire
        self._unsupported = unsupported
        self._validator = validator
        self._remembered: defaultdict[str, dict[int, tuple[Aspect, bytes]]] = defaultdict(dict)

    def encode(self, entity: Entity, ack: Ack | None = None) -> tuple[EncodedEntity, list[Refusal]]:
        """Encode one entity. Return it, and what of it DataHub could not take: all of it for its URN, or an aspect."""
        proposals: list[bytes] = []
        refusals: list[Refusal] = []
        if reason := urns.problem(entity.urn):
            refusals.append(self.refused(entity, "urn", reason))
        else:
            key = self._wire.encode_entity_key(entity.type, entity.urn)
            remembered = self._remembered[entity.type]
            for aspect in entity.aspects:
                known = remembered.get(id(aspect)) if aspect.REPEATS else None
                encoded = self._encode_aspect(aspect, entity, refusals) if known is None else known[1]
                if encoded:
                    proposals.append(key + encoded)
        pending = Pending(len(proposals), ack=ack, is_removal=entity.is_removal)
        return EncodedEntity(entity.type, entity.urn, proposals, True, pending), refusals

    def refused(self, entity: Entity, code: str, reason: str) -> Refusal:
        """Return the refusal of an entity of which nothing is to be sent."""
        return Refusal(code, entity.urn, reason, [self._proposal(entity, each) for each in entity.aspects])

    def encode_proposals(self, proposals: Sequence[Proposal]) -> tuple[EncodedEntity, list[Refusal]]:
        """Encode proposals of one entity, no aspect twice, whose JSON is sent as it is; return the same as `encode`."""
        entity_type, urn = proposals[0].entity_type, proposals[0].urn
        encoded = EncodedEntity(entity_type, urn, [])
        if reason := urns.problem(urn, entity_type):
            return encoded, [Refusal("urn", urn, reason, list(proposals))]
        refusals: list[Refusal] = []
        key = self._wire.encode_entity_key(entity_type, urn)
        for proposal in proposals:
            if (entity_type, proposal.aspect_name) in self._unsupported:
                continue
            if len(proposal.aspect) > MAX_ASPECT_BYTES:
                refusals.append(_too_large(proposal))
            elif self._validator is not None and (problem := self._validator(proposal)):
                refusals.append(Refusal("invalid", urn, problem, [proposal]))
            else:
                encoded.proposals.append(key + self._wire.encode_aspect(proposal.aspect_name, proposal.aspect))
        encoded.pending.outstanding = len(encoded.proposals)
        return encoded, refusals

    def _encode_aspect(self, aspect: Aspect, entity: Entity, refusals: list[Refusal]) -> bytes:
        """Return the aspect's bytes; none where it is not to be sent."""
        if self._unsupported and (entity.type, aspect.NAME) in self._unsupported:
            return b""
        data = aspect.to_json()
        if len(data) > MAX_ASPECT_BYTES:
            refusals.append(_too_large(self._proposal(entity, aspect)))
            return b""
        encoded = self._wire.encode_aspect(aspect.NAME, data)
        if self._validator is None:
            if aspect.REPEATS:
                self._remember(aspect, encoded, self._remembered[entity.type])
        elif problem := self._validator(proposal := self._proposal(entity, aspect)):
            refusals.append(Refusal("invalid", entity.urn, problem, [proposal]))
            return b""
        return encoded

    def _proposal(self, entity: Entity, aspect: Aspect) -> Proposal:
        return Proposal(entity.type, entity.urn, aspect.NAME, aspect.to_json())

    def _remember(self, aspect: Aspect, encoded: bytes, remembered: dict[int, tuple[Aspect, bytes]]) -> None:
        if len(remembered) == REMEMBERED:
            remembered.clear()
        # Kept with the aspect itself, whose id is no other's as long as it lives.
        remembered[id(aspect)] = (aspect, encoded)


def _too_large(proposal: Proposal) -> Refusal:
    size = len(proposal.aspect)
    reason = f"aspect {proposal.aspect_name} takes {size} bytes, DataHub takes at most {MAX_ASPECT_BYTES}"
    return Refusal("aspect_size", proposal.urn, reason, [proposal])
