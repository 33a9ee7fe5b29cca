"""Tells a server that refuses some from one that refuses everything."""

LIMIT = 50


class Breaker:
    """Counts what was refused since anything was taken: at `limit` it `is_open`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._refused = 0

    @property
    def is_open(self) -> bool:
        """Whether going on would only be refused more."""
        return self._refused >= self._limit

    def taken(self) -> None:
        """The server took something."""
        self._refused = 0

    def refused(self) -> None:
        """The server refused something that cannot be taken apart any further."""
        self._refused += 1
