"""Ends a crawl that hangs. Each wait has its own deadline; this one holds where one was forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager

from crawler.errors import Stalled
from crawler.http.failures import RETRY_AFTER_CAP
from crawler.settings.servers import ServerSettings

MARGIN = 60.0
LOOKS = 10
"""Looks in a row without any activity, after which the crawl is ended."""


def longest_wait(servers: Iterable[ServerSettings]) -> float:
    """Return the seconds within which a request ends or is sent, whatever these servers do."""
    waits = [server.timeout + 1 / (server.requests_per_second or 1) for server in servers]
    return max(waits) + RETRY_AFTER_CAP + MARGIN


@asynccontextmanager
async def ends_when_stalled(activity: Callable[[], Hashable], seconds: float) -> AsyncIterator[None]:
    """Cancel the context and raise Stalled if `activity` returns the same for so many seconds."""
    try:
        async with asyncio.timeout(None) as deadline:
            looking = asyncio.create_task(_look(activity, seconds / LOOKS, deadline))
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


async def _look(activity: Callable[[], Hashable], seconds: float, deadline: asyncio.Timeout) -> None:
    """End the context after LOOKS looks in a row, `seconds` apart, without any activity.

    Looks are counted, not time: a process that was stopped, or whose disk did not answer, has not looked meanwhile.
    """
    last, looks = activity(), 0
    while looks < LOOKS:
        await asyncio.sleep(seconds)
        now = activity()
        last, looks = now, looks + 1 if now == last else 0
    deadline.reschedule(asyncio.get_running_loop().time())
