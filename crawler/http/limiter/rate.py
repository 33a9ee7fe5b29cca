"""At most so many requests a second, evenly spread."""

from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class RateLimiter:
    """Hands out start times that lie at least `1 / per_second` apart; None means at once."""

    def __init__(self, per_second: float | None, clock: Clock, sleep: Sleep) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    async def turn(self) -> None:
        """Returns when the caller may start; callers start in the order in which they asked."""
        if not self._interval:
            return
        now = self._clock()
        start = max(now, self._next)
        # Booked before sleeping, so that whoever asks meanwhile gets the turn after this one.
        self._next = start + self._interval
        if start > now:
            await self._sleep(start - now)
