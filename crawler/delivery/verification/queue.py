"""What DataHub took and was not yet seen to have: what to look up next, and when. Pure.

New pieces are looked up once there are enough of them or none came for a moment, missing ones again after growing
pauses.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import accumulate, count, islice

import msgspec

from crawler.datahub.batching import EncodedEntity

AT_ONCE = 500
"""Entities of one type that are looked up at once."""
MOMENT = 0.2
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class PendingVerification(msgspec.Struct, eq=False, gc=False):
    """A piece of an entity that DataHub took, and the aspects that it was not seen to have. Times in seconds.

    `number` is its place in the order of sending. `waited` is the sum of its pauses in which nothing moved, `movements`
    how often something had before, `turns` how often it has made room for others. A lookup of it fails with others if
    `ask_separately`, and altogether if `unverifiable`. With `by_value` an aspect counts that equals the one sent;
    `compared` is True once that was looked for.
    `since` (ms since epoch) is when the crawl began that sent it, None for this one.
    """

    entity: EncodedEntity
    wanted: list[str]
    bytes: int
    number: int = 0
    pause: float = FIRST_PAUSE
    waited: float = 0.0
    movements: int = 0
    turns: int = 0
    ask_separately: bool = False
    unverifiable: bool = False
    by_value: bool = False
    compared: bool = False
    since: int | None = None

    def lengthen_pause(self) -> None:
        """Wait longer before the next lookup."""
        self.pause = min(2 * self.pause, LONGEST_PAUSE)


class VerificationQueue:
    """Pieces by entity type, which take turns. `bytes` are of all that was added and not removed, looked up or not.

    Times are the caller's, in seconds. `bytes_at_once`, where given, limits what is looked up at once.
    """

    def __init__(self, bytes_at_once: int | None = None) -> None:
        """Begin empty."""
        self.bytes = 0
        self._all: dict[PendingVerification, None] = {}
        self._types: defaultdict[str, _Turns] = defaultdict(lambda: _Turns(bytes_at_once))

    def __len__(self) -> int:
        """How many pieces are left."""
        return len(self._all)

    @property
    def is_waiting(self) -> bool:
        """Whether something was looked up in vain, and waits to be looked up again."""
        return any(turns.is_waiting for turns in self._types.values())

    def add(self, pieces: Iterable[PendingVerification], now: float) -> bool:
        """Add what was just sent. Returns whether something is due earlier than before."""
        groups: defaultdict[str, list[PendingVerification]] = defaultdict(list)
        for each in pieces:
            self.bytes += each.bytes
            self._all[each] = None
            groups[each.entity.entity_type].append(each)
        news = [self._types[entity_type].add(group, now) for entity_type, group in groups.items()]
        return any(news)

    def due(self, *, hurry: bool) -> float | None:
        """Return when the next lookup is due, None if nothing waits. With `hurry` new pieces do not wait for more."""
        return min((due for turns in self._types.values() if (due := turns.due(hurry)) is not None), default=None)

    def take(self, now: float, *, hurry: bool) -> list[PendingVerification]:
        """Return what to look up now: some hundreds of one type, or nothing."""
        for turns in self._types.values():
            if taken := turns.take(now, hurry):
                return taken
        return []

    def put_back(self, pieces: Iterable[PendingVerification], now: float) -> None:
        """Schedule each piece again, after its pause."""
        groups: dict[tuple[str, float], list[PendingVerification]] = {}
        for each in pieces:
            groups.setdefault((each.entity.entity_type, each.pause), []).append(each)
        for (entity_type, pause), group in groups.items():
            self._types[entity_type].put_back(group, now + pause)

    def remove(self, pieces: Iterable[PendingVerification]) -> None:
        """Forget pieces that are verified or given up."""
        for each in pieces:
            del self._all[each]
            self.bytes -= each.bytes

    def drain(self) -> list[EncodedEntity]:
        """Remove and return all that is neither verified nor given up."""
        entities = [each.entity for each in self._all]
        self._all.clear()
        self._types.clear()
        self.bytes = 0
        return entities


class _Turns:
    """The pieces of one entity type."""

    def __init__(self, bytes_at_once: int | None) -> None:
        self._bytes_at_once = bytes_at_once
        self._new: deque[PendingVerification] = deque()
        self._new_bytes = 0
        self._last = 0.0
        self._again: list[tuple[float, int, list[PendingVerification]]] = []
        self._numbers = count()

    def add(self, pieces: list[PendingVerification], now: float) -> bool:
        """Add new pieces. Returns whether something is due earlier than before."""
        was_empty, was_enough = not self._new, self._is_enough
        self._new += pieces
        self._new_bytes += self._size(pieces)
        self._last = now
        return was_empty or (not was_enough and self._is_enough)

    def put_back(self, pieces: list[PendingVerification], due: float) -> None:
        # The number keeps what is due at the same time in order, and the lists from being compared.
        heappush(self._again, (due, next(self._numbers), pieces))

    @property
    def is_waiting(self) -> bool:
        return bool(self._again)

    def due(self, hurry: bool) -> float | None:
        dues = [self._again[0][0]] if self._again else []
        if self._new:
            dues.append(0.0 if hurry or self._is_enough else self._last + MOMENT)
        return min(dues, default=None)

    def take(self, now: float, hurry: bool) -> list[PendingVerification]:
        taken: list[PendingVerification] = []
        if hurry or self._is_enough or self._last + MOMENT <= now:
            taken = [self._new.popleft() for _ in range(self._fitting())]
        size = self._size(taken)
        self._new_bytes -= size
        while self._again and self._again[0][0] <= now:
            group = self._again[0][2]
            if taken and not self._fits(len(taken) + len(group), size + self._size(group)):
                break
            heappop(self._again)
            taken += group
            size += self._size(group)
        return taken

    @property
    def _is_enough(self) -> bool:
        """Whether new pieces need not wait for more."""
        is_large = self._bytes_at_once is not None and self._new_bytes >= self._bytes_at_once
        return is_large or len(self._new) >= AT_ONCE

    def _fitting(self) -> int:
        """Return how many of the new pieces can be looked up at once. One alone always can."""
        entities = min(len(self._new), AT_ONCE)
        if self._bytes_at_once is not None and self._new_bytes > self._bytes_at_once:
            sizes = accumulate(each.bytes for each in islice(self._new, entities))
            entities = max(1, sum(size <= self._bytes_at_once for size in sizes))
        return entities

    def _fits(self, entities: int, size: int) -> bool:
        is_small = self._bytes_at_once is None or size <= self._bytes_at_once
        return is_small and entities <= AT_ONCE

    def _size(self, pieces: list[PendingVerification]) -> int:
        """Return the bytes of pieces, or 0 where there is no limit to hold them against."""
        return 0 if self._bytes_at_once is None else sum(each.bytes for each in pieces)
