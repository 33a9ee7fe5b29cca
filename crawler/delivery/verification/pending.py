"""What DataHub took and has not been seen to have: what to ask it for next, and when. Pure.

What is new is asked for once there is enough of it or nothing came for a moment, what was not there again after pauses
that grow.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count

import msgspec

from crawler.datahub.batching import EncodedEntity

AT_ONCE = 500
"""Entities of one type that are asked for at once."""
MOMENT = 0.2
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Sent(msgspec.Struct, eq=False, gc=False):
    """A parcel that DataHub took, and the aspects that it was not seen to have. Times in seconds.

    `waited` is the sum of its pauses in which nothing at all was found, `found` how often something had been before.
    `alone` says that asking for it fails and so is not done together with others, `untold` that DataHub cannot be asked
    for it.
    """

    parcel: EncodedEntity
    wanted: list[str]
    bytes: int
    pause: float = FIRST_PAUSE
    waited: float = 0.0
    found: int = 0
    alone: bool = False
    untold: bool = False

    def wait(self, found: int) -> None:
        """It was asked for and is not there; `found` is how often something was, so far."""
        if found != self.found:
            self.found, self.waited = found, 0.0
        else:
            self.waited += self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)


class PendingVerifications:
    """In turn by entity type; `bytes` are of all that was added and not settled, wherever it is. Times are the
    caller's, in seconds. `bytes_at_once`, where given, limits what is asked for at once.
    """

    def __init__(self, bytes_at_once: int | None = None) -> None:
        self.bytes = 0
        self._all: dict[Sent, None] = {}
        self._types: defaultdict[str, _Turns] = defaultdict(lambda: _Turns(bytes_at_once))

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, sent: Iterable[Sent], now: float) -> bool:
        """Takes what was just sent. Says whether that changes when something is due, beyond the moment for more."""
        groups: defaultdict[str, list[Sent]] = defaultdict(list)
        for each in sent:
            self.bytes += each.bytes
            self._all[each] = None
            groups[each.parcel.entity_type].append(each)
        news = [self._types[entity_type].add(group, now) for entity_type, group in groups.items()]
        return any(news)

    def due(self, *, hurry: bool) -> float | None:
        """When something is to be asked for; None where nothing waits for its turn. With `hurry` what is new does not
        wait for more.
        """
        return min((due for turns in self._types.values() if (due := turns.due(hurry)) is not None), default=None)

    def take(self, now: float, *, hurry: bool) -> list[Sent]:
        """What to ask for now: some hundreds of one type, or nothing."""
        for turns in self._types.values():
            if taken := turns.take(now, hurry):
                return taken
        return []

    def put_back(self, sent: Iterable[Sent], now: float) -> None:
        """Each is to be asked for again after its pause."""
        groups: dict[tuple[str, float], list[Sent]] = {}
        for each in sent:
            groups.setdefault((each.parcel.entity_type, each.pause), []).append(each)
        for (entity_type, pause), group in groups.items():
            self._types[entity_type].put_back(group, now + pause)

    def settle(self, sent: Iterable[Sent]) -> None:
        """Nothing more is asked about these."""
        for each in sent:
            del self._all[each]
            self.bytes -= each.bytes

    def drain(self) -> list[EncodedEntity]:
        """All that is not settled; it is no more kept."""
        parcels = [sent.parcel for sent in self._all]
        self._all.clear()
        self._types.clear()
        self.bytes = 0
        return parcels


class _Turns:
    """Of one entity type."""

    def __init__(self, bytes_at_once: int | None) -> None:
        self._bytes_at_once = bytes_at_once
        self._new: deque[Sent] = deque()
        self._new_bytes = 0
        self._last = 0.0
        self._again: list[tuple[float, int, list[Sent]]] = []
        self._numbers = count()

    def add(self, sent: list[Sent], now: float) -> bool:
        """Whether something is due at another time than before, beyond the moment for more."""
        was_empty, was_enough = not self._new, self._is_enough
        self._new += sent
        self._new_bytes += _size(sent)
        self._last = now
        return was_empty or (not was_enough and self._is_enough)

    def put_back(self, sent: list[Sent], due: float) -> None:
        # The number keeps what is due at the same time in order, and the lists from being compared.
        heappush(self._again, (due, next(self._numbers), sent))

    def due(self, hurry: bool) -> float | None:
        dues = [self._again[0][0]] if self._again else []
        if self._new:
            dues.append(0.0 if hurry or self._is_enough else self._last + MOMENT)
        return min(dues, default=None)

    def take(self, now: float, hurry: bool) -> list[Sent]:
        taken: list[Sent] = []
        size = 0
        if hurry or self._is_enough or self._last + MOMENT <= now:
            while self._new and self._fits(len(taken) + 1, size + self._new[0].bytes):
                taken.append(self._new.popleft())
                size += taken[-1].bytes
            self._new_bytes -= size
        while self._again and self._again[0][0] <= now:
            group = self._again[0][2]
            if taken and not self._fits(len(taken) + len(group), size + _size(group)):
                break
            heappop(self._again)
            taken += group
            size += _size(group)
        return taken

    @property
    def _is_enough(self) -> bool:
        """Whether what is new need not wait for more."""
        is_large = self._bytes_at_once is not None and self._new_bytes >= self._bytes_at_once
        return is_large or len(self._new) >= AT_ONCE

    def _fits(self, entities: int, size: int) -> bool:
        """Whether so many can be asked for at once. One alone always can."""
        is_small = self._bytes_at_once is None or size <= self._bytes_at_once
        return entities == 1 or (is_small and entities <= AT_ONCE)


def _size(sent: list[Sent]) -> int:
    return sum(each.bytes for each in sent)
