"""What DataHub took and has not been seen to have: what to ask it for next, and when. Pure.

What is new is asked for once there is enough of it or nothing came for a moment, what was not there again after pauses
that grow.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count

from crawler.datahub.batches import Parcel

AT_ONCE = 500
"""Entities of one type that are asked for at once."""
MOMENT = 0.2
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Sent:
    """A parcel that DataHub took, and the aspects that it was not seen to have. Times in seconds.

    `waited` is the sum of its pauses in which nothing at all was found, `found` how often something had been before.
    `alone` says that asking for it fails and so is not done together with others, `untold` that DataHub cannot be asked
    for it.
    """

    __slots__ = ("alone", "bytes", "found", "parcel", "pause", "untold", "waited", "wanted")

    def __init__(self, parcel: Parcel, wanted: list[str]) -> None:
        self.parcel = parcel
        self.wanted = wanted
        self.bytes = sum(map(len, parcel.proposals))
        self.pause = FIRST_PAUSE
        self.waited = 0.0
        self.found = 0
        self.alone = False
        self.untold = False

    def wait(self, found: int) -> None:
        """It was asked for and is not there; `found` is how often something was, so far."""
        if found != self.found:
            self.found, self.waited = found, 0.0
        else:
            self.waited += self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)


class Unconfirmed:
    """In turn by entity type; `bytes` are of all that was added and not settled, wherever it is. Times are the
    caller's, in seconds. `bytes_at_once`, where given, limits what is asked for at once.
    """

    def __init__(self, bytes_at_once: int | None = None) -> None:
        self.bytes = 0
        self._all: dict[Sent, None] = {}
        self._types: defaultdict[str, _Turns] = defaultdict(lambda: _Turns(bytes_at_once))

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, sent: Sent, now: float) -> bool:
        """Takes what was just sent. Says whether that changes when something is due, beyond the moment for more."""
        self.bytes += sent.bytes
        self._all[sent] = None
        turns = self._types[sent.parcel.entity_type]
        return turns.add(sent, now)

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

    def settle(self, sent: Sent) -> None:
        """Nothing more is asked about it."""
        del self._all[sent]
        self.bytes -= sent.bytes

    def drain(self) -> list[Parcel]:
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

    def add(self, sent: Sent, now: float) -> bool:
        """Whether something is due at another time than before, beyond the moment for more."""
        was_due = self._is_enough(len(self._new), self._new_bytes)
        self._new.append(sent)
        self._new_bytes += sent.bytes
        self._last = now
        return len(self._new) == 1 or (not was_due and self._is_enough(len(self._new), self._new_bytes))

    def put_back(self, sent: list[Sent], due: float) -> None:
        # The number keeps what is due at the same time in order, and the lists from being compared.
        heappush(self._again, (due, next(self._numbers), sent))

    def due(self, hurry: bool) -> float | None:
        dues = [self._again[0][0]] if self._again else []
        if self._new:
            is_enough = self._is_enough(len(self._new), self._new_bytes)
            dues.append(0.0 if hurry or is_enough else self._last + MOMENT)
        return min(dues, default=None)

    def take(self, now: float, hurry: bool) -> list[Sent]:
        taken: list[Sent] = []
        size = 0
        if hurry or self._is_enough(len(self._new), self._new_bytes) or self._last + MOMENT <= now:
            while self._new and self._fits(taken, size, [self._new[0]]):
                taken.append(self._new.popleft())
                size += taken[-1].bytes
            self._new_bytes -= size
        while self._again and self._again[0][0] <= now and self._fits(taken, size, self._again[0][2]):
            group = heappop(self._again)[2]
            taken += group
            size += _size(group)
        return taken

    def _is_enough(self, entities: int, size: int) -> bool:
        return entities >= AT_ONCE or (self._bytes_at_once is not None and size >= self._bytes_at_once)

    def _fits(self, taken: list[Sent], size: int, more: list[Sent]) -> bool:
        """One alone always does."""
        if not taken:
            return True
        is_small = self._bytes_at_once is None or size + _size(more) <= self._bytes_at_once
        return is_small and len(taken) + len(more) <= AT_ONCE


def _size(sent: list[Sent]) -> int:
    return sum(each.bytes for each in sent)
