"""The virtual clock: time jumps, the order is fixed, and what would hang is told."""

import asyncio
import itertools

import pytest

from tests.simulation.virtual_clock import Endless, Outside, Stuck, run_virtually


def test_time_jumps_to_the_next_timer() -> None:
    woken: list[tuple[float, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((asyncio.get_running_loop().time(), name))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeper("late", 86_400))
            tasks.create_task(sleeper("early", 0.5))

    run_virtually(main)
    assert woken == [(0.5, "early"), (pytest.approx(86_400), "late")]


def test_timeouts_come_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run_virtually(main) == pytest.approx(30)


def test_a_wait_without_a_timer_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run_virtually(main)


def test_what_goes_on_for_ever_is_told() -> None:
    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(Endless):
        run_virtually(main, max_seconds=1_000)
    with pytest.raises(Endless):
        run_virtually(main, max_steps=1_000)


def test_threads_are_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(Outside):
        run_virtually(main)


def test_tasks_are_hashed_by_their_number() -> None:
    async def main() -> list[str]:
        tasks = {asyncio.ensure_future(asyncio.sleep(0)) for _ in range(20)}
        names = [task.get_name() for task in tasks]
        await asyncio.wait(tasks)
        return names

    names = run_virtually(main)
    assert names == sorted(names, key=lambda name: int(name.removeprefix("Task-")))
