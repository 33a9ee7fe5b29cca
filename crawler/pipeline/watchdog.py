"""An end for what would hang for ever: each wait has its own deadline, and where one were forgotten, this one holds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager

from crawler.config.settings import ServerSettings
from crawler.errors import Stalled
from crawler.http.failures import RETRY_AFTER_CAP

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
        async with asyncio.timeout(None) as deadline:
            looking = asyncio.create_task(_look(pulse, seconds / LOOKS, deadline))
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
    """Ends what is within when it has looked LOOKS times in a row, so many seconds apart, and nothing had happened.

    Looks are counted, not time: a process that was stopped, or whose disk did not answer, has not looked meanwhile.
    """
    last, looks = pulse(), 0
    while looks < LOOKS:
        await asyncio.sleep(seconds)
        now = pulse()
        last, looks = now, looks + 1 if now == last else 0
    deadline.reschedule(asyncio.get_running_loop().time())
