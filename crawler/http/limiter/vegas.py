"""The limit of requests in flight to one server, by TCP Vegas: latency shows how many of them wait there.

Pure: no I/O, no clock of its own. docs/decisions/0004-adaptive-concurrency.md says what comes from where.
"""

import math

import msgspec

from crawler.http.limiter.latency import Latency
from crawler.http.limiter.refusal_ceiling import RefusalCeiling

START = 4
WAITING_LOW, WAITING_HIGH = 3, 6
"""Requests that may wait at the server, times log10 of the limit and at least one: below the first the limit grows,
above the second it shrinks (alpha and beta of Netflix' VegasLimit)."""
CUT = 0.7
"""What is left of the limit when a request is refused or breaks off (as in CUBIC, RFC 9438)."""
FIRST_PROBE = 30
PROBE_EVERY = 50
"""Answers until the latency of an idle server is measured; from then on times the limit."""
PROBE_ANSWERS = 4


class Start(msgspec.Struct, frozen=True):
    """A request in flight: its number, and how many were in flight when it was sent, itself included."""

    number: int
    in_flight: int


class Vegas:
    """The limit for one server, from `low` to `high`, both included; equal ones fix it.

    Call `start` for each request and, once, how it ended: `answered`, `refused`, `failed` or `dropped`.
    """

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = high
        self._limit = float(max(low, min(START, high)))
        self._started = 0
        self._in_flight = 0
        self._last_full = 0
        self._last_cut = 0
        self._latencies: dict[str, Latency] = {}
        self._ceiling = RefusalCeiling()
        self._probe: _Probe | None = None
        self._until_probe = FIRST_PROBE

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return self.concurrency if self._probe is None else min(self.concurrency, self._probe.limit)

    @property
    def concurrency(self) -> int:
        """The limit without the short dips in which the latency of an idle server is measured."""
        return int(self._limit)

    def start(self) -> Start:
        """Count a request that is sent."""
        self._started += 1
        self._in_flight += 1
        if self._in_flight >= self.limit:
            self._last_full = self._started
        return Start(self._started, self._in_flight)

    def answered(self, start: Start, endpoint: str, seconds: float, size: int) -> None:
        """Note a success `seconds` after the start, whose cost grows with a body of `size` bytes."""
        self._in_flight -= 1
        self._ceiling.answered(start.in_flight)
        size = max(size, 1)
        latency = self._latencies.setdefault(endpoint, Latency())
        if latency.restarts(seconds, size):
            self._until_probe = min(self._until_probe, FIRST_PROBE)
            return
        scaled = latency.scaled(seconds, size)
        if scaled is None:
            return
        if self._probe is not None:
            self._measure(self._probe, start, latency, scaled)
        else:
            self._adjust(start, latency.waiting_share(scaled))
            self._count_to_probe(latency)

    def refused(self, start: Start) -> None:
        """Note a refusal of that many requests at once: 429 or 503."""
        # Only the first refusal of a jam says how many were too many: at the last ones few are left in flight.
        if start.number > self._last_cut:
            self._ceiling.refused(max(start.in_flight, self._in_flight))
        self.failed(start)

    def failed(self, start: Start) -> None:
        """Note that the server, or a proxy, broke the connection or did not answer in time."""
        self._in_flight -= 1
        # A request that was in flight at the last cut failed in the same jam.
        if start.number > self._last_cut:
            self._set(self._limit * CUT)
            self._last_cut = self._started

    def dropped(self, _: Start) -> None:
        """Note an end that says nothing about the load, an error of its own for example."""
        self._in_flight -= 1

    def _adjust(self, start: Start, waiting_share: float) -> None:
        waiting = min(start.in_flight, self._limit) * waiting_share
        scale = math.log10(self._limit)
        if waiting > max(1.0, WAITING_HIGH * scale):
            self._set(self._limit - 1)
        elif waiting < max(1.0, WAITING_LOW * scale) and self._was_full_since(start):
            self._set(self._limit + 1)

    def _was_full_since(self, start: Start) -> bool:
        return self._last_full >= start.number and self._ceiling.allows(self.concurrency + 1)

    def _count_to_probe(self, latency: Latency) -> None:
        self._until_probe -= 1
        if self._until_probe <= 0:
            # Half of what the server works at, as in BBRv2's ProbeRTT: with so few, nothing waits.
            working = self._limit * latency.idle / latency.average
            self._probe = _Probe(limit=max(self._low, int(working / 2), 1), after=self._started)

    def _measure(self, probe: "_Probe", start: Start, latency: Latency, seconds: float) -> None:
        if start.number <= probe.after:
            return
        probe.seen.append((latency, seconds))
        if len(probe.seen) < max(PROBE_ANSWERS, probe.limit):
            return
        for measured in self._latencies.values():
            seen = [seconds for latency, seconds in probe.seen if latency is measured]
            if seen:
                measured.set_idle(sum(seen) / len(seen))
        self._probe = None
        self._until_probe = PROBE_EVERY * max(START, self.concurrency)

    def _set(self, limit: float) -> None:
        self._limit = max(float(self._low), min(limit, float(self._high)))


class _Probe(msgspec.Struct):
    """A measurement in progress with at most `limit` in flight; requests up to number `after` were sent before."""

    limit: int
    after: int
    seen: list[tuple[Latency, float]] = []
