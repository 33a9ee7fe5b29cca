"""Start times against a clock that only sleeping moves."""

import asyncio
from unittest import mock

from crawler.http.limiter.rate import RateLimiter
from crawler.http.traffic import Traffic


class FakeTime:
    """A clock and the sleep that moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wakes = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, wakes)


def _limiter(per_second: float | None, time: FakeTime) -> RateLimiter:
    return RateLimiter(mock.AsyncMock(), per_second, Traffic(), time.clock, time.sleep)


async def _starts(limiter: RateLimiter, time: FakeTime, number: int) -> list[float]:
    async def start() -> float:
        await limiter.wait()
        return time.now - 1000

    return list(await asyncio.gather(*(start() for _ in range(number))))


async def test_starts_are_spread_evenly() -> None:
    time = FakeTime()
    assert await _starts(_limiter(4, time), time, 4) == [0, 0.25, 0.5, 0.75]


async def test_a_pause_is_not_made_up_for() -> None:
    time = FakeTime()
    limiter = _limiter(1, time)
    await limiter.wait()
    time.now += 100
    assert await _starts(limiter, time, 3) == [100, 101, 102]


async def test_no_limit_is_no_wait() -> None:
    time = FakeTime()
    assert await _starts(_limiter(None, time), time, 3) == [0, 0, 0]
