"""Between mapping and sink: each ordering key in order, nothing lost if reading is cut off, each entity counts once."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import count, pairwise
from pathlib import Path

import msgspec
import pytest

from crawler.datahub.aspects.entities import NOT_REMOVED, SubTypes
from crawler.datahub.batching import Batch, Packer, PackerByType
from crawler.datahub.encoding import MAX_ASPECT_BYTES
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.delivery.circuit_breaker import LIMIT_OF_ONE_TYPE
from crawler.delivery.dead_letters import DeadLetters
from crawler.delivery.delivery import Delivery
from crawler.delivery.feed import Chunk
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.sender import THROTTLED_ROUNDS
from crawler.errors import RequestRefused, ServerError, Unreachable
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written
from crawler.telemetry.events import Event, Outcomes, tell_all
from crawler.telemetry.report import Report
from tests.support.dead_letters import ORIGIN


class SlowSink:
    """Keeps what it gets, giving others a turn before each batch."""

    facts = SinkFacts(target="nowhere", writers=1, verification_method="written")
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
        self.urns += [entity.urn for entity in batch.entities]
        self.batches.append(batch)
        return Written(self.facts.verification_method)


class ForgetfulSink(SlowSink):
    """Leaves out each `status`, as a server that does not know it."""

    async def write(self, batch: Batch) -> Written:
        await super().write(batch)
        return Written("answer", [(entity.urn, "status") for entity in batch.entities])


def delivery_to(sink: SlowSink, report: Report | None = None, letters: Path = Path("no letters")) -> Delivery:
    return resumable_delivery_to(sink, report or Report("r"), letters, None)


def resumable_delivery_to(sink: SlowSink, report: Report, letters: Path, notes: "Notes | None") -> Delivery:
    """A delivery after which another crawl may go on, if `notes` listens."""
    listener = report if notes is None else tell_all([report, notes])
    dead_letters = DeadLetters(letters, ORIGIN, listener)
    outcomes = OutcomePublisher(sink.wire, listener, dead_letters, is_resumable=notes is not None)
    return Delivery(sink, outcomes, listener, report.time)


def with_writers(sink: SlowSink, writers: int) -> SlowSink:
    sink.facts = msgspec.structs.replace(sink.facts, writers=writers)
    return sink


def entity(number: int) -> Entity:
    return Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,), ordering_key="model")


@pytest.mark.parametrize("kind", [Packer, PackerByType])
async def test_an_ordering_key_keeps_its_order_although_many_readers_wait_at_once(
    kind: type[Packer | PackerByType],
) -> None:
    sink = SlowSink(kind=kind)
    delivery, numbers = delivery_to(sink), count()

    async def reader(turns: int) -> None:
        for _ in range(100):
            delivery.add([entity(next(numbers))])
            await delivery.wait_for_room()
            for _ in range(turns):
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        await asyncio.gather(*(reader(turns) for turns in range(4)))
        await delivery.close()
    assert len(sink.urns) == 400
    assert all(earlier < later for earlier, later in pairwise(sink.urns))


async def test_what_was_added_is_delivered_although_its_reader_is_cut_off() -> None:
    sink, report = SlowSink(), Report("r")
    delivery = delivery_to(sink, report)

    async def reader() -> None:
        for number in range(20):
            delivery.add([entity(number)])
            await delivery.wait_for_room()

    reading = asyncio.create_task(reader())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reading.done(), "the reader waits for room in the queue"
    reading.cancel()
    await asyncio.wait({reading})
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        await delivery.close()
    assert len(sink.urns) == report.mapped["tag"] < 20


async def test_an_entity_that_is_cut_counts_once() -> None:
    sink, report = SlowSink(max_proposals=1), Report("r")
    delivery = delivery_to(sink, report)
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        delivery.add([Entity("container", "urn:li:container:1", (NOT_REMOVED, SubTypes(type_names=["x"])))])
        await delivery.close()
    assert (report.proposals, report.batches, report.delivered["container"]) == (2, 2, 1)


async def test_the_pieces_of_an_entity_that_is_cut_stay_in_one_queue() -> None:
    sink = SlowSink(max_proposals=2)
    with_writers(sink, 3)
    delivery = delivery_to(sink)
    many = tuple(SubTypes(type_names=[str(number)]) for number in range(5))
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        for number in range(4):
            delivery.add([Entity("container", f"urn:li:container:{number}", many)])
            queues = delivery._queues.all
            assert len({id(queue) for queue in queues if queue.load}) == min(number + 1, 3)
            assert {queue.load for queue in queues} <= {0, 3, 6}
        await delivery.close()
    assert sorted(sink.urns) == [f"urn:li:container:{number}" for number in range(4) for _ in range(3)]


async def test_batches_of_one_type_where_the_sink_wants_them() -> None:
    sink, report = SlowSink(max_proposals=4, kind=PackerByType), Report("r")
    delivery = delivery_to(sink, report)
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        for number in range(9):
            delivery.add([Entity("tag", f"urn:li:tag:{number}", (NOT_REMOVED,))])
            delivery.add([Entity("container", f"urn:li:container:{number}", (NOT_REMOVED,))])
            await delivery.wait_for_room()
        await delivery.close()
    types = [{parcel.entity_type for parcel in batch.entities} for batch in sink.batches]
    assert all(len(each) == 1 for each in types)
    assert sorted(batch.proposals for batch in sink.batches) == [1, 1, 4, 4, 4, 4]
    assert report.delivered == {"tag": 9, "container": 9}


async def test_what_an_answer_leaves_out_is_a_failure_and_not_delivered(tmp_path: Path) -> None:
    sink, report = ForgetfulSink(max_proposals=200), Report("r")
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        for number in range(7):
            urn = f"urn:li:container:{number}"
            delivery.add([Entity("container", urn, (NOT_REMOVED, SubTypes(type_names=["x"])))])
        await delivery.close()
    (failure,) = report.failures
    assert (failure.code, failure.count, len(failure.samples)) == ("not_taken", 7, 5)
    assert failure.samples[0] == "urn:li:container:0: status"
    assert (report.proposals, report.rejected, report.batches, report.delivered["container"]) == (7, 7, 1, 0)
    kept = (tmp_path / "dead.jsonl").read_text().splitlines()
    assert [json.loads(line)["proposal"]["aspectName"] for line in kept] == ["status"] * 7


async def test_what_is_not_written_when_the_crawl_ends_is_kept(tmp_path: Path) -> None:
    sink, report = SlowSink(max_proposals=2), Report("r")
    with_writers(sink, 3)
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    for number in range(9):
        delivery.add([Entity("tag", f"urn:li:tag:{number}", (NOT_REMOVED, SubTypes(type_names=["x"])))])
        delivery.add([entity(number + 100)])
    settling = asyncio.create_task(delivery.wait_for_room())
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


class Some:
    """Some entities of a feed."""

    def __init__(self, entities: list[Entity]) -> None:
        self.entities = entities

    def add_to(self, delivery: Delivery) -> None:
        delivery.add(self.entities)


class Holding:
    """Has two entities at once, nothing more for ever, and two that were held back."""

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        for each in tags(2):
            yield Some([each])
        await asyncio.get_running_loop().create_future()

    def drain(self) -> Iterator[Chunk]:
        yield Some(tags(4)[2:])


async def test_what_was_held_back_is_kept_where_the_crawl_ends_at_once(tmp_path: Path) -> None:
    report = Report("r")
    delivery = delivery_to(GoneSink(), report, tmp_path / "dead.jsonl")
    with pytest.raises(Unreachable):
        await delivery.deliver(Holding(), asyncio.Event())
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
        delivery.start(tasks)
        for each in entities:
            delivery.add([each])
            await delivery.wait_for_room()
        await delivery.close()


def tags(count: int) -> list[Entity]:
    return [Entity("tag", f"urn:li:tag:{number:05}", (NOT_REMOVED,)) for number in range(count)]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_batch_that_is_to_come_later_is_not_taken_apart(status: int) -> None:
    sink, report = RefusingSink(status, status, None), Report("r")
    await delivered(delivery_to(sink, report), tags(10))
    assert sink.sizes == [10, 10, 10]
    assert (report.proposals, report.failures) == (10, [])


async def test_a_batch_that_is_always_to_come_later_is_given_up(tmp_path: Path) -> None:
    sink, report = RefusingSink(*[429] * THROTTLED_ROUNDS, None), Report("r")
    await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(2))
    assert sink.sizes[:THROTTLED_ROUNDS] == [2] * THROTTLED_ROUNDS
    assert report.proposals + report.rejected == 2


async def test_one_type_that_may_not_be_written_does_not_end_the_crawl(tmp_path: Path) -> None:
    sink, report = RefusingSink(422, max_proposals=1), Report("r")
    await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(LIMIT_OF_ONE_TYPE - 1))
    assert report.rejected == LIMIT_OF_ONE_TYPE - 1
    with pytest.raises(ExceptionGroup) as caught:
        await delivered(delivery_to(sink, report, tmp_path / "dead.jsonl"), tags(LIMIT_OF_ONE_TYPE))
    assert isinstance(caught.value.exceptions[0], ServerError)


async def test_a_server_that_refuses_all_types_ends_the_crawl_and_nothing_is_lost(tmp_path: Path) -> None:
    sink, report = RefusingSink(422, max_proposals=4), Report("r")
    with_writers(sink, 2)
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
    """A checkpoint that only remembers what need not be sent again."""

    def __init__(self) -> None:
        self.urns: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Outcomes):
            self.urns += [outcome.urn for outcome in event.entities if outcome.kept]


async def test_what_could_not_be_kept_is_to_be_sent_by_a_later_crawl(tmp_path: Path) -> None:
    sink, report, notes = RefusingSink(422, None, max_proposals=1), Report("r"), Notes()
    delivery = resumable_delivery_to(sink, report, tmp_path / "no folder" / "dead.jsonl", notes)
    await delivered(delivery, tags(2))
    delivery.abandon("It has ended.")
    assert notes.urns == ["urn:li:tag:00001"]
    assert {failure.code for failure in report.failures} == {"refused_422", "dead_letters"}


async def refused_with(notes: Notes, folder: Path) -> Report:
    """One tag is taken; one, and an aspect of a container, are not."""
    sink, report = RefusingSink(422, None, max_proposals=1), Report("r")
    delivery = resumable_delivery_to(sink, report, folder / "dead.jsonl", notes)
    huge = SubTypes(type_names=["x" * MAX_ASPECT_BYTES])
    await delivered(delivery, [*tags(2), Entity("container", "urn:li:container:1", (NOT_REMOVED, huge))])
    assert notes.urns == ["urn:li:tag:00001"], "the letters of the others are not on the disk yet"
    delivery.abandon("It has ended.")
    return report


async def test_a_checkpoint_hears_of_what_was_refused_once_its_letters_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    monkeypatch.setattr("os.fsync", lambda _descriptor: notes.urns.append("fsync"))
    report = await refused_with(notes, tmp_path)
    assert notes.urns[1] == "fsync"
    assert sorted(notes.urns[2:]) == ["urn:li:container:1", "urn:li:tag:00000"]
    assert report.dead_letters == 2


async def test_a_checkpoint_does_not_hear_of_what_did_not_reach_the_disk(
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
    report = Report("r")
    delivery = delivery_to(SlowSink(), report, tmp_path / "dead.jsonl")
    delivery.add([Entity("tag", f"urn:li:tag:{'x' * 600}", (NOT_REMOVED,))])
    await delivery.wait_for_room()
    assert report.dead_letters == 0
    monkeypatch.setattr("crawler.delivery.delivery.SECONDS_BETWEEN_FLUSHES", 0.0)
    await delivery.wait_for_room()
    assert report.dead_letters == 1


async def test_with_a_checkpoint_nothing_waits_for_a_full_batch_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, report, notes = SlowSink(max_proposals=200), Report("r"), Notes()
    delivery = resumable_delivery_to(sink, report, Path("none"), notes)
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        delivery.add([entity(1)])
        await delivery.wait_for_room()
        assert sink.urns == []
        monkeypatch.setattr("crawler.delivery.delivery.SECONDS_BETWEEN_FLUSHES", 0.0)
        await delivery.wait_for_room()
        await delivery._queues.all[0].batches.join()
        assert notes.urns == sink.urns == ["urn:li:tag:00001"]
        await delivery.close()


class StuckSink(SlowSink):
    """Takes what it gets and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = asyncio.Event()

    async def write(self, batch: Batch) -> Written:
        written = await super().write(batch)
        self.stuck.set()
        await asyncio.Event().wait()
        return written


async def test_what_was_sent_and_not_answered_at_the_end_is_not_called_unsent(tmp_path: Path) -> None:
    sink, report = StuckSink(), Report("r")
    delivery = delivery_to(sink, report, tmp_path / "dead.jsonl")
    delivering = asyncio.create_task(delivery.deliver(Holding(), asyncio.Event()))
    await sink.stuck.wait()
    delivering.cancel()
    await asyncio.wait({delivering})
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert [letter["code"] for letter in letters] == ["not_answered", *["not_sent"] * 3]
    assert letters[0]["proposal"]["entityUrn"] == sink.urns[0]
    assert {failure.code: failure.count for failure in report.failures} == {"not_answered": 1, "not_sent": 3}
