"""Between mapping and sink: order within a series, nothing lost when reading is cut off, each entity counted once."""

import asyncio
import json
from itertools import count, pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from crawler.datahub.aspects import NOT_REMOVED, SubTypes
from crawler.datahub.batches import Batch, Packer, PackerByType
from crawler.datahub.encoding import Wire
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.restli import RestliWire
from crawler.dead_letters import DeadLetters
from crawler.delivery import Delivery
from crawler.errors import NotTaken
from crawler.report import CrawlReport
from crawler.settlement import Settlement
from crawler.sinks.sink import Store


class SlowSink:
    """Keeps what it gets, giving others a turn before each batch."""

    lanes = 1
    unsupported: frozenset[tuple[str, str]] = frozenset()
    store: Store | None = None
    proof: str | None = "written"
    wire: Wire = RestliWire(encode_system_metadata(SystemMetadata(1, "r")))

    def __init__(self, max_proposals: int = 1, kind: type[Packer | PackerByType] = Packer) -> None:
        self.max_proposals = max_proposals
        self.kind = kind
        self.urns: list[str] = []
        self.batches: list[Batch] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def packer(self) -> Packer | PackerByType:
        return self.kind(self.max_proposals, 10**6)

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        self.urns += [parcel.urn for parcel in batch.parcels]
        self.batches.append(batch)


class ForgetfulSink(SlowSink):
    """Leaves out each `status`, as a server that does not know it."""

    async def write(self, batch: Batch) -> None:
        await super().write(batch)
        raise NotTaken("It is not listed.", items=[(parcel.urn, "status") for parcel in batch.parcels])


def delivery_to(sink: SlowSink, report: CrawlReport | None = None, letters: Path = Path("no letters")) -> Delivery:
    report = report or CrawlReport("r")
    return Delivery(sink, report, Settlement(sink.wire, report, DeadLetters(letters, report)))


def entity(number: int) -> Entity:
    return Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,), series="model")


@pytest.mark.parametrize("kind", [Packer, PackerByType])
async def test_a_series_keeps_its_order_although_many_readers_settle_at_once(
    kind: type[Packer | PackerByType],
) -> None:
    sink = SlowSink(kind=kind)
    delivery, numbers = delivery_to(sink), count()

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
    delivery = delivery_to(sink, report)

    async def reader() -> None:
        for number in range(20):
            delivery.add(entity(number))
            await delivery.settle()

    reading = asyncio.create_task(reader())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reading.done(), "the reader waits for room in the lane"
    reading.cancel()
    await asyncio.wait({reading})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        await delivery.close()
    assert len(sink.urns) == report.mapped["tag"] < 20


async def test_an_entity_that_is_cut_counts_once() -> None:
    sink, report = SlowSink(max_proposals=1), CrawlReport("r")
    delivery = delivery_to(sink, report)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        delivery.add(Entity("container", "urn:li:container:1", (NOT_REMOVED, SubTypes(type_names=["x"]))))
        await delivery.close()
    assert (report.proposals, report.batches, report.delivered["container"]) == (2, 2, 1)


async def test_the_pieces_of_an_entity_that_is_cut_stay_in_one_lane() -> None:
    sink = SlowSink(max_proposals=2)
    sink.lanes = 3
    delivery = delivery_to(sink)
    tasks = [asyncio.create_task(delivery.send(lane)) for lane in delivery.lanes]
    many = tuple(SubTypes(type_names=[str(number)]) for number in range(5))
    for number in range(4):
        delivery.add(Entity("container", f"urn:li:container:{number}", many))
        lanes_used = {id(lane) for lane in delivery.lanes if lane.load}
        assert len(lanes_used) == min(number + 1, 3)
        assert {lane.load for lane in delivery.lanes} <= {0, 3, 6}
    await delivery.close()
    await asyncio.gather(*tasks)
    assert sorted(sink.urns) == [f"urn:li:container:{number}" for number in range(4) for _ in range(3)]


async def test_batches_of_one_type_where_the_sink_wants_them() -> None:
    sink, report = SlowSink(max_proposals=4, kind=PackerByType), CrawlReport("r")
    delivery = delivery_to(sink, report)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        for number in range(9):
            delivery.add(Entity("tag", f"urn:li:tag:{number}", (NOT_REMOVED,)))
            delivery.add(Entity("container", f"urn:li:container:{number}", (NOT_REMOVED,)))
            await delivery.settle()
        await delivery.close()
    types = [{parcel.entity_type for parcel in batch.parcels} for batch in sink.batches]
    assert all(len(each) == 1 for each in types)
    assert sorted(batch.proposals for batch in sink.batches) == [1, 1, 4, 4, 4, 4]
    assert report.delivered == {"tag": 9, "container": 9}


async def test_what_an_answer_leaves_out_is_a_failure_and_not_delivered(tmp_path: Path) -> None:
    sink, report = ForgetfulSink(max_proposals=200), CrawlReport("r")
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.send(delivery.lanes[0]))
        for number in range(7):
            urn = f"urn:li:container:{number}"
            delivery.add(Entity("container", urn, (NOT_REMOVED, SubTypes(type_names=["x"]))))
        await delivery.close()
    (failure,) = report.failures
    assert (failure.code, failure.count, len(failure.samples)) == ("not_taken", 7, 5)
    assert failure.samples[0] == "urn:li:container:0: status"
    assert (report.proposals, report.rejected, report.batches, report.delivered["container"]) == (7, 7, 1, 0)
    kept = (tmp_path / "dead.jsonl").read_text().splitlines()
    assert [json.loads(line)["proposal"]["aspectName"] for line in kept] == ["status"] * 7


async def test_what_is_not_written_when_the_crawl_ends_is_kept(tmp_path: Path) -> None:
    sink, report = SlowSink(max_proposals=2), CrawlReport("r")
    sink.lanes = 3
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    for number in range(9):
        delivery.add(Entity("tag", f"urn:li:tag:{number}", (NOT_REMOVED, SubTypes(type_names=["x"]))))
        delivery.add(entity(number + 100))
    settling = asyncio.create_task(delivery.settle())
    await asyncio.sleep(0)
    delivery.abandon("It was enough.")
    settling.cancel()
    await asyncio.wait({settling})
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert len(letters) == report.rejected == 27
    assert {(letter["code"], letter["reason"]) for letter in letters} == {("not_sent", "It was enough.")}
    (failure,) = report.failures
    assert (failure.code, failure.count) == ("not_sent", 27)
    delivery.abandon("It was enough.")
    assert report.rejected == 27, "nothing is left, so nothing is told twice"
