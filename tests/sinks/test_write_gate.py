"""Many at once, or one alone."""

import asyncio

from crawler.sinks.write_gate import WriteGate
from tests.simulation.virtual_clock import run_virtually


def test_one_that_is_alone_waits_for_those_inside_and_goes_before_later_ones() -> None:
    gate, order = WriteGate(), list[str]()

    async def together(name: str, begin: float) -> None:
        await asyncio.sleep(begin)
        async with gate.shared():
            order.append(f"{name} in")
            await asyncio.sleep(10)
            order.append(f"{name} out")

    async def alone(begin: float) -> None:
        await asyncio.sleep(begin)
        async with gate.alone():
            order.append("alone in")
            await asyncio.sleep(10)
            order.append("alone out")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, begin in (("a", 0), ("b", 1), ("late", 3)):
                tasks.create_task(together(name, begin))
            tasks.create_task(alone(2))

    run_virtually(main)
    assert order == ["a in", "b in", "a out", "b out", "alone in", "alone out", "late in", "late out"]
