"""Tells a server that refuses some proposals from one that refuses everything."""

from collections.abc import Iterable

LIMIT = 50
LIMIT_OF_ONE_TYPE = 500
"""A user may lack the privilege to write one entity type, of which many may come in a row."""


class CircuitBreaker:
    """Counts refusals since anything was taken: while it `is_open`, going on would only be refused more."""

    def __init__(self) -> None:
        """Begin closed."""
        self._refused = 0
        self._types: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether the server refuses everything, as far as that can be told."""
        return self._refused >= (LIMIT if len(self._types) > 1 else LIMIT_OF_ONE_TYPE)

    def taken(self) -> None:
        """Close it: the server took something."""
        self._refused = 0
        self._types.clear()

    def refused(self, entity_types: Iterable[str]) -> None:
        """Count a refusal of proposals of these types that cannot be bisected any further."""
        self._refused += 1
        self._types.update(entity_types)
