"""A server and its client on a virtual clock, as in the scenarios of Vector's adaptive request concurrency."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from functools import cache
from itertools import count

import msgspec

from crawler.http.limiter.vegas import Start, Vegas

REFUSAL_SECONDS = 0.001


class Behaviour(msgspec.Struct, kw_only=True, frozen=True):
    """`workers` take `seconds` each, spread by `jitter`, and longer when there are more than `knee` at once; `line` is
    the round trip. Beyond `refuses_beyond` at once it answers 429. What is sent to it has a size of `sizes`.
    """

    workers: int = 4
    seconds: float = 0.05
    jitter: float = 0.0
    knee: int | None = None
    line: float = 0.0
    refuses_beyond: int | None = None
    sizes: tuple[int, ...] = (1_000,)
    seconds_by_size: bool = False


class Seen(msgspec.Struct):
    """What happened in a stretch: answers a second, refusals an answer, and averages over its time."""

    rate: float
    refused: float
    limit: float
    in_flight: float
    queue: float
    lowest: int
    highest: int
    followed_after: int | None = None
    """Requests sent from the moment at which no more than `workers` are at work until `followed` was true."""


class _Request(msgspec.Struct):
    start: Start
    sent: float
    size: int


class Simulation:
    """A client that always has `clients` things to ask for, as many at once as Vegas says."""

    def __init__(self, vegas: Vegas, server: Behaviour, *, clients: int = 16, seed: int = 1) -> None:
        self.vegas = vegas
        self.server = server
        self.in_flight = 0
        self.queue: deque[_Request] = deque()
        self._clients = clients
        self._random = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._busy = self._backing_off = self._sent = self._answered = self._refused = 0

    def run(self, answers: int, followed: Callable[[], bool] = lambda: False) -> Seen:
        """Goes on until so many more answers are there."""
        began, first, refused = self._now, self._answered, self._refused
        limit = in_flight = queue = 0.0
        limits: set[int] = set()
        settled_at = followed_after = None
        while self._answered < first + answers:
            self._send()
            at, _, event = heapq.heappop(self._events)
            passed, self._now = at - self._now, at
            limit += passed * self.vegas.concurrency
            in_flight += passed * self.in_flight
            queue += passed * len(self.queue)
            event()
            limits.add(self.vegas.concurrency)
            if settled_at is None and self._busy <= self.server.workers:
                settled_at = self._sent
            if settled_at is not None and followed_after is None and followed():
                followed_after = self._sent - settled_at
        took = self._now - began
        return Seen(
            rate=answers / took,
            refused=(self._refused - refused) / answers,
            limit=limit / took,
            in_flight=in_flight / took,
            queue=queue / took,
            lowest=min(limits),
            highest=max(limits),
            followed_after=followed_after,
        )

    def _send(self) -> None:
        while self.in_flight < min(self.vegas.limit, self._clients - self._backing_off):
            self.in_flight += 1
            self._sent += 1
            request = _Request(self.vegas.start(), self._now, self._random.choice(self.server.sizes))
            self._after(self.server.line / 2, lambda request=request: self._arrive(request))  # type: ignore[misc]

    def _arrive(self, request: _Request) -> None:
        bound = self.server.refuses_beyond
        if bound is not None and self._busy + len(self.queue) >= bound:
            self._after(REFUSAL_SECONDS + self.server.line / 2, lambda: self._refuse(request))
            return
        self.queue.append(request)
        self._work()

    def _work(self) -> None:
        while self.queue and self._busy < self.server.workers:
            request = self.queue.popleft()
            self._busy += 1
            self._after(self._seconds(request), lambda request=request: self._finish(request))  # type: ignore[misc]

    def _seconds(self, request: _Request) -> float:
        seconds = self.server.seconds * (1 + self.server.jitter * self._random.uniform(-1, 1))
        if self.server.seconds_by_size:
            seconds *= request.size / self.server.sizes[0]
        if self.server.knee is not None:
            seconds *= max(1, self._busy / self.server.knee) ** 1.5
        return seconds

    def _finish(self, request: _Request) -> None:
        self._busy -= 1
        self._work()
        self._after(self.server.line / 2, lambda: self._answer(request))

    def _answer(self, request: _Request) -> None:
        self.in_flight -= 1
        self._answered += 1
        self.vegas.answered(request.start, "/x", self._now - request.sent, request.size)

    def _refuse(self, request: _Request) -> None:
        self.in_flight -= 1
        self._refused += 1
        self._backing_off += 1
        self.vegas.refused(request.start)
        self._after(self._random.uniform(0, 0.5), self._come_back)

    def _come_back(self) -> None:
        self._backing_off -= 1

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._number), event))


@cache
def best_fixed_rate(server: Behaviour, answers: int, highest: int = 16) -> float:
    """The most answers a second that a fixed number of requests in flight reaches without being refused."""
    fixed = range(1, min(highest, server.refuses_beyond or highest) + 1)
    return max(Simulation(Vegas(n, n), server).run(answers).rate for n in fixed)
