"""Work that several workers share: each item is done once, idle workers help, and it ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pipeline.work_stealing import WorkStealingQueue, work_through


async def items(numbers: list[int]) -> AsyncIterator[int]:
    for number in numbers:
        await asyncio.sleep(0)
        yield number


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 8))
def test_everything_is_done_once_however_it_is_shared(numbers: list[int], workers: int) -> None:
    done = 0

    async def work(number: int, shares: WorkStealingQueue[int]) -> None:
        """Counts `number` down to nothing, half of it elsewhere where somebody is idle."""
        nonlocal done
        while number:
            await asyncio.sleep(0)
            if shares.idle and number > 1:
                shares.give(number // 2)
                number -= number // 2
            number -= 1
            done += 1

    asyncio.run(work_through(items(numbers), work, workers))
    assert done == sum(numbers)


async def test_one_large_item_keeps_all_workers_busy() -> None:
    at_once = peak = 0

    async def work(number: int, shares: WorkStealingQueue[int]) -> None:
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        for _ in range(number):
            await asyncio.sleep(0)
            while shares.idle:
                shares.give(0 if number < 100 else 50)
        at_once -= 1

    await asyncio.wait_for(work_through(items([100]), work, 4), 60)
    assert peak == 4


async def test_idle_workers_take_what_busy_ones_can_spare() -> None:
    """One item of 40 steps; nobody gives, so whoever is idle takes half of the longest."""
    left: dict[int, int] = {}
    busy = peak = steps = 0

    async def work(name: int, shares: WorkStealingQueue[int]) -> None:
        nonlocal busy, peak, steps
        busy += 1
        peak = max(peak, busy)
        left.setdefault(name, 40)
        while left[name]:
            await asyncio.sleep(0)
            left[name] -= 1
            steps += 1
        busy -= 1

    def spare(shares: WorkStealingQueue[int]) -> int | None:
        longest = max(left, key=lambda name: left[name], default=None)
        if longest is None or left[longest] < 2:
            return None
        half = left[longest] // 2
        left[longest] -= half
        left[len(left)] = half
        return len(left) - 1

    await asyncio.wait_for(work_through(items([0]), work, 4, spare), 60)
    assert (peak, steps) == (4, 40)
    assert not any(left.values())


async def test_the_source_is_asked_for_one_item_more_than_the_workers_can_take() -> None:
    asked: list[int] = []
    gate = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        for number in range(10):
            asked.append(number)
            yield number

    async def work(number: int, shares: WorkStealingQueue[int]) -> None:
        await gate.wait()

    working = asyncio.create_task(work_through(source(), work, 3))
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked == [0, 1, 2, 3]
    gate.set()
    await working
    assert len(asked) == 10


async def test_an_error_ends_the_other_workers() -> None:
    async def work(number: int, shares: WorkStealingQueue[int]) -> None:
        if number == 3:
            raise ValueError
        await asyncio.Event().wait()

    with pytest.RaisesGroup(ValueError):
        await work_through(items([1, 2, 3]), work, 5)
