"""Which batches are under way at once, and what of that breaks the rules for writers."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class _Flight:
    transport: asyncio.Transport | None
    urns: frozenset[str]
    version_sets: frozenset[str]

    def is_over(self) -> bool:
        """A client that hung up cannot know that its request is still under way."""
        return self.transport is None or self.transport.is_closing()


class Flights:
    """The batches between their last byte and their answer.

    Parallel writers of one URN or one version set provoke deadlocks in GMS' database (ESI: SELECT … FOR
    UPDATE) and race for the set's latest version (metadata-io, entity/versioning/). GMS may answer 500 or
    503, or just write the wrong thing; the double takes a note in `violations`.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.peak = 0
        self._under_way: list[_Flight] = []

    @contextmanager
    def flight(
        self, transport: asyncio.Transport | None, urns: frozenset[str], version_sets: frozenset[str]
    ) -> Iterator[None]:
        """While the batch is handled; what it shares with one that is under way is a violation."""
        new = _Flight(transport, urns, version_sets)
        for other in self._under_way:
            if not other.is_over():
                self._note("entity", new.urns & other.urns)
                self._note("version set", new.version_sets & other.version_sets)
        self._under_way.append(new)
        self.peak = max(self.peak, len(self._under_way))
        try:
            yield
        finally:
            self._under_way.remove(new)

    def _note(self, what: str, shared: frozenset[str]) -> None:
        self.violations += [f"two requests at once for {what} {name}" for name in sorted(shared)]
