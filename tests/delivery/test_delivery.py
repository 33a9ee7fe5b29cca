"""Between mapping and sink: order within a series, nothing lost when reading is cut off, each entity counted once."""

import asyncio
import errno
import json
from collections.abc import Iterable
from itertools import count, pairwise
from pathlib import Path

import pytest
from msgspec import structs

from crawler.datahub.aspects import NOT_REMOVED, SubTypes
from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.encoding import MAX_ASPECT_BYTES
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.delivery import Delivery, deliver
from crawler.delivery.circuit_breaker import LIMIT_OF_ONE_TYPE
from crawler.delivery.dead_letters import DeadLetters
from crawler.delivery.delivery import THROTTLED_ROUNDS
from crawler.delivery.outcomes import Settlement
from crawler.errors import RequestRefused, ServerError, Unreachable
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written
from crawler.telemetry.report import CrawlReport


class SlowSink:
    """Keeps what it gets, giving others a turn before each batch."""

    facts = SinkFacts(target="", verification_method="written")
    lookup: StoreLookup | None = None
    wire: Wire = RestliWire(encode_system_metadata(SystemMetadata(1, "r")))

    def __init__(self, max_proposals: int = 1, kind: type[Packer | PackerByType] = Packer) -> None:
        self.max_proposals = max_proposals
        self.kind = kind
        self.urns: list[str] = []
        self.batches: list[Batch] = []

    def packer(self) -> Packer | PackerByType:
        return self.kind(self.max_proposals, 10**6)

    async def write(self, batch: Batch) -> Written:
        await asyncio.sleep(0)
        self.urns += [parcel.urn for parcel in batch.entities]
        self.batches.append(batch)
        return Written(self.facts.verification_method)


class ForgetfulSink(SlowSink):
    """Leaves out each `status`, as a server that does not know it."""

    async def write(self, batch: Batch) -> Written:
        await super().write(batch)
        return Written("answer", [(parcel.urn, "status") for parcel in batch.entities])


def delivery_to(sink: SlowSink, report: CrawlReport | None = None, letters: Path = Path("no letters")) -> Delivery:
    report = report or CrawlReport("r")
    return Delivery(sink, report, Settlement(sink.wire, report, DeadLetters(letters, report)))


def entity(number: int) -> Entity:
    return Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,), ordering_key="model")


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
    sink.facts = structs.replace(sink.facts, writers=3)
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
    types = [{parcel.entity_type for parcel in batch.entities} for batch in sink.batches]
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
    sink.facts = structs.replace(sink.facts, writers=3)
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


class GoneSink(SlowSink):
    """Answers nothing any more."""

    async def write(self, batch: Batch) -> Written:
        raise Unreachable("DataHub is gone.")


class Holding:
    """Adds two entities while it reads, until it is cut off, and has two held back."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.held = tags(4)[2:]

    async def read(self) -> None:
        for each in tags(2):
            self.delivery.add(each)
            await self.delivery.settle()
        await asyncio.get_running_loop().create_future()

    async def deliver_held(self) -> None:
        raise AssertionError("nothing is delivered any more")

    def add_held(self) -> None:
        for each in self.held:
            self.delivery.add(each)


async def test_what_was_held_back_is_kept_where_the_crawl_ends_at_once(tmp_path: Path) -> None:
    report = CrawlReport("r")
    delivery = delivery_to(GoneSink(), report, tmp_path / "dead.jsonl")
    with pytest.raises(Unreachable):
        await deliver(Holding(delivery), delivery, asyncio.Event())
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert {letter["proposal"]["entityUrn"] for letter in letters} == {each.urn for each in tags(4)}


class RefusingSink(SlowSink):
    """Answers each batch with the next of these statuses, None for success; the last one again and again."""

    def __init__(self, *statuses: int | None, max_proposals: int = 200) -> None:
        super().__init__(max_proposals)
        self.statuses = list(statuses)
        self.sizes: list[int] = []

    async def write(self, batch: Batch) -> Written:
        self.sizes.append(batch.proposals)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is not None:
            raise RequestRefused("no", status=status)
        return await super().write(batch)


async def delivered(delivery: Delivery, entities: Iterable[Entity]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for lane in delivery.lanes:
            tasks.create_task(delivery.send(lane))
        for each in entities:
            delivery.add(each)
            await delivery.settle()
        await delivery.close()


def tags(count: int) -> list[Entity]:
    return [Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,)) for number in range(count)]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_batch_that_is_to_come_later_is_not_taken_apart(status: int) -> None:
    sink, report = RefusingSink(status, status, None), CrawlReport("r")
    await delivered(delivery_to(sink, report), tags(10))
    assert sink.sizes == [10, 10, 10]
    assert (report.proposals, report.failures) == (10, [])


async def test_a_batch_that_is_always_to_come_later_is_given_up(tmp_path: Path) -> None:
    sink, report = RefusingSink(*[429] * THROTTLED_ROUNDS, None), CrawlReport("r")
    await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(2))
    assert sink.sizes[:THROTTLED_ROUNDS] == [2] * THROTTLED_ROUNDS
    assert report.proposals + report.rejected == 2


async def test_one_type_that_may_not_be_written_does_not_end_the_crawl(tmp_path: Path) -> None:
    sink, report = RefusingSink(422, max_proposals=1), CrawlReport("r")
    await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(LIMIT_OF_ONE_TYPE - 1))
    assert report.rejected == LIMIT_OF_ONE_TYPE - 1
    with pytest.raises(ExceptionGroup) as caught:
        await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(LIMIT_OF_ONE_TYPE))
    assert isinstance(caught.value.exceptions[0], ServerError)


async def test_a_server_that_refuses_all_types_ends_the_crawl_and_nothing_is_lost(tmp_path: Path) -> None:
    sink, report = RefusingSink(422, max_proposals=4), CrawlReport("r")
    sink.facts = structs.replace(sink.facts, writers=2)
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    containers = [Entity("container", f"urn:li:container:{number}", (NOT_REMOVED,)) for number in range(100)]
    added = []

    def mixed() -> Iterable[Entity]:
        for pair in zip(tags(100), containers, strict=True):
            for each in pair:
                added.append(each.urn)
                yield each

    with pytest.raises(ExceptionGroup):
        await delivered(delivery, mixed())
    delivery.abandon("It refuses everything.")
    letters = [json.loads(line)["proposal"]["entityUrn"] for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert sorted(letters) == sorted(added)
    assert len(added) < 100, "it ends soon"


class Notes:
    """A ledger that only remembers."""

    def __init__(self) -> None:
        self.urns: list[str] = []

    def begin(self, urn: str, mark: object) -> bool:
        return True

    def settled(self, parcel: EncodedEntity) -> None:
        self.urns.append(parcel.urn)


async def test_what_could_not_be_kept_is_not_settled_for_a_later_crawl(tmp_path: Path) -> None:
    sink, report, notes = RefusingSink(422, None, max_proposals=1), CrawlReport("r"), Notes()
    letters = DeadLetters(tmp_path / "no folder" / "dead.jsonl", report)
    delivery = Delivery(sink, report, Settlement(sink.wire, report, letters, notes))
    await delivered(delivery, tags(2))
    assert notes.urns == ["urn:li:tag:00001"]
    assert {failure.code for failure in report.failures} == {"refused_422", "dead_letters"}


async def refused_with(notes: Notes, folder: Path) -> CrawlReport:
    """One tag is taken; one, and an aspect of a container, are not."""
    sink, report = RefusingSink(422, None, max_proposals=1), CrawlReport("r")
    settlement = Settlement(sink.wire, report, DeadLetters(folder / "dead.jsonl", report), notes)
    delivery = Delivery(sink, report, settlement)
    huge = SubTypes(type_names=["x" * MAX_ASPECT_BYTES])
    await delivered(delivery, [*tags(2), Entity("container", "urn:li:container:1", (NOT_REMOVED, huge))])
    assert notes.urns == ["urn:li:tag:00001"], "the letters of the others are not on the disk yet"
    delivery.abandon("It has ended.")
    return report


async def test_the_ledger_hears_of_what_was_refused_once_its_letters_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    monkeypatch.setattr("os.fsync", lambda _descriptor: notes.urns.append("fsync"))
    report = await refused_with(notes, tmp_path)
    assert notes.urns[1] == "fsync"
    assert sorted(notes.urns[2:]) == ["urn:li:container:1", "urn:li:tag:00000"]
    assert report.dead_letters == 2


async def test_the_ledger_does_not_hear_of_what_did_not_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    notes = Notes()
    monkeypatch.setattr("os.fsync", fail)
    report = await refused_with(notes, tmp_path)
    assert notes.urns == ["urn:li:tag:00001"]
    assert report.dead_letters == 0
    assert {failure.code: failure.count for failure in report.failures}["dead_letters"] == 2


async def test_dead_letters_do_not_wait_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = CrawlReport("r")
    delivery = delivery_to(SlowSink(), report, tmp_path / "dead.jsonl")
    delivery.add(Entity("tag", f"urn:li:tag:{'x' * 600}", (NOT_REMOVED,)))
    await delivery.settle()
    assert report.dead_letters == 0
    monkeypatch.setattr("crawler.delivery.delivery.SECONDS_BETWEEN_FLUSHES", 0.0)
    await delivery.settle()
    assert report.dead_letters == 1


async def test_with_a_ledger_nothing_waits_for_a_full_batch_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, report, notes = SlowSink(max_proposals=200), CrawlReport("r"), Notes()
    delivery = Delivery(sink, report, Settlement(sink.wire, report, DeadLetters(Path("none"), report), notes))
    sending = asyncio.create_task(delivery.send(delivery.lanes[0]))
    delivery.add(entity(1))
    await delivery.settle()
    assert sink.urns == []
    monkeypatch.setattr("crawler.delivery.delivery.SECONDS_BETWEEN_FLUSHES", 0.0)
    await delivery.settle()
    await delivery.lanes[0].queue.join()
    assert notes.urns == sink.urns == ["urn:li:tag:00001"]
    await delivery.close()
    await sending
