"""Reads back what DataHub took, beside the crawl, until it is there or given up."""

import asyncio
from contextlib import suppress

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.readback import TIMESERIES
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.verification.lookup import Lookup
from crawler.delivery.verification.queue import LONGEST_PAUSE, PendingVerification, VerificationQueue
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.events import Listener

REQUESTS_AT_ONCE = 2
BYTES_AT_ONCE = 4_000_000
"""Of proposals that are looked up at once where each is shown whole."""
MAX_UNVERIFIED = 8_000_000
"""Bytes of proposals that are kept until they are verified; beyond that writing waits."""
PATIENCE = 60.0
"""Seconds of pauses that DataHub's queue is waited for while nothing at all comes out of it."""
PATIENCE_UNQUEUED = 2.0


class ReadBack:
    """Verifies each piece that is `sent`: `outcomes` hears that it is delivered, or what of it is not stored.

    Run `run` beside the crawl.
    """

    def __init__(self, store: StoreLookup, wire: Wire, outcomes: OutcomePublisher, listener: Listener) -> None:
        """Look up in `store`."""
        self._store = store
        self._wire = wire
        self._outcomes = outcomes
        self._lookup = Lookup(store, listener)
        self._unverified = VerificationQueue(BYTES_AT_ONCE if store.each_aspect else None)
        self._found = 0
        self._patience = self._longest_patience
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def sent(self, batch: Batch) -> None:
        """Add a batch that DataHub took. Waits while too much is unverified."""
        to_find: list[PendingVerification] = []
        unverifiable: list[EncodedEntity] = []
        for entity in batch.entities:
            wanted = self._proof_of(entity)
            if wanted and not self._lookup.is_switched_off(entity.entity_type):
                to_find.append(PendingVerification(entity, wanted, sum(map(len, entity.proposals))))
            else:
                unverifiable.append(entity)
        is_news = self._unverified.add(to_find, _now())
        if unverifiable:
            self._outcomes.delivered(unverifiable, "status")
        if is_news or self._is_full:
            self._news.set()
        while self._is_full:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Look up until `close` and until all is verified or given up. Raises what ends a crawl."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(REQUESTS_AT_ONCE):
                tasks.create_task(self._look_up_all())

    def close(self) -> None:
        """Say that nothing more will be sent."""
        self._closed = True
        self._news.set()

    def drain(self) -> list[EncodedEntity]:
        """Remove and return what is neither verified nor given up."""
        return self._unverified.drain()

    @property
    def _is_full(self) -> bool:
        return self._unverified.bytes > MAX_UNVERIFIED

    @property
    def _longest_patience(self) -> float:
        return PATIENCE if self._store.queued else PATIENCE_UNQUEUED

    @property
    def _method(self) -> str:
        return "stored" if self._store.each_aspect else "read back"

    async def _look_up_all(self) -> None:
        while pieces := await self._next():
            await self._look_up(pieces)
            self._news.set()

    async def _next(self) -> list[PendingVerification]:
        """Return what to look up, once it is due; nothing at the end."""
        while self._unverified or not self._closed:
            hurry = self._closed or self._is_full
            # The loop's timers may be early by its clock's resolution: not to be woken again and again.
            if pieces := self._unverified.take(_now() + 0.001, hurry=hurry):
                return pieces
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._unverified.due(hurry=hurry)):
                    await self._news.wait()
        return []

    async def _look_up(self, pieces: list[PendingVerification]) -> None:
        overdue: list[PendingVerification] = []
        again: list[PendingVerification] = []
        for each in await self._not_found(pieces):
            each.wait(self._found)
            (again if each.waited < self._patience else overdue).append(each)
        self._unverified.put_back(again, _now())
        if overdue:
            await self._try_last(overdue)

    async def _not_found(self, pieces: list[PendingVerification]) -> list[PendingVerification]:
        """Complete what is there, and what is trusted without proof. Returns the rest."""
        found = await self._lookup.find(pieces)
        is_any_found = False
        for each in pieces:
            wanted = [name for name in each.wanted if (each.entity.urn, name) not in found]
            is_any_found |= len(wanted) < len(each.wanted)
            each.wanted = wanted
        if is_any_found:
            self._found += 1
            self._patience = self._longest_patience
        self._complete([each for each in pieces if not each.wanted], self._method)
        missing = [each for each in pieces if each.wanted]
        self._complete([each for each in missing if each.unverifiable], "status")
        return [each for each in missing if not each.unverifiable]

    async def _try_last(self, pieces: list[PendingVerification]) -> None:
        """Write once more what is missing where each aspect counts, else look up each aspect; then give up."""
        if self._store.each_aspect:
            await self._store.write_again([each.entity.holding(self._missing_of(each)) for each in pieces])
        else:
            for each in pieces:
                each.wanted = self._readable(each.entity)
        missing = await self._not_found(pieces)
        if missing:
            # A queue that stands still costs each further part of a crawl less time.
            self._patience = max(self._patience / 2, min(LONGEST_PAUSE, self._longest_patience))
        for each in missing:
            self._unverified.remove([each])
            self._outcomes.not_stored(each.entity, self._missing_of(each), self._method)
            self._make_room()

    def _complete(self, pieces: list[PendingVerification], method: str) -> None:
        if not pieces:
            return
        self._unverified.remove(pieces)
        self._outcomes.delivered([each.entity for each in pieces], method)
        self._make_room()

    def _make_room(self) -> None:
        if not self._is_full:
            self._room.set()

    def _proof_of(self, entity: EncodedEntity) -> list[str]:
        """Return the aspects that prove the piece: all, or its shortest."""
        if self._store.each_aspect:
            return self._readable(entity)
        for proposal in sorted(entity.proposals, key=len):
            if (name := self._wire.aspect_name(proposal)) not in TIMESERIES:
                return [name]
        return []

    def _readable(self, entity: EncodedEntity) -> list[str]:
        return [name for name in map(self._wire.aspect_name, entity.proposals) if name not in TIMESERIES]

    def _missing_of(self, piece: PendingVerification) -> list[bytes]:
        """Return the proposals that were not found, with those that cannot be looked up where none was found."""
        names = set(piece.wanted)
        if names.issuperset(self._readable(piece.entity)):
            names |= TIMESERIES
        return [proposal for proposal in piece.entity.proposals if self._wire.aspect_name(proposal) in names]


def _now() -> float:
    return asyncio.get_running_loop().time()
