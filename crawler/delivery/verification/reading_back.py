"""Reads back what DataHub took, beside the crawl, until it is there or given up."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.readback import TIMESERIES
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.verification.lookup import Lookup
from crawler.delivery.verification.pending import LONGEST_PAUSE, PendingVerifications, Sent
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.report import CrawlReport

REQUESTS_AT_ONCE = 2
BYTES_AT_ONCE = 4_000_000
"""Of proposals that are asked for at once where each is shown whole."""
MAX_UNCONFIRMED = 8_000_000
"""Bytes of proposals that are kept until they are confirmed; beyond that writing waits."""
PATIENCE = 60.0
"""Seconds of pauses that DataHub's queue is waited for while nothing at all comes out of it."""
PATIENCE_UNQUEUED = 2.0

MISSING = (
    "DataHub took these, but does not have them. The log of its GMS or MCE consumer tells why; mend that, then replay "
    "the dead letters."
)

Confirmed = Callable[[Sequence[EncodedEntity], str], None]
"""Gets what arrived, and how that is known."""
Missing = Callable[[EncodedEntity, Sequence[bytes]], None]
"""Gets a parcel and those of its proposals that did not arrive."""


class ReadingBack:
    """Of one crawl, as Confirmer says."""

    def __init__(
        self, store: StoreLookup, wire: Wire, report: CrawlReport, confirmed: Confirmed, missing: Missing
    ) -> None:
        self._store = store
        self._wire = wire
        self._report = report
        self._confirmed = confirmed
        self._missing = missing
        self._how = "stored" if store.each_aspect else "read back"
        self._inquiry = Lookup(store, report)
        self._unconfirmed = PendingVerifications(BYTES_AT_ONCE if store.each_aspect else None)
        self._found = 0
        self._longest_patience = PATIENCE if store.queued else PATIENCE_UNQUEUED
        self._patience = self._longest_patience
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def sent(self, batch: Batch) -> None:
        """DataHub took the batch. Waits while too much is unconfirmed."""
        to_find: list[Sent] = []
        untold: list[EncodedEntity] = []
        for parcel in batch.entities:
            wanted = self._wanted(parcel)
            if wanted and not self._inquiry.is_refused(parcel.entity_type):
                to_find.append(Sent(parcel, wanted, sum(map(len, parcel.proposals))))
            else:
                untold.append(parcel)
        is_news = self._unconfirmed.add(to_find, _now())
        if untold:
            self._confirmed(untold, "status")
        if is_news or self._is_full:
            self._news.set()
        while self._is_full:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Until `close` and all is settled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(REQUESTS_AT_ONCE):
                tasks.create_task(self._read_back())

    def close(self) -> None:
        """Nothing more will be sent."""
        self._closed = True
        self._news.set()

    def drain(self) -> list[EncodedEntity]:
        """What is not settled. It is no more kept."""
        return self._unconfirmed.drain()

    @property
    def _is_full(self) -> bool:
        return self._unconfirmed.bytes > MAX_UNCONFIRMED

    async def _read_back(self) -> None:
        while sent := await self._next():
            await self._ask(sent)
            self._news.set()

    async def _next(self) -> list[Sent]:
        """What to ask for, once it is due; nothing at the end."""
        while self._unconfirmed or not self._closed:
            hurry = self._closed or self._is_full
            # The loop's timers may be early by its clock's resolution: not to be woken again and again.
            if sent := self._unconfirmed.take(_now() + 0.001, hurry=hurry):
                return sent
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._unconfirmed.due(hurry=hurry)):
                    await self._news.wait()
        return []

    async def _ask(self, sent: list[Sent]) -> None:
        given_up: list[Sent] = []
        again: list[Sent] = []
        for each in await self._not_found(sent):
            each.wait(self._found)
            (again if each.waited < self._patience else given_up).append(each)
        self._unconfirmed.put_back(again, _now())
        if given_up:
            await self._give_up(given_up)

    async def _not_found(self, sent: list[Sent]) -> list[Sent]:
        """Confirms what is there, and what that cannot be told of; gives the rest."""
        found = await self._inquiry.find(sent)
        is_any_found = False
        for each in sent:
            wanted = [name for name in each.wanted if (each.parcel.urn, name) not in found]
            is_any_found |= len(wanted) < len(each.wanted)
            each.wanted = wanted
        if is_any_found:
            self._found += 1
            self._patience = self._longest_patience
        self._settle([each for each in sent if not each.wanted], self._how)
        missing = [each for each in sent if each.wanted]
        self._settle([each for each in missing if each.untold], "status")
        return [each for each in missing if not each.untold]

    async def _give_up(self, sent: list[Sent]) -> None:
        """The last try: what is missing is written once more where each aspect counts, else told exactly."""
        if self._store.each_aspect:
            await self._store.write_again([each.parcel.holding(self._not_there(each)) for each in sent])
        else:
            for each in sent:
                each.wanted = self._readable(each.parcel)
        missing = await self._not_found(sent)
        if missing:
            # A queue that stands still costs each further part of a crawl less time.
            self._patience = max(self._patience / 2, min(LONGEST_PAUSE, self._longest_patience))
        for each in missing:
            self._miss(each)

    def _miss(self, sent: Sent) -> None:
        parcel, lost = sent.parcel, self._not_there(sent)
        names = ", ".join(map(self._wire.aspect_name, lost))
        self._report.fail("unconfirmed", MISSING, f"{parcel.urn}: {names}", len(lost))
        self._unconfirmed.settle([sent])
        self._missing(parcel, lost)
        self._make_room()

    def _settle(self, sent: list[Sent], how: str) -> None:
        if not sent:
            return
        self._unconfirmed.settle(sent)
        self._confirmed([each.parcel for each in sent], how)
        self._make_room()

    def _make_room(self) -> None:
        if not self._is_full:
            self._room.set()

    def _wanted(self, parcel: EncodedEntity) -> list[str]:
        """The aspects that prove the parcel."""
        if self._store.each_aspect:
            return self._readable(parcel)
        for proposal in sorted(parcel.proposals, key=len):
            if (name := self._wire.aspect_name(proposal)) not in TIMESERIES:
                return [name]
        return []

    def _readable(self, parcel: EncodedEntity) -> list[str]:
        return [name for name in map(self._wire.aspect_name, parcel.proposals) if name not in TIMESERIES]

    def _not_there(self, sent: Sent) -> list[bytes]:
        """The proposals that were not found. What cannot be read back goes with the others where none of them was."""
        names = set(sent.wanted)
        if names.issuperset(self._readable(sent.parcel)):
            names |= TIMESERIES
        return [proposal for proposal in sent.parcel.proposals if self._wire.aspect_name(proposal) in names]


def _now() -> float:
    return asyncio.get_running_loop().time()
