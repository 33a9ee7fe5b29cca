"""Hands items from several producers to one consumer, a few at a time."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Channel(Generic[Item]):
    """A bounded hand-over. `send` waits until the consumer has taken an earlier item.

    An item that was sent stays, also where its sender is cancelled while it waits: it is iterated over, or drained.
    """

    def __init__(self) -> None:
        """Begin empty and open."""
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def send(self, item: Item) -> None:
        """Add an item and wait until no more than one is left."""
        self._items.append(item)
        self._changed.set()
        while len(self._items) > 1:
            self._room.clear()
            await self._room.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be sent. Iteration then ends, or raises the error."""
        self._closed, self._error = True, error
        self._changed.set()

    def drain(self) -> Iterator[Item]:
        """Remove and return what was not iterated over."""
        while self._items:
            yield self._items.popleft()

    def __aiter__(self) -> "Channel[Item]":
        """Return itself: each item is taken once."""
        return self

    async def __anext__(self) -> Item:
        """Take the next item."""
        while not self._items:
            if self._closed:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item = self._items.popleft()
        self._room.set()
        return item
