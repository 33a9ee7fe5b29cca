"""Entities and the metadata change proposals that write them, one for each aspect."""

import msgspec

from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.entities import REMOVED


class Entity(msgspec.Struct, frozen=True, gc=False):
    """One entity with all aspects that a crawl writes, each at most once.

    Entities of one `ordering_key` reach DataHub in order, one request at a time.

    Example:
        async with open_entities(load("recipe.yml")) as entities:
            async for entity in entities:
                print(entity.urn, [aspect.NAME for aspect in entity.aspects])
    """

    type: str
    urn: str
    aspects: tuple[Aspect, ...]
    ordering_key: str | None = None
    note: bytes = b""
    """What a state keeps of it, for the next crawl, once all of it was delivered."""

    @property
    def is_removal(self) -> bool:
        """Whether it only marks the entity as removed."""
        return self.aspects is _REMOVAL


_REMOVAL: tuple[Aspect, ...] = (REMOVED,)


def removal_of(entity_type: str, urn: str) -> Entity:
    """Return the entity that marks another one as removed: DataHub keeps it, but shows it no more."""
    return Entity(entity_type, urn, _REMOVAL)


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An UPSERT of one aspect; `aspect` is its JSON."""

    entity_type: str
    urn: str
    aspect_name: str
    aspect: bytes


NO_RUN_ID = "no-run-id-provided"
"""The run id that DataHub gives to what comes without one."""


class SystemMetadata(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What DataHub's rollback and run history work by."""

    last_observed: int
    """In ms since epoch."""
    run_id: str
    pipeline_name: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Something that DataHub would not take, why, and the proposals that are not sent for it."""

    code: str
    """Of the finding: "urn", "aspect_size", "invalid" or "transformer"."""
    subject: str
    reason: str
    proposals: list[Proposal]


def encode_system_metadata(system_metadata: SystemMetadata) -> msgspec.Raw:
    """Encode the system metadata, once a crawl: it is the same for all proposals."""
    return msgspec.Raw(msgspec.json.encode(system_metadata))
