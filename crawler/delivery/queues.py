"""Batches on their way to the sink: packed, and queued in lanes that keep memory flat and one ordering_key in order."""

import asyncio
from collections import deque
from collections.abc import Iterable
from zlib import crc32

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.sinks.protocol import Sink

BATCHES_QUEUED = 1


class Lane:
    """One batch after the other: what is queued here is written in order, one request at a time. `packer` is for
    ordering_key.
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


class Lanes:
    """The lanes of one sink. What is `put` waits until its batch is full, then for `settle`."""

    def __init__(self, sink: Sink) -> None:
        self.all = [Lane(sink.packer()) for _ in range(sink.facts.writers)]
        self._packer = sink.packer()
        self._full: deque[tuple[Lane, Batch]] = deque()
        self._settling = asyncio.Lock()

    def put(self, parcel: EncodedEntity, ordering_key: str | None) -> None:
        """Packs one entity; those of one ordering_key go through one lane."""
        if ordering_key is None:
            self._hand_out(self._packer.add(parcel))
        else:
            lane = self.all[crc32(ordering_key.encode(errors="replace")) % len(self.all)]
            self._fill(lane, lane.packer.add(parcel))

    def flush(self) -> None:
        """Makes batches of all that was put, full or not."""
        self._hand_out(self._packer.flush())
        for lane in self.all:
            self._fill(lane, lane.packer.flush())

    async def settle(self) -> None:
        """Waits until the full batches have a place in their lanes.

        One at a time, or a batch could overtake another one in its lane; and a batch whose turn is cut off stays.
        """
        async with self._settling:
            while self._full:
                lane, batch = self._full[0]
                await lane.queue.put(batch)
                self._full.popleft()

    async def close(self) -> None:
        """Hands on all that was put, and waits until it is written; the lanes then end by themselves."""
        self.flush()
        await self.settle()
        for lane in self.all:
            await lane.queue.put(None)
        for lane in self.all:
            await lane.queue.join()

    def drain(self) -> list[Batch]:
        """What is not written. It is no more kept, but for what is being written."""
        under_way = [batch for lane in self.all for batch in (*reversed(lane.writing), *_drained(lane.queue))]
        full = [batch for _, batch in self._full]
        begun = self._packer.flush() + [batch for lane in self.all for batch in lane.packer.flush()]
        self._full.clear()
        return [*under_way, *full, *begun]

    def _fill(self, lane: Lane, batches: list[Batch]) -> None:
        lane.load += len(batches)
        self._full.extend((lane, batch) for batch in batches)

    def _hand_out(self, batches: list[Batch]) -> None:
        """Gives batches of no ordering_key to the lane that has least to do."""
        if not batches:
            return
        if not batches[-1].entities[-1].last:
            # An entity was cut: its pieces stay in one lane, and so in order.
            batches += self._packer.flush()
        self._fill(min(self.all, key=lambda lane: lane.load), batches)


def _drained(queue: asyncio.Queue[Batch | None]) -> Iterable[Batch]:
    while not queue.empty():
        if (batch := queue.get_nowait()) is not None:
            yield batch
