"""Entities as DataHub takes them: metadata change proposals, one an aspect, in the encodings of its ways in.

Each aspect is encoded once; every form of a proposal is put together around those bytes.
"""

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects import Aspect

MAX_ASPECT_BYTES = 5_000_000

_encode = msgspec.json.Encoder().encode


class Entity(msgspec.Struct, frozen=True, gc=False):
    """One entity and all that a crawl says about it. Entities of one `series` reach DataHub in order, one request at
    a time.
    """

    type: str
    urn: str
    aspects: tuple[Aspect, ...]
    series: str | None = None


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An UPSERT of one aspect; `aspect` is its JSON."""

    entity_type: str
    urn: str
    aspect_name: str
    aspect: bytes


class SystemMetadata(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What DataHub's rollback and run history work by. `last_observed` is in ms since epoch."""

    last_observed: int
    run_id: str
    pipeline_name: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Something that DataHub would not take, and why."""

    code: str
    subject: str
    reason: str


def propose(entity: Entity) -> tuple[list[Proposal], list[Refusal]]:
    """The entity's proposals, and what of it DataHub could not take: the whole entity for its URN, or an aspect for
    its size.
    """
    if reason := urns.problem(entity.urn):
        return [], [Refusal("urn", entity.urn, reason)]
    proposals: list[Proposal] = []
    refusals: list[Refusal] = []
    for aspect in entity.aspects:
        data = _encode(aspect)
        if len(data) > MAX_ASPECT_BYTES:
            reason = f"aspect {aspect.NAME} takes {len(data)} bytes, DataHub takes at most {MAX_ASPECT_BYTES}"
            refusals.append(Refusal("aspect_size", entity.urn, reason))
        else:
            proposals.append(Proposal(entity.type, entity.urn, aspect.NAME, data))
    return proposals, refusals


def once_each(proposals: list[Proposal]) -> list[list[Proposal]]:
    """An entity's proposals in order, in as few groups as hold no aspect twice: of two with one name a JSON object
    keeps the last.
    """
    if len({proposal.aspect_name for proposal in proposals}) == len(proposals):
        return [proposals] if proposals else []
    groups: list[list[Proposal]] = [[]]
    for proposal in proposals:
        if any(proposal.aspect_name == other.aspect_name for other in groups[-1]):
            groups.append([])
        groups[-1].append(proposal)
    return groups


class _Text(msgspec.Struct, frozen=True, rename="camel", gc=False):
    value: str
    content_type: str = "application/json"


class _Envelope(msgspec.Struct, frozen=True, rename="camel", gc=False):
    entity_type: str
    entity_urn: str
    change_type: str
    aspect_name: str
    aspect: "_Text | dict[str, msgspec.Raw]"
    system_metadata: msgspec.Raw


def restli(proposal: Proposal, system_metadata: msgspec.Raw) -> bytes:
    """The proposal as `POST /aspects?action=ingestProposalBatch` takes it, and DataHub's file format with nested JSON
    text.
    """
    return _envelope(proposal, _Text(proposal.aspect.decode()), system_metadata)


def simplified(proposal: Proposal, system_metadata: msgspec.Raw) -> bytes:
    """The proposal as DataHub's `file` sink writes it: the aspect as plain JSON."""
    return _envelope(proposal, {"json": msgspec.Raw(proposal.aspect)}, system_metadata)


def encode_system_metadata(system_metadata: SystemMetadata) -> msgspec.Raw:
    """Encoded once a crawl, since it is the same for all proposals."""
    return msgspec.Raw(_encode(system_metadata))


def restli_body(proposals: list[bytes], *, asynchronous: bool) -> bytes:
    """A whole request of encoded proposals; Rest.li wants `async` as a string."""
    return b'{"proposals":[%b],"async":"%b"}' % (b",".join(proposals), b"true" if asynchronous else b"false")


def _envelope(proposal: Proposal, aspect: _Text | dict[str, msgspec.Raw], system_metadata: msgspec.Raw) -> bytes:
    return _encode(
        _Envelope(proposal.entity_type, proposal.urn, "UPSERT", proposal.aspect_name, aspect, system_metadata)
    )
