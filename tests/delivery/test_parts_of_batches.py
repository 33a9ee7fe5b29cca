"""Batches of which DataHub takes a part only, or that are too much for the time that it is given."""

import asyncio
from pathlib import Path

import pytest

from crawler.datahub.aspects.entities import NOT_REMOVED, SubTypes
from crawler.datahub.batching import Batch
from crawler.datahub.proposals import Entity
from crawler.errors import Unreachable
from crawler.sinks import Written
from crawler.telemetry.report import Report
from tests.delivery.test_delivery import SlowSink, delivery_to

ENTITIES = [
    Entity("container", f"urn:li:container:{number}", (NOT_REMOVED, SubTypes(type_names=["x"]))) for number in range(8)
]


class Overtaxed(SlowSink):
    """Does not answer a batch of more than `most` proposals in time, or not at all."""

    def __init__(self, most: int, *, timed_out: bool = True) -> None:
        super().__init__(max_proposals=200)
        self.most = most
        self.timed_out = timed_out

    async def write(self, batch: Batch) -> Written:
        if batch.proposals > self.most:
            raise Unreachable("No whole answer within 1 s.", "Give it more time.", timed_out=self.timed_out)
        return await super().write(batch)


class Forgetful(SlowSink):
    """Its answer does not list the aspects of one entity of the batch."""

    async def write(self, batch: Batch) -> Written:
        await super().write(batch)
        return Written("answer", [("urn:li:container:3", "status")])


async def deliver(sink: SlowSink, folder: Path) -> Report:
    report = Report("r")
    delivery = delivery_to(sink, report, folder / "dead.jsonl")
    async with asyncio.TaskGroup() as tasks:
        delivery.start(tasks)
        delivery.add(ENTITIES)
        await delivery.close()
    return report


async def test_a_batch_that_takes_too_long_is_halved(tmp_path: Path) -> None:
    sink = Overtaxed(most=4)
    report = await deliver(sink, tmp_path)
    assert [batch.proposals for batch in sink.batches] == [4, 4, 4, 4]
    assert (report.delivered["container"], report.failures) == (8, [])


async def test_what_takes_too_long_by_itself_is_kept(tmp_path: Path) -> None:
    report = await deliver(Overtaxed(most=0), tmp_path)
    assert [(failure.code, failure.count) for failure in report.failures] == [("refused_504", 16)]
    assert report.delivered["container"] == 0
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 16


async def test_a_server_that_is_out_ends_the_delivery(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await deliver(Overtaxed(most=4, timed_out=False), tmp_path)
    assert caught.group_contains(Unreachable)


async def test_one_that_an_answer_leaves_out_costs_no_other(tmp_path: Path) -> None:
    report = await deliver(Forgetful(max_proposals=200), tmp_path)
    assert [(failure.code, failure.samples) for failure in report.failures] == [
        ("not_taken", ["urn:li:container:3: status"])
    ]
    assert (report.delivered["container"], report.proposals) == (7, 15)
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 1
