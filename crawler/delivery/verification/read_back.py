"""Reads back what DataHub took, beside the crawl, until it is there or given up."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.readback import TIMESERIES
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.verification.lookup import Lookup
from crawler.delivery.verification.patience import OVERTAKEN_WAIT, Patience
from crawler.delivery.verification.queue import PendingVerification, VerificationQueue
from crawler.delivery.verification.spill import Spill, in_segments
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.events import Listener, QueueSeen, Unverified
from crawler.telemetry.findings.delivery import UNVERIFIED_IN_MEMORY

REQUESTS_AT_ONCE = 2
BYTES_AT_ONCE = 4_000_000
"""Of proposals that are looked up at once where each is shown whole."""
MAX_IN_MEMORY = 6_000_000
"""Bytes of proposals that are kept in memory until they are verified; beyond that they go to the disk."""
SECONDS_BETWEEN_OFFSETS = 5.0


class ReadBack:
    """Verifies each piece that is `sent`: `outcomes` hears that it is delivered, or not stored, or not confirmed.

    Run `run` beside the crawl.
    """

    def __init__(
        self,
        store: StoreLookup,
        wire: Wire,
        outcomes: OutcomePublisher,
        listener: Listener,
    ) -> None:
        """Look up in `store`."""
        self._store = store
        self._wire = wire
        self._outcomes = outcomes
        self._listener = listener
        self._lookup = Lookup(store, wire, listener)
        self._unverified = VerificationQueue(BYTES_AT_ONCE if store.each_aspect else None)
        self._spill = Spill(store.max_unconfirmed)
        self._patience = Patience(store.confirm_wait, queued=store.queued)
        self._sent = -1
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def sent(self, batch: Batch) -> None:
        """Add a batch that DataHub took. Waits while neither memory nor the disk has room for more."""
        self._sent += 1
        to_find: list[PendingVerification] = []
        unverifiable: list[EncodedEntity] = []
        for entity in batch.entities:
            wanted = self._proof_of(entity)
            if wanted and not self._lookup.is_switched_off(entity.entity_type):
                size = sum(map(len, entity.proposals))
                # A key aspect is made of the URN and comes without system metadata.
                by_value = f"{entity.entity_type}Key" in wanted
                to_find.append(PendingVerification(entity, wanted, size, self._sent, by_value=by_value))
            else:
                unverifiable.append(entity)
        if unverifiable:
            self._outcomes.delivered(unverifiable, "status")
        if self._keep(to_find):
            self._news.set()
        self._tell()
        while self._spill.is_full:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Look up until `close` and until all is verified or given up. Raises what ends a crawl."""
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow_queue())
            async with asyncio.TaskGroup() as lookups:
                for _ in range(REQUESTS_AT_ONCE):
                    lookups.create_task(self._look_up_all())
            following.cancel()

    def close(self) -> None:
        """Say that nothing more will be sent."""
        self._closed = True
        self._news.set()

    def drain(self) -> Iterator[list[EncodedEntity]]:
        """Remove and yield what is neither verified nor given up, a part at a time."""
        yield self._unverified.drain()
        for pieces in in_segments(self._spill):
            yield [each.entity for each in pieces]

    def forget(self) -> None:
        """Remove all of it, where another crawl sends it again."""
        self._unverified.drain()
        self._spill.close()

    def _keep(self, pieces: list[PendingVerification]) -> bool:
        """Keep pieces in memory, or behind others on the disk. Returns whether something is due earlier than before."""
        if not self._spill and not self._is_memory_full:
            return self._unverified.add(pieces, _now())
        had_problem = bool(self._spill.problem)
        self._spill.add(pieces)
        if self._spill.problem and not had_problem:
            self._listener(UNVERIFIED_IN_MEMORY.found(problem=self._spill.problem))
        return False

    @property
    def _is_memory_full(self) -> bool:
        return self._unverified.bytes > MAX_IN_MEMORY

    def _refill(self) -> None:
        """Have what was sent first looked up, as far as there is room in memory."""
        while self._spill and self._unverified.bytes <= MAX_IN_MEMORY // 2:
            self._unverified.add(self._spill.take(), _now())
        if not self._spill.is_full:
            self._room.set()

    async def _look_up_all(self) -> None:
        while pieces := await self._next():
            await self._look_up(pieces)
            self._news.set()

    async def _next(self) -> list[PendingVerification]:
        """Return what to look up, once it is due; nothing at the end."""
        while True:
            self._refill()
            if self._closed and not self._unverified:
                return []
            hurry = self._closed or bool(self._spill)
            # The loop's timers may be early by its clock's resolution: not to be woken again and again.
            if pieces := self._unverified.take(_now() + 0.001, hurry=hurry):
                return pieces
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._unverified.due(hurry=hurry)):
                    await self._news.wait()

    async def _look_up(self, pieces: list[PendingVerification]) -> None:
        over: list[PendingVerification] = []
        doubtful: list[PendingVerification] = []
        again: list[PendingVerification] = []
        missing = await self._not_found(pieces)
        if missing:
            self._patience.looked(_now())
        for each in missing:
            self._patience.wait(each)
            each.lengthen_pause()
            is_doubtful = self._patience.is_worth_comparing(each)
            (over if self._patience.is_over(each) else doubtful if is_doubtful else again).append(each)
        self._put_back(again)
        if doubtful:
            self._put_back(await self._compare(doubtful))
        if over:
            await self._try_last(over)
            self._outcomes.sync()
        self._tell()

    def _put_back(self, pieces: list[PendingVerification]) -> None:
        """Look up again later. What has been waited for long makes room where others wait on the disk."""
        staying = []
        for each in pieces:
            if self._spill and not self._spill.is_full and each.waited >= OVERTAKEN_WAIT * (each.turns + 1):
                each.turns += 1
                self._unverified.remove([each])
                self._spill.add([each])
            else:
                staying.append(each)
        self._unverified.put_back(staying, _now())

    async def _not_found(self, pieces: list[PendingVerification]) -> list[PendingVerification]:
        """Complete what is there, and what is trusted without proof. Returns the rest."""
        found = await self._lookup.find(pieces)
        stored = -1
        complete: list[PendingVerification] = []
        missing: list[PendingVerification] = []
        for each in pieces:
            urn, wanted = each.entity.urn, each.wanted
            each.wanted = [name for name in wanted if (urn, name) not in found]
            # What only equals an earlier word says nothing about the queue.
            if each.number > stored and len(each.wanted) < len(wanted) and not each.by_value:
                stored = each.number
            (missing if each.wanted else complete).append(each)
        if stored >= 0:
            self._patience.stored(stored)
        self._complete(complete, self._store.verification_method)
        self._complete([each for each in missing if each.unverifiable], "status")
        return [each for each in missing if not each.unverifiable]

    async def _try_last(self, pieces: list[PendingVerification]) -> None:
        """Look up each aspect, also by its value, and write once more what was lost where each counts; then give up."""
        missing = await self._compare(pieces)
        if self._store.each_aspect:
            missing = await self._write_again(missing)
        for each in missing:
            self._unverified.remove([each])
            if self._patience.is_lost(each):
                self._outcomes.not_stored(each.entity, self._missing_of(each), self._store.verification_method)
            else:
                self._outcomes.unconfirmed(each.entity, self._missing_of(each), self._store.verification_method)

    async def _compare(self, pieces: list[PendingVerification]) -> list[PendingVerification]:
        """Complete also what DataHub had before as it was sent now: all aspects must be so. Returns the rest."""
        for each in pieces:
            each.by_value = each.compared = True
            if not self._store.each_aspect:
                each.wanted = self._readable(each.entity)
        missing = await self._not_found(pieces)
        for each in missing:
            each.by_value = False
        return missing

    async def _write_again(self, pieces: list[PendingVerification]) -> list[PendingVerification]:
        """Write what was lost without a queue. Returns what is missing all the same."""
        lost: list[PendingVerification] = []
        others: list[PendingVerification] = []
        for each in pieces:
            (lost if self._patience.is_lost(each) else others).append(each)
        if not lost:
            return others
        await self._store.write_again([each.entity.holding(self._missing_of(each)) for each in lost])
        return [*await self._not_found(lost), *others]

    def _complete(self, pieces: list[PendingVerification], method: str) -> None:
        if pieces:
            self._unverified.remove(pieces)
            self._outcomes.delivered([each.entity for each in pieces], method)

    async def _follow_queue(self) -> None:
        """Learn how far DataHub's queue is while it is waited for."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_OFFSETS)
            if not self._unverified.is_waiting:
                continue
            sent = self._sent
            offsets = await self._store.queue_offsets()
            if offsets is None:
                return
            self._patience.consumed(offsets, sent)
            self._listener(QueueSeen(offsets.lag))

    def _tell(self) -> None:
        self._listener(Unverified(len(self._unverified) + self._spill.entities, self._spill.bytes))

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
