"""Lets many writers in at once, or one alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WriteGate:
    """A lock that is shared, or held alone. Whoever wants it alone goes before those who come later."""

    def __init__(self) -> None:
        """Begin open."""
        self._door = asyncio.Lock()
        self._inside = 0
        self._empty = asyncio.Event()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Be inside with others."""
        async with self._door:
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside alone, once the others have left."""
        async with self._door:
            while self._inside:
                self._empty.clear()
                await self._empty.wait()
            yield
