"""Room for so many at once, whatever is given up under way and however the number changes."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from crawler.http.limiter.semaphore import DynamicSemaphore

steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.sampled_from(["finish", "cancel", "finish_and_cancel"]), st.integers(0, 30)),
        st.tuples(st.just("limit"), st.integers(1, 5)),
    ),
    max_size=60,
)


class Holders:
    """Tasks that take a slot and hold it until they are told to let go."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.semaphore = DynamicSemaphore(lambda: self.limit)
        self.inside: list[int] = []
        self.order: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._done: list[asyncio.Event] = []

    def take(self) -> None:
        self._done.append(asyncio.Event())
        self.tasks.append(asyncio.create_task(self._hold(len(self.tasks))))

    def finish(self, number: int) -> None:
        self._done[number].set()

    async def _hold(self, number: int) -> None:
        async with self.semaphore:
            self.inside.append(number)
            self.order.append(number)
            try:
                await self._done[number].wait()
            finally:
                self.inside.remove(number)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@given(st.integers(1, 5), steps)
def test_never_more_than_the_limit_and_no_slot_is_lost(limit: int, steps: list[tuple[str, int]]) -> None:
    async def check() -> None:
        holders = Holders(limit)
        for step, number in steps:
            entered = len(holders.order)
            if step == "take":
                holders.take()
            elif step == "limit":
                holders.limit = number
            elif holders.tasks:
                holder = number % len(holders.tasks)
                if step != "cancel":
                    holders.finish(holder)
                if step != "finish":
                    holders.tasks[holder].cancel()
            await _settle()
            # A lower limit takes nobody's slot away, but lets nobody in either.
            assert len(holders.order) == entered or len(holders.inside) <= holders.limit
        for number in range(len(holders.tasks)):
            holders.finish(number)
        await asyncio.gather(*holders.tasks, return_exceptions=True)
        assert holders.order == sorted(holders.order)
        # As many as before find room.
        again = Holders(limit)
        again.semaphore, again.limit = holders.semaphore, limit
        holders.limit = limit
        for _ in range(limit + 1):
            again.take()
        await _settle()
        assert again.inside == list(range(limit))
        for number in range(limit + 1):
            again.finish(number)
        await asyncio.gather(*again.tasks)

    asyncio.run(check())


async def test_a_slot_given_to_whom_gives_up_in_the_same_moment_goes_on_to_the_next() -> None:
    holders = Holders(1)
    async with holders.semaphore:
        holders.take()
        holders.take()
        await _settle()
    # The first has been given the slot, and has not woken yet.
    holders.tasks[0].cancel()
    await _settle()
    assert holders.inside == [1]
    holders.finish(1)
    await holders.tasks[1]


async def test_a_higher_limit_lets_more_in_at_once_when_one_leaves() -> None:
    holders = Holders(1)
    for _ in range(5):
        holders.take()
    await _settle()
    holders.limit = 3
    holders.finish(0)
    await _settle()
    assert holders.inside == [1, 2, 3]
    for number in range(5):
        holders.finish(number)
    await asyncio.gather(*holders.tasks)


async def test_who_comes_first_goes_first_also_when_there_is_room() -> None:
    holders = Holders(1)
    holders.take()
    holders.take()
    await _settle()
    holders.limit = 2
    holders.take()
    await _settle()
    assert holders.inside == [0]
    for number in range(3):
        holders.finish(number)
    await asyncio.gather(*holders.tasks)
    assert holders.order == [0, 1, 2]
