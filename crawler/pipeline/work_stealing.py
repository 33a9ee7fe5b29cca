"""Shares work among workers: idle ones steal from busy ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WorkStealingQueue(Generic[Item]):
    """A queue of work items. When the source is exhausted, idle workers steal from busy ones.

    It ends when all `workers` are idle.

    The source is asked one item ahead, so that its end is known while the last items are worked on.
    """

    def __init__(self, source: AsyncIterator[Item], workers: int, spare: "Spare[Item]") -> None:
        self._source = source
        self._workers = workers
        self._spare = spare
        self._turn = asyncio.Lock()
        self._begun = self._at_end = False
        self._ahead: Item | None = None
        self._given: asyncio.Queue[Item | None] = asyncio.Queue()
        self._busy = 0

    @property
    def idle(self) -> int:
        """How many workers have nothing to do, and nothing was given to them."""
        return self._workers - self._busy if self._at_end else 0

    async def take(self) -> Item | None:
        """Return the next item, None at the end. A worker calls `done` before it takes another one."""
        item = await self._from_source()
        if item is None:
            item = self._spare(self)
        if item is not None:
            self._busy += 1
            return item
        self._end_if_idle()
        return await self._given.get()

    def give(self, item: Item) -> None:
        """Give an item to an idle worker."""
        self._busy += 1
        self._given.put_nowait(item)

    def done(self) -> None:
        """Count an item as finished."""
        self._busy -= 1

    async def _from_source(self) -> Item | None:
        async with self._turn:
            if not self._begun:
                self._begun = True
                await self._look_ahead()
            item = self._ahead
            if item is not None:
                await self._look_ahead()
        return item

    async def _look_ahead(self) -> None:
        self._ahead = await anext(self._source, None)
        self._at_end = self._ahead is None

    def _end_if_idle(self) -> None:
        if self._busy == 0 and self._given.empty():
            for _ in range(self._workers):
                self._given.put_nowait(None)


Spare = Callable[[WorkStealingQueue[Item]], Item | None]
"""Steals a part from a busy worker; None if there is nothing to spare."""


async def work_through(
    source: AsyncIterator[Item],
    work: Callable[[Item, WorkStealingQueue[Item]], Awaitable[None]],
    workers: int,
    spare: Spare[Item] = lambda _: None,
) -> None:
    """Do the work for each item, at most `workers` at a time, and share the last ones."""
    shares = WorkStealingQueue(source, workers, spare)

    async def worker() -> None:
        while (item := await shares.take()) is not None:
            await work(item, shares)
            shares.done()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(worker())
