"""From entities to the sink: checked, encoded, packed, and queued in lanes that keep memory flat and one series in
order. What is refused is taken apart.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from zlib import crc32

from crawler.breaker import Breaker
from crawler.confirmation import Confirmer
from crawler.datahub import apart
from crawler.datahub.batches import Batch, Packer, PackerByType, Parcel
from crawler.datahub.encoding import Encoder, Validator
from crawler.datahub.proposals import Entity, Proposal
from crawler.errors import NotTaken, RequestRefused, ServerError, Unreachable
from crawler.report import CrawlReport
from crawler.settlement import Settlement
from crawler.sinks.sink import Sink

BATCHES_QUEUED = 1
UNKNOWN_ASPECTS = "aspects that this DataHub does not know"
SECONDS_BETWEEN_FLUSHES = 2.0
THROTTLED_ROUNDS = 3
"""Times that a batch is tried through all its retries while others are answered and it is told to come later."""
_GATEWAY_TIMEOUT = 504
_LATER = {408, 425, 429, 503}


class Lane:
    """One batch after the other: what is queued here is written in order, one request at a time. `packer` is for
    series.
    """

    def __init__(self, packer: Packer | PackerByType) -> None:
        self.packer = packer
        self.queue: asyncio.Queue[Batch | None] = asyncio.Queue(BATCHES_QUEUED)
        self.writing: list[Batch] = []
        """What is left of the batch at hand, last part first."""
        self.load = 0
        """Batches that are queued or being written."""
        self.rounds = 0
        """Times that the part at hand was told to come later."""


class Delivery:
    """Takes entities with `add`, hands full batches on with `settle`, the rest with `close`.

    `send` runs once for each lane, beside `confirmer.run`. `validator`, where given, tells why a proposal must not be
    sent.
    """

    def __init__(
        self, sink: Sink, report: CrawlReport, settlement: Settlement, validator: Validator | None = None
    ) -> None:
        self._sink = sink
        self._report = report
        self._settlement = settlement
        self._encoder = Encoder(sink.wire, sink.unsupported, validator)
        self._packer = sink.packer()
        self._breaker = Breaker()
        self.confirmer = Confirmer(sink, report, settlement.confirmed, settlement.unconfirmed)
        self.lanes = [Lane(sink.packer()) for _ in range(sink.lanes)]
        self._full: deque[tuple[Lane, Batch]] = deque()
        self._settling = asyncio.Lock()
        self._flushed_at = _loop_time()

    def add(self, entity: Entity, mark: object = None) -> None:
        """Checks, encodes and packs one entity. What DataHub cannot take is named in the report. `mark` goes along to
        the ledger, where one is kept.
        """
        if not self._settlement.begin(entity.urn, mark):
            return
        parcel, refusals = self._encoder.encode(entity, mark)
        if refusals:
            self._settlement.kept_back(parcel, refusals)
        self._pack(parcel, entity.series)

    def add_proposals(self, proposals: Sequence[Proposal], series: str) -> None:
        """As `add`, of some proposals of one entity, no aspect twice, as they stand. What the sink's DataHub does not
        know is skipped.
        """
        parcel, refusals = self._encoder.encode_proposals(proposals)
        if unknown := len(proposals) - len(parcel.proposals) - sum(len(refusal.proposals) for refusal in refusals):
            self._report.skipped[UNKNOWN_ASPECTS] += unknown
        self._settlement.kept_back(parcel, refusals)
        self._pack(parcel, series)

    async def settle(self) -> None:
        """Waits until the full batches have a place in their lanes: this is what holds reading back.

        One at a time, or a batch could overtake another one in its lane; and a batch whose turn is cut off stays.
        """
        if self._settlement.goes_on_later and _loop_time() - self._flushed_at > SECONDS_BETWEEN_FLUSHES:
            # What waits for a full batch keeps all that was read with it from being done.
            self._flush()
        async with self._settling:
            while self._full:
                lane, batch = self._full[0]
                await lane.queue.put(batch)
                self._full.popleft()

    async def close(self) -> None:
        """Hands on everything that was added; the lanes then end by themselves, and the confirmer when it knows all."""
        self._flush()
        await self.settle()
        for lane in self.lanes:
            await lane.queue.put(None)
        for lane in self.lanes:
            await lane.queue.join()
        self.confirmer.close()

    async def send(self, lane: Lane) -> None:
        """Writes what comes to one lane, until `close`. Errors that end the crawl are raised."""
        while (batch := await lane.queue.get()) is not None:
            lane.writing = [batch]
            while lane.writing:
                await self._write(lane)
            lane.load -= 1
            lane.queue.task_done()
        lane.queue.task_done()

    def abandon(self, reason: str) -> None:
        """Gives up what was added and not delivered, where the crawl ends early."""
        under_way = [batch for lane in self.lanes for batch in (*reversed(lane.writing), *_drained(lane.queue))]
        full = [batch for _, batch in self._full]
        begun = self._packer.flush() + [batch for lane in self.lanes for batch in lane.packer.flush()]
        self._full.clear()
        parcels = [parcel for batch in (*under_way, *full, *begun) for parcel in batch.parcels]
        self._settlement.abandoned([*parcels, *self.confirmer.unconfirmed()], reason)

    async def _write(self, lane: Lane) -> None:
        """Writes the next part of what the lane has at hand."""
        part = lane.writing[-1]
        try:
            await self._sink.write(part)
        except RequestRefused as refused:
            self._refused(lane, part, refused)
        except Unreachable as error:
            if not error.timed_out:
                raise
            # A server that answers others in time was given too much at once.
            self._refused(lane, part, RequestRefused(error.message, error.hint, status=_GATEWAY_TIMEOUT))
        except NotTaken as answer:
            await self._taken(lane, self._settlement.left_out(part, answer))
        else:
            await self._taken(lane, part)

    async def _taken(self, lane: Lane, part: Batch) -> None:
        """The sink has the part that the lane had at hand."""
        self._breaker.taken()
        lane.rounds = 0
        self._report.batches += not self._report.dry_run
        lane.writing.pop()
        await self.confirmer.sent(part)

    def _refused(self, lane: Lane, part: Batch, refused: RequestRefused) -> None:
        """Has what is perhaps not to blame tried again. Raises ServerError where everything is refused."""
        if refused.status in _LATER:
            lane.rounds += 1
            if lane.rounds < THROTTLED_ROUNDS:
                return
        lane.rounds = 0
        given_up, left = apart.taken_apart(part, refused.status, refused.body)
        lane.writing.pop()
        lane.writing += reversed(left)
        self._settlement.refused(given_up, refused)
        for parcel in given_up:
            self.confirmer.refused(parcel, partial(self._settlement.settle, parcel))
        if given_up and not left:
            self._breaker.refused(parcel.entity_type for parcel in given_up)
        if self._breaker.is_open:
            raise ServerError(
                f"DataHub refuses everything: {refused.message}",
                "Mend that, then run it again; with --state, replay the dead letters too.",
            )

    def _flush(self) -> None:
        """Makes batches of all that was added."""
        self._flushed_at = _loop_time()
        self._hand_out(self._packer.flush())
        for lane in self.lanes:
            self._fill(lane, lane.packer.flush())

    def _pack(self, parcel: Parcel, series: str | None) -> None:
        if not parcel.proposals:
            self._settlement.nothing_left(parcel)
            return
        self._report.mapped[parcel.entity_type] += 1
        if series is None:
            self._hand_out(self._packer.add(parcel))
        else:
            lane = self.lanes[crc32(series.encode(errors="replace")) % len(self.lanes)]
            self._fill(lane, lane.packer.add(parcel))

    def _fill(self, lane: Lane, batches: list[Batch]) -> None:
        lane.load += len(batches)
        self._full.extend((lane, batch) for batch in batches)

    def _hand_out(self, batches: list[Batch]) -> None:
        """Gives batches of no series to the lane that has least to do."""
        if not batches:
            return
        if not batches[-1].parcels[-1].last:
            # An entity was cut: its pieces stay in one lane, and so in order.
            batches += self._packer.flush()
        self._fill(min(self.lanes, key=lambda lane: lane.load), batches)


def _drained(queue: asyncio.Queue[Batch | None]) -> Iterable[Batch]:
    while not queue.empty():
        if (batch := queue.get_nowait()) is not None:
            yield batch


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
