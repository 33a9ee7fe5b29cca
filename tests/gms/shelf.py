"""What can be read of what was written: what goes through GMS' queue is there later than its answer."""

import asyncio
from collections.abc import Callable
from typing import Any

Key = tuple[str, str]
"""URN and aspect."""
Stored = tuple[dict[str, Any], dict[str, Any] | None]
"""Value and system metadata."""

TIME = "timestampMillis"
"""The field that timeseries aspects have, and no others."""


class Shelf:
    """`queue` holds everything that is queued back while it is not set, `lag` for so many read-backs, `lag_seconds` for
    so long.
    """

    def __init__(self, lag: int | Callable[[str, str], int], lag_seconds: float = 0.0) -> None:
        self.queue = asyncio.Event()
        self.queue.set()
        self._lag = lag
        self._lag_seconds = lag_seconds
        self._there: dict[Key, Stored] = {}
        self._coming: dict[Key, list[tuple[float, Stored]]] = {}
        self._reads = 0
        self._queued: list[float] = []
        self._taken = 0

    def put(self, key: Key, stored: Stored, *, queued: bool) -> None:
        """Stores the aspect, behind what is queued of it."""
        coming = self._coming.setdefault(key, [])
        due = self._now + (self._lag_of(key) if queued else 0)
        if queued:
            self._queued.append(due)
        if coming and coming[-1][0] >= due:
            due = coming.pop()[0]
        coming.append((due, stored))

    def begin_read(self) -> None:
        """A read-back is answered: what has waited long enough is there."""
        if not self.queue.is_set():
            return
        now = self._now
        for key in [key for key, coming in self._coming.items() if coming[0][0] <= now]:
            coming = self._coming.pop(key)
            for stored in [stored for due, stored in coming if due <= now]:
                self._store(key, stored)
            if later := [(due, stored) for due, stored in coming if due > now]:
                self._coming[key] = later
        self._reads += 1

    def _store(self, key: Key, stored: Stored) -> None:
        """Of a timeseries aspect the latest is read, whichever was written last."""
        before = self._there.get(key)
        if before is None or before[0].get(TIME, 0) <= stored[0].get(TIME, 0):
            self._there[key] = stored

    def get(self, key: Key) -> Stored | None:
        """What can be read of the aspect."""
        return self._there.get(key)

    def forget(self, key: Key) -> None:
        """Lose what is stored or comes of the aspect."""
        self._there.pop(key, None)
        self._coming.pop(key, None)

    def aspects_of(self, urn: str) -> list[str]:
        """All that can be read of an entity."""
        return [name for known, name in self._there if known == urn]

    def offset(self) -> tuple[int, int]:
        """How many proposals the consumer has taken from the queue, in order, and how many are left in it."""
        now = self._now
        while self.queue.is_set() and self._taken < len(self._queued) and self._queued[self._taken] <= now:
            self._taken += 1
        return self._taken, len(self._queued) - self._taken

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._lag_seconds else self._reads

    def _lag_of(self, key: Key) -> float:
        if self._lag_seconds:
            return self._lag_seconds
        return self._lag if isinstance(self._lag, int) else self._lag(*key)
