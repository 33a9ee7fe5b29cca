"""Counters of the traffic to one server."""

from typing import Protocol

import msgspec


class TrafficListener(Protocol):
    """Who wants to know when a server begins or ceases to have requests in flight."""

    def traffic_changed(self) -> None:
        """`in_flight` of one server has become 0, or is 0 no more."""


class Traffic(msgspec.Struct):
    """What was sent to and received from one server. `bytes` are of bodies: received from MLflow, sent to DataHub.

    `concurrency` is how many requests may be in flight now, `waiting_for_rate` how many are held back by the limit of
    requests per second. During an outage `outage` says why, `silent_since` (time.monotonic) is when the server last
    answered, and it is waited for until `patience` seconds later.
    """

    version: str | None = None
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    in_flight: int = 0
    concurrency: int = 0
    lowest_concurrency: int = 0
    highest_concurrency: int = 0
    outage: str = ""
    silent_since: float = 0.0
    waiting_for_rate: int = 0
    patience: float = 0.0
    listener: TrafficListener | None = None

    def begin(self) -> None:
        """Count a request that is sent."""
        self.requests += 1
        self.in_flight += 1
        if self.listener is not None and self.in_flight == 1:
            self.listener.traffic_changed()

    def end(self) -> None:
        """Count a request that has ended, in whatever way."""
        self.in_flight -= 1
        if self.listener is not None and self.in_flight == 0:
            self.listener.traffic_changed()

    def change_concurrency(self, by: int) -> None:
        """Add `by`, which may be negative, to the requests that may be in flight."""
        self.concurrency += by
        self.lowest_concurrency = min(self.lowest_concurrency or self.concurrency, self.concurrency)
        self.highest_concurrency = max(self.highest_concurrency, self.concurrency)
