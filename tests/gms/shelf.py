"""What can be read of what was written: what goes through GMS' queue is there later than its answer."""

import asyncio
from collections.abc import Callable
from typing import Any

Key = tuple[str, str]
"""URN and aspect."""
Stored = tuple[dict[str, Any], dict[str, Any] | None]
"""Value and system metadata."""


class Shelf:
    """`queue` holds everything that is queued back while it is not set, `lag` for so many read-backs."""

    def __init__(self, lag: int | Callable[[str, str], int]) -> None:
        self.queue = asyncio.Event()
        self.queue.set()
        self._lag = lag
        self._there: dict[Key, Stored] = {}
        self._coming: dict[Key, list[tuple[int, Stored]]] = {}
        self._reads = 0

    def put(self, key: Key, stored: Stored, *, queued: bool) -> None:
        """Stores the aspect, behind what is queued of it."""
        lag = self._lag if isinstance(self._lag, int) else self._lag(*key)
        coming = self._coming.setdefault(key, [])
        due = self._reads + (lag if queued else 0)
        if coming and coming[-1][0] >= due:
            due = coming.pop()[0]
        coming.append((due, stored))

    def begin_read(self) -> None:
        """A read-back is answered: what has waited long enough is there."""
        if not self.queue.is_set():
            return
        for key in [key for key, coming in self._coming.items() if coming[0][0] <= self._reads]:
            coming = self._coming.pop(key)
            self._there[key] = [stored for due, stored in coming if due <= self._reads][-1]
            if later := [(due, stored) for due, stored in coming if due > self._reads]:
                self._coming[key] = later
        self._reads += 1

    def get(self, key: Key) -> Stored | None:
        """What can be read of the aspect."""
        return self._there.get(key)

    def aspects_of(self, urn: str) -> list[str]:
        """All that can be read of an entity."""
        return [name for known, name in self._there if known == urn]
