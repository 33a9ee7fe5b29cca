"""From entities to the sink: checked, encoded, packed, and queued in lanes that keep memory flat and one series in
order.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from zlib import crc32

from crawler.datahub.batches import Batch, Packer, PackerByType
from crawler.datahub.encoding import Encoder, Validator
from crawler.datahub.proposals import Entity
from crawler.errors import NotTaken, RequestRefused
from crawler.report import SAMPLES, CrawlReport
from crawler.sinks.sink import Sink

BATCHES_QUEUED = 1

REASONS = {
    "urn": "DataHub takes no such URN, so the entity was not sent. Rename it in MLflow.",
    "aspect_size": "An aspect is larger than DataHub's Kafka takes, so it was not sent.",
    "invalid": "acryl-datahub refuses a proposal (--validate), so it was not sent. Please report this.",
}


class Lane:
    """One batch after the other: what is queued here is written in order, one request at a time. `packer` is for
    series.
    """

    def __init__(self, packer: Packer | PackerByType) -> None:
        self.packer = packer
        self.queue: asyncio.Queue[Batch | None] = asyncio.Queue(BATCHES_QUEUED)
        self.load = 0
        """Batches that are queued or being written."""


class Delivery:
    """Takes entities with `add`, hands full batches on with `settle`, the rest with `close`.

    `send` runs once for each lane. `validator`, where given, tells why a proposal must not be sent.
    """

    def __init__(self, sink: Sink, report: CrawlReport, validator: Validator | None = None) -> None:
        self._sink = sink
        self._report = report
        self._encoder = Encoder(sink.wire, sink.unsupported, validator)
        self._packer = sink.packer()
        self.lanes = [Lane(sink.packer()) for _ in range(sink.lanes)]
        self._full: deque[tuple[Lane, Batch]] = deque()
        self._settling = asyncio.Lock()

    def add(self, entity: Entity) -> None:
        """Checks, encodes and packs one entity. What DataHub cannot take is named in the report."""
        parcel, refusals = self._encoder.encode(entity)
        for refusal in refusals:
            self._report.rejected += 1
            self._report.fail(refusal.code, REASONS[refusal.code], f"{refusal.subject}: {refusal.reason}")
        if not parcel.proposals:
            return
        self._report.mapped[entity.type] += 1
        if entity.series is None:
            self._hand_out(self._packer.add(parcel))
        else:
            lane = self.lanes[crc32(entity.series.encode(errors="replace")) % len(self.lanes)]
            self._fill(lane, lane.packer.add(parcel))

    async def settle(self) -> None:
        """Waits until the full batches have a place in their lanes: this is what holds reading back.

        One at a time, or a batch could overtake another one in its lane; and a batch whose turn is cut off stays.
        """
        async with self._settling:
            while self._full:
                lane, batch = self._full[0]
                await lane.queue.put(batch)
                self._full.popleft()

    async def close(self) -> None:
        """Hands on everything that was added; the lanes then end by themselves."""
        self._hand_out(self._packer.flush())
        for lane in self.lanes:
            self._fill(lane, lane.packer.flush())
        await self.settle()
        for lane in self.lanes:
            await lane.queue.put(None)

    async def send(self, lane: Lane) -> None:
        """Writes what comes to one lane, until `close`. Errors that end the crawl are raised."""
        while (batch := await lane.queue.get()) is not None:
            try:
                await self._sink.write(batch)
            except RequestRefused as refused:
                self._batch_refused(batch, refused)
            except NotTaken as answer:
                self._delivered(batch, answer.items)
                self._left_out(answer)
            else:
                self._delivered(batch)
            lane.load -= 1

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

    def _delivered(self, batch: Batch, left_out: Sequence[tuple[str, str]] = ()) -> None:
        if self._report.dry_run:
            return
        self._report.batches += 1
        self._report.proposals += batch.proposals - len(left_out)
        incomplete = {urn for urn, _ in left_out}
        self._report.delivered.update(
            parcel.entity_type for parcel in batch.parcels if parcel.last and parcel.urn not in incomplete
        )

    def _left_out(self, answer: NotTaken) -> None:
        self._report.rejected += len(answer.items)
        for urn, aspect in answer.items:
            self._report.fail(answer.code, str(answer), f"{urn}: {aspect}")

    def _batch_refused(self, batch: Batch, refused: RequestRefused) -> None:
        self._report.rejected += batch.proposals
        code, message = f"batch_refused_{refused.status}", f"DataHub refused batches with status {refused.status}."
        for parcel in batch.parcels[:SAMPLES]:
            self._report.fail(code, message, f"{parcel.urn}: {refused.answer or refused.message}", count=0)
        self._report.fail(code, message, count=batch.proposals)
