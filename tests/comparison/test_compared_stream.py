"""Chunks are compared several at once, and handed on in the stream's order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from crawler.comparison.compared_stream import CHUNKS_AT_ONCE, ComparedStream
from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError, Interrupted, ServerError
from crawler.pipeline.entities import EntityChunk


def chunk(number: int) -> EntityChunk:
    return EntityChunk([Entity("tag", f"urn:li:tag:{number}", ())])


class Stream:
    """So many chunks, then perhaps an error."""

    def __init__(self, count: int, error: CrawlerError | None = None) -> None:
        self.taken = 0
        self._count = count
        self._error = error

    async def __aiter__(self) -> AsyncIterator[EntityChunk]:
        for number in range(self._count):
            self.taken += 1
            yield chunk(number)
        if self._error is not None:
            raise self._error


def number_of(entities: Sequence[Entity]) -> int:
    return int(entities[0].urn.rpartition(":")[2])


async def taken_from(compared: ComparedStream) -> list[int]:
    return [number_of(each.entities) async for each in compared]


async def test_the_order_is_kept_whichever_comparison_ends_first() -> None:
    turns = [asyncio.Event() for _ in range(5)]
    turns[-1].set()

    async def compare(entities: Sequence[Entity]) -> list[Entity]:
        number = number_of(entities)
        await turns[number].wait()
        turns[number - 1].set()
        return list(entities)

    async with ComparedStream(Stream(5), compare) as compared:
        assert await taken_from(compared) == [0, 1, 2, 3, 4]


async def test_no_more_chunks_are_read_than_can_be_compared_at_once() -> None:
    stream, hold = Stream(10 * CHUNKS_AT_ONCE), asyncio.Event()

    async def compare(entities: Sequence[Entity]) -> list[Entity]:
        await hold.wait()
        return list(entities)

    async with ComparedStream(stream, compare) as compared:
        for _ in range(100):
            await asyncio.sleep(0)
        # One waits for room.
        assert stream.taken == CHUNKS_AT_ONCE + 1
        hold.set()
        assert await taken_from(compared) == list(range(10 * CHUNKS_AT_ONCE))


async def test_what_ended_the_stream_is_raised_after_all_that_came_before() -> None:
    async def compare(entities: Sequence[Entity]) -> list[Entity]:
        await asyncio.sleep(0)
        return list(entities)

    async with ComparedStream(Stream(3, Interrupted("stopped")), compare) as compared:
        assert [number_of((await anext(compared)).entities) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(Interrupted):
            await anext(compared)


async def test_what_ends_the_comparing_is_raised_and_the_rest_is_cancelled() -> None:
    cancelled: list[int] = []

    async def compare(entities: Sequence[Entity]) -> list[Entity]:
        if (number := number_of(entities)) == 1:
            raise ServerError("DataHub has gone.")
        if number > 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return list(entities)

    async with ComparedStream(Stream(4), compare) as compared:
        assert number_of((await anext(compared)).entities) == 0
        with pytest.raises(ServerError, match="has gone"):
            await anext(compared)
        assert list(compared.drain()) == []
    assert sorted(cancelled) == [2, 3]


async def test_it_can_be_left_at_any_moment() -> None:
    async def compare(entities: Sequence[Entity]) -> list[Any]:
        return list(entities)

    async with ComparedStream(Stream(100), compare) as compared:
        await anext(compared)
    assert asyncio.all_tasks() == {asyncio.current_task()}
