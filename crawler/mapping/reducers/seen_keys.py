"""Remembering, within a bound, what a crawl has written already."""

from collections import OrderedDict


class SeenKeys:
    """Tells the first time of a key. Beyond `limit` keys the one unseen for longest is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[int, None] = OrderedDict()

    def first(self, key: str) -> bool:
        """Whether the key is new; from now on it is known."""
        digest = hash(key)
        known = digest in self._seen
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return not known

    def __contains__(self, key: str) -> bool:
        return hash(key) in self._seen
