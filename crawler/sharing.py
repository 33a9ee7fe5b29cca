"""Work for several workers: taken from a source, and given by workers who have much to those who have none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Shares(Generic[Item]):
    """The items of a source, then whatever workers `give` of theirs; over when all of `workers` have nothing to do."""

    def __init__(self, source: AsyncIterator[Item], workers: int) -> None:
        self._source = source
        self._workers = workers
        self._turn = asyncio.Lock()
        self._given: asyncio.Queue[Item | None] = asyncio.Queue()
        self.idle = 0
        """Workers that have nothing to do and that nothing was given to: `give` is for them."""

    async def take(self) -> Item | None:
        """The next item; None at the end. The source is asked for no more than the workers can take."""
        async with self._turn:
            item = await anext(self._source, None)
        if item is not None:
            return item
        self.idle += 1
        if self.idle == self._workers:
            for _ in range(self._workers):
                self._given.put_nowait(None)
        return await self._given.get()

    def give(self, item: Item) -> None:
        """Hands an item to a worker that has none."""
        self.idle -= 1
        self._given.put_nowait(item)


async def work_through(
    source: AsyncIterator[Item], work: Callable[[Item, Shares[Item]], Awaitable[None]], workers: int
) -> None:
    """Does the work for each item, at most `workers` at a time; it may give parts of its item to idle workers."""
    shares = Shares(source, workers)

    async def worker() -> None:
        while (item := await shares.take()) is not None:
            await work(item, shares)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(worker())
