"""An end for what would hang for ever: each wait has its own deadline, and where one were forgotten, this one holds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager

from crawler.errors import Stalled
from crawler.http.retries import RETRY_AFTER_CAP
from crawler.settings import ServerSettings

MARGIN = 60.0
LOOKS = 10
"""Times that is looked while nothing happens."""


def longest_wait(servers: Iterable[ServerSettings]) -> float:
    """Seconds in which something happens, whatever these servers do: a request ends, or the next one is sent."""
    waits = [server.timeout + 1 / (server.requests_per_second or 1) for server in servers]
    return max(waits) + RETRY_AFTER_CAP + MARGIN


@asynccontextmanager
async def ends_when_stalled(pulse: Callable[[], Hashable], seconds: float) -> AsyncIterator[None]:
    """Cancels what is within and raises Stalled where `pulse` has given the same for so many seconds."""
    try:
        async with asyncio.timeout(seconds) as deadline:
            looking = asyncio.create_task(_look(pulse, seconds, deadline))
            try:
                yield
            finally:
                looking.cancel()
    except TimeoutError:
        if not deadline.expired():
            raise
        raise Stalled(
            f"Nothing has happened for {seconds:.0f} s: no request was sent or answered, nothing read or written.",
            "That should not be. Please report it with what --verbose logs, and run it again.",
        ) from None


async def _look(pulse: Callable[[], Hashable], seconds: float, deadline: asyncio.Timeout) -> None:
    """Moves the deadline on whenever something has happened."""
    last = pulse()
    while True:
        await asyncio.sleep(seconds / LOOKS)
        if (now := pulse()) != last:
            last = now
            deadline.reschedule(asyncio.get_running_loop().time() + seconds)
