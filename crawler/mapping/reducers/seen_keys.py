"""Keys that a crawl has seen, within a bound."""

from collections import OrderedDict


class SeenKeys:
    """A set of at most `limit` keys; beyond that the one unseen for longest is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[int, None] = OrderedDict()

    def add_if_new(self, key: str) -> bool:
        """Add the key; return True if it was not there."""
        digest = hash(key)
        if digest in self._seen:
            self._seen.move_to_end(digest)
            return False
        self._seen[digest] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return True

    def __contains__(self, key: str) -> bool:
        return hash(key) in self._seen
