"""What goes on beside the body of an async context."""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """`async with` it: `_run` begins with the context, and is cancelled where that is left before its end."""

    _task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait until nothing goes on."""
        self._task.cancel()
        await asyncio.wait({self._task})

    @abstractmethod
    async def _run(self) -> None:
        """Do what is to be done. An error is kept for whoever takes the results, not raised."""
