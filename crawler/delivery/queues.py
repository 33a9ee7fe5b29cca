"""Batches on their way to the sink, in queues that keep memory flat and each ordering key in order."""

import asyncio
from collections import deque
from collections.abc import Iterable
from zlib import crc32

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.sinks.protocol import Sink

BATCHES_QUEUED = 1


class SenderQueue:
    """The batches of one sender: written in order, one request at a time.

    `packer` packs entities that have an ordering key. `writing` is what is left of the batch at hand, last part first,
    `cut_off` the part that was being written when the sender was cancelled, `load` the number of batches that are
    queued or being written.
    """

    def __init__(self, packer: Packer | PackerByType) -> None:
        """Begin empty."""
        self.packer = packer
        self.batches: asyncio.Queue[Batch | None] = asyncio.Queue(BATCHES_QUEUED)
        self.writing: list[Batch] = []
        self.cut_off: list[Batch] = []
        self.load = 0

    async def take(self) -> bool:
        """Wait for the next batch and put it into `writing`. Returns False at the end."""
        batch = await self.batches.get()
        if batch is not None:
            self.writing = [batch]
        return batch is not None

    def batch_done(self) -> None:
        """Count the batch at hand as written, or the end as seen."""
        self.load = max(0, self.load - 1)
        self.batches.task_done()

    def drain(self) -> list[Batch]:
        """Remove and return every batch that has not been written. What is being written stays in `writing` too."""
        return [*reversed(self.writing), *_drained(self.batches), *self.packer.flush()]


class SenderQueues:
    """The queues of one sink. What is `put` waits until its batch is full, then for `wait_for_room`."""

    def __init__(self, sink: Sink) -> None:
        """Make one queue for each batch that the sink may write at once."""
        self.all = [SenderQueue(sink.packer()) for _ in range(sink.facts.writers)]
        self._packer = sink.packer()
        self._full: deque[tuple[SenderQueue, Batch]] = deque()
        self._handing_on = asyncio.Lock()

    def put(self, entity: EncodedEntity, ordering_key: str | None) -> None:
        """Pack one entity; those of one ordering key go through one queue."""
        if ordering_key is None:
            self._hand_out(self._packer.add(entity))
        else:
            queue = self.all[crc32(ordering_key.encode(errors="replace")) % len(self.all)]
            self._fill(queue, queue.packer.add(entity))

    def flush(self) -> None:
        """Make batches of all that was put, full or not."""
        self._hand_out(self._packer.flush())
        for queue in self.all:
            self._fill(queue, queue.packer.flush())

    async def wait_for_room(self) -> None:
        """Wait until the full batches have a place in their queues.

        One caller at a time, or a batch could overtake another one of its queue; a batch whose turn is cancelled stays.
        """
        async with self._handing_on:
            while self._full:
                queue, batch = self._full[0]
                await queue.batches.put(batch)
                self._full.popleft()

    async def close(self) -> None:
        """Hand on all that was put and wait until it is written; the senders then end by themselves."""
        self.flush()
        await self.wait_for_room()
        for queue in self.all:
            await queue.batches.put(None)
        for queue in self.all:
            await queue.batches.join()

    def drain(self) -> list[Batch]:
        """Remove and return every batch that was not sent to its end, apart from those that were cut off."""
        queued = [batch for queue in self.all for batch in queue.drain()]
        full = [batch for _, batch in self._full]
        self._full.clear()
        return [*queued, *full, *self._packer.flush()]

    def drain_cut_off(self) -> list[Batch]:
        """Remove and return every batch that was being written when its sender was cancelled: the sink may have it."""
        cut_off = [batch for queue in self.all for batch in queue.cut_off]
        for queue in self.all:
            queue.cut_off.clear()
        return cut_off

    def _fill(self, queue: SenderQueue, batches: list[Batch]) -> None:
        queue.load += len(batches)
        self._full.extend((queue, batch) for batch in batches)

    def _hand_out(self, batches: list[Batch]) -> None:
        """Give batches without ordering key to the queue that has least to do."""
        if not batches:
            return
        if not batches[-1].entities[-1].last:
            # An entity was cut: its pieces stay in one queue, and so in order.
            batches += self._packer.flush()
        self._fill(min(self.all, key=lambda queue: queue.load), batches)


def _drained(batches: asyncio.Queue[Batch | None]) -> Iterable[Batch]:
    while not batches.empty():
        if (batch := batches.get_nowait()) is not None:
            yield batch
