"""Between mapping and sink: order within a series, nothing lost when reading is cut off, each entity counted once."""

import asyncio
from itertools import count, pairwise
from types import TracebackType
from typing import Self

from crawler.datahub.aspects import NOT_REMOVED, SubTypes
from crawler.datahub.batches import Batch
from crawler.datahub.proposals import Entity, Proposal
from crawler.delivery import Delivery
from crawler.report import CrawlReport


class SlowSink:
    """Keeps what it gets, giving others a turn before each batch."""

    lanes = 1
    max_bytes = 10**6
    unsupported: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, max_proposals: int = 1) -> None:
        self.max_proposals = max_proposals
        self.urns: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def encode(self, proposal: Proposal) -> bytes:
        return proposal.urn.encode()

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        self.urns += [parcel.urn for parcel in batch.parcels]


def entity(number: int) -> Entity:
    return Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,), series="model")


async def test_a_series_keeps_its_order_although_many_readers_settle_at_once() -> None:
    sink = SlowSink()
    delivery, numbers = Delivery(sink, CrawlReport("r")), count()

    async def reader(turns: int) -> None:
        for _ in range(100):
            delivery.add(entity(next(numbers)))
            await delivery.settle()
            for _ in range(turns):
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        await asyncio.gather(*(reader(turns) for turns in range(4)))
        await delivery.close()
    assert len(sink.urns) == 400
    assert all(earlier < later for earlier, later in pairwise(sink.urns))


async def test_what_was_added_is_delivered_although_its_reader_is_cut_off() -> None:
    sink, report = SlowSink(), CrawlReport("r")
    delivery = Delivery(sink, report)

    async def reader() -> None:
        for number in range(20):
            delivery.add(entity(number))
            await delivery.settle()

    reading = asyncio.create_task(reader())
    for _ in range(100):
        await asyncio.sleep(0)
    assert delivery.has_full_batches, "the reader waits for room in the lane"
    reading.cancel()
    await asyncio.wait({reading})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        await delivery.close()
    assert len(sink.urns) == report.mapped["tag"] < 20


async def test_an_entity_that_is_cut_counts_once() -> None:
    sink, report = SlowSink(max_proposals=1), CrawlReport("r")
    delivery = Delivery(sink, report)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        delivery.add(Entity("container", "urn:li:container:1", (NOT_REMOVED, SubTypes(type_names=["x"]))))
        await delivery.close()
    assert (report.proposals, report.batches, report.delivered["container"]) == (2, 2, 1)
