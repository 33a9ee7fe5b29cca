"""Work that ends early when it is told to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from crawler.errors import Interrupted

Result = TypeVar("Result")


async def unless_stopped(work: Coroutine[Any, Any, Result], stop: asyncio.Event) -> Result:
    """Return what the work returns, but cancel it at `stop`. Raises Interrupted there."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
    if working.cancelled():
        raise interrupted()
    return working.result()


def interrupted() -> Interrupted:
    """Return the error of what was stopped."""
    return Interrupted("It was stopped before its end.", "Run it again to have the rest.")
