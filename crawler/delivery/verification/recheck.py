"""Holds what an earlier crawl sent against DataHub: what is there need not be sent again."""

from itertools import groupby
from typing import Protocol

import msgspec

from crawler.datahub.batching import EncodedEntity
from crawler.datahub.readback import TIMESERIES
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.verification.lookup import Lookup
from crawler.delivery.verification.queue import AT_ONCE, PendingVerification
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.events import Listener


class _Held(msgspec.Struct, frozen=True, gc=False):
    piece: PendingVerification
    ordering_key: str | None


class Found(Protocol):
    """A function of what is there of an entity, perhaps nothing; what the store does not tell is `unknown`."""

    def __call__(self, there: EncodedEntity, /, *, unknown: bool) -> None:
        """Hear of it."""


class Recheck:
    """Collects entities, looks them up some hundreds at a time, and returns what DataHub does not have."""

    def __init__(self, store: StoreLookup, wire: Wire, found: Found, listener: Listener) -> None:
        """Look up in `store`; `found` hears what is there."""
        self._wire = wire
        self._found = found
        self._lookup = Lookup(store, wire, listener)
        self._held: list[_Held] = []

    def add(self, entity: EncodedEntity, ordering_key: str | None, since: int | None) -> None:
        """Add an entity that a crawl sent which began at `since` (ms since epoch), None where that is not known."""
        names = map(self._wire.aspect_name, entity.proposals)
        wanted = [name for name in names if name not in TIMESERIES]
        # Where the time is not known, only the value tells.
        piece = PendingVerification(entity, wanted, 0, by_value=True, since=_NEVER if since is None else since)
        self._held.append(_Held(piece, ordering_key))

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a lookup."""
        return len(self._held) >= AT_ONCE

    async def missing(self) -> list[tuple[EncodedEntity, str | None]]:
        """Look up and forget all that was added. Returns what is to be sent, with its ordering keys, in order."""
        found: set[tuple[str, str]] = set()
        wanted = [each.piece for each in self._held if each.piece.wanted]
        for _, pieces in groupby(sorted(wanted, key=_kind), key=_kind):
            found |= await self._lookup.find(list(pieces))
        held, self._held = self._held, []
        left = [(self._without(each.piece, found), each.ordering_key) for each in held]
        return [(entity, ordering_key) for entity, ordering_key in left if entity.proposals]

    def drain(self) -> list[EncodedEntity]:
        """Remove and return what was not looked up."""
        held, self._held = self._held, []
        return [each.piece.entity for each in held]

    def _without(self, piece: PendingVerification, found: set[tuple[str, str]]) -> EncodedEntity:
        """Complete what is there. Returns the rest; what cannot be looked up is where all else is."""
        entity = piece.entity
        missing = {name for name in piece.wanted if (entity.urn, name) not in found}
        if len(missing) == len(piece.wanted):
            self._found(entity.holding([]), unknown=piece.unverifiable)
            return entity
        there: list[bytes] = []
        rest: list[bytes] = []
        for encoded in entity.proposals:
            (rest if self._wire.aspect_name(encoded) in missing else there).append(encoded)
        self._found(entity.holding(there), unknown=piece.unverifiable)
        return entity.holding(rest)


_NEVER = 2**63 - 1


def _kind(piece: PendingVerification) -> tuple[str, int]:
    """Return what pieces must share to be looked up at once."""
    return piece.entity.entity_type, piece.since or 0
