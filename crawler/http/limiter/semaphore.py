"""A semaphore whose limit changes while it is held."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType


class DynamicSemaphore:
    """A fair semaphore that reads `limit` on each acquire and release: `async with semaphore:`.

    Lowering the limit does not cancel holders; it takes effect as slots are released.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        """Acquire a slot."""
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the slot."""
        self.release()

    async def acquire(self) -> None:
        """Wait for a slot; first come, first served."""
        if not self._waiting and self._held < self._limit():
            self._held += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled in the very moment in which the slot was acquired.
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Release a slot, and pass on as many as the limit has room for."""
        self._held -= 1
        while self._waiting and self._held < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self._held += 1
                turn.set_result(None)
