"""The stage that sends at most a given number of requests a second, evenly spread."""

from collections.abc import Awaitable, Callable

from crawler.http.exchange import Request, Stage
from crawler.http.responses import Response
from crawler.http.traffic import Traffic

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class RateLimiter:
    """The stage whose requests start at least `1 / per_second` seconds apart; None means at once."""

    def __init__(
        self, next_stage: Stage, per_second: float | None, traffic: Traffic, clock: Clock, sleep: Sleep
    ) -> None:
        self._next = next_stage
        self._traffic = traffic
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_start = 0.0

    async def send(self, request: Request) -> Response:
        """Wait, then send."""
        await self.wait()
        return await self._next.send(request)

    async def wait(self) -> None:
        """Return when the caller may start; callers start in the order of their calls."""
        if not self._interval:
            return
        now = self._clock()
        start = max(now, self._next_start)
        # Booked before sleeping, so that a later caller starts after this one.
        self._next_start = start + self._interval
        if start > now:
            self._traffic.waiting_for_rate += 1
            try:
                await self._sleep(start - now)
            finally:
                self._traffic.waiting_for_rate -= 1
