"""The stream of a crawl's entities, compared: what differs, in the stream's order, several chunks at once."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence

import msgspec

from crawler.datahub.proposals import Entity
from crawler.delivery.delivery import Delivery
from crawler.errors import CrawlerError
from crawler.pipeline.background import Background
from crawler.pipeline.entities import EntityChunk

CHUNKS_AT_ONCE = 8
"""Chunks that are compared, or wait for an earlier one that is."""

Compare = Callable[[Sequence[Entity]], Awaitable[list[Entity]]]
"""Returns what differs of some entities, in order."""


class DifferingChunk(msgspec.Struct, frozen=True):
    """What differs of one chunk: a delivery sends it."""

    entities: list[Entity]

    def add_to(self, delivery: Delivery) -> None:
        """Add it to a delivery."""
        delivery.add(self.entities)


_Comparison = asyncio.Task[DifferingChunk | CrawlerError]


class ComparedStream(Background):
    """What differs of a stream: `async with ComparedStream(…) as compared: async for chunk in compared`.

    The iteration raises at its end what ended the stream, after all that was compared, and at once what ended the
    comparing.
    """

    def __init__(self, stream: AsyncIterable[EntityChunk], compare: Compare) -> None:
        """Compare the chunks of `stream`."""
        self._stream = stream
        self._compare = compare
        self._room = asyncio.Semaphore(CHUNKS_AT_ONCE)
        self._comparisons: asyncio.Queue[_Comparison | None] = asyncio.Queue()
        self._failure: CrawlerError | BaseExceptionGroup[BaseException] | None = None

    def __aiter__(self) -> "ComparedStream":
        """Return itself: each chunk is taken once."""
        return self

    async def __anext__(self) -> DifferingChunk:
        """Take the next chunk once it is compared."""
        comparison = await self._comparisons.get()
        if comparison is None:
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        compared = await comparison
        self._room.release()
        if isinstance(compared, CrawlerError):
            raise compared
        return compared

    def drain(self) -> Iterator[DifferingChunk]:
        """Return nothing: of what was not compared it is not known whether it differs."""
        return iter(())

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as comparisons:
                try:
                    async for chunk in self._stream:
                        await self._room.acquire()
                        self._comparisons.put_nowait(comparisons.create_task(self._compared(chunk)))
                except (CrawlerError, ExceptionGroup) as error:
                    self._failure = error
        finally:
            self._comparisons.put_nowait(None)

    async def _compared(self, chunk: EntityChunk) -> DifferingChunk | CrawlerError:
        # As a value, not raised: the chunks before this one are still to be taken.
        try:
            return DifferingChunk(await self._compare(chunk.entities))
        except CrawlerError as error:
            return error
