"""How a server of 2, then 8, then 1 workers is followed, beside fixed numbers of requests at once."""

import asyncio
import sys
from contextlib import suppress

import aiohttp
import msgspec

from benchmarks.changing_server import FEW, Stretch
from benchmarks.processes import running
from benchmarks.progress import say
from benchmarks.results import Result, Row
from crawler.errors import RequestRefused
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings

WORKERS = (2, 8, 1)
CLIENTS = 16
LOWEST, HIGHEST = 1, 16
FIXED, QUICK_FIXED = (2, 4, 8, 16), (8,)
SECONDS, QUICK_SECONDS = 6.0, 1.5


class Ran(msgspec.Struct):
    """One way through the phases: what the server saw in each."""

    name: str
    phases: list[Stretch]

    @property
    def refused_percent(self) -> float:
        refused = sum(phase.refused for phase in self.phases)
        return 100 * refused / (refused + sum(phase.answered for phase in self.phases))


def run(quick: bool, repeats: int) -> Result:
    """Adaptive and fixed in turn, in each repeat."""
    seconds = QUICK_SECONDS if quick else SECONDS
    fixed = QUICK_FIXED if quick else FIXED
    repeated: list[list[Ran]] = []
    with running([sys.executable, "-m", "benchmarks.changing_server"]) as process:
        url = process.first_line()
        for repeat in range(repeats):
            bounds = [(LOWEST, HIGHEST), *((number, number) for number in fixed)]
            repeated.append([asyncio.run(_ran(url, low, high, seconds)) for low, high in bounds])
            say(f"repeat {repeat + 1} of {repeats}")
    return Result("adapt", "A server of 2, then 8, then 1 workers", _rows(repeated), _notes(seconds, fixed))


def _rows(repeated: list[list[Ran]]) -> list[Row]:
    rows = []
    for place, workers in enumerate(WORKERS):
        shares = [
            100 * _answered(ran[0], place) / max(_answered(other, place) for other in ran[1:]) for ran in repeated
        ]
        name = f"answers, {workers} workers, of the best fixed number"
        rows.append(Row(name, "%", shares, "≥ 90 % of the best fixed setting").at_least(90))
    for place, workers in enumerate(WORKERS[1:], 1):
        after = [ran[0].phases[place].followed_after for ran in repeated]
        name = f"requests until followed, {WORKERS[place - 1]} → {workers} workers"
        never = [ran[0].phases[place].unfollowed for ran in repeated]
        values = [float(lost if count is None else count) for count, lost in zip(after, never, strict=True)]
        row = Row(name, "requests", values, "within 10 requests").at_most(10)
        row.reached = row.reached and None not in after
        rows.append(row)
    refused = Row("refused", "%", [ran[0].refused_percent for ran in repeated], "≤ 1 % refused").at_most(1)
    return [*rows, refused, *_compared(repeated)]


def _compared(repeated: list[list[Ran]]) -> list[Row]:
    """What the best fixed numbers cost the server: refusals, and requests that wait where one worker is left."""
    rows = []
    for number, ran in enumerate(repeated[0]):
        last = [way[number].phases[-1] for way in repeated]
        waiting = [phase.waiting / max(1, phase.answered) for phase in last]
        rows.append(Row(f"waiting before 1 worker, {ran.name}", "requests", waiting))
        if number:
            rows.append(Row(f"refused, {ran.name}", "%", [way[number].refused_percent for way in repeated]))
    return rows


def _answered(ran: Ran, place: int) -> int:
    return ran.phases[place].answered


def _notes(seconds: float, fixed: tuple[int, ...]) -> list[str]:
    numbers = ", ".join(map(str, fixed))
    return [
        f"Each number of workers lasts {seconds:g} s; {CLIENTS} tasks always want to ask.",
        f"Fixed numbers of requests at once: {numbers}; the best one is chosen anew for each number of workers.",
        f"Followed: all workers have work and at most {FEW} requests wait.",
        "Counted are requests that come once no more than the new number of workers are at work.",
    ]


async def _ran(url: str, low: int, high: int, seconds: float) -> Ran:
    settings = ServerSettings(url=url, min_concurrency=low, concurrency=high)
    async with Server("the server", settings, Traffic()) as server, aiohttp.ClientSession(url) as control:
        await _change(control, WORKERS[0])
        async with asyncio.TaskGroup() as tasks:
            clients = [tasks.create_task(_ask(server)) for _ in range(CLIENTS)]
            phases = []
            for following in (*WORKERS[1:], WORKERS[-1]):
                await asyncio.sleep(seconds)
                phases.append(await _change(control, following))
            for client in clients:
                client.cancel()
    return Ran("adaptive" if low < high else f"{low} fixed", phases)


async def _ask(server: Server) -> None:
    while True:
        with suppress(RequestRefused):
            await server.get("/work")


async def _change(control: aiohttp.ClientSession, workers: int) -> Stretch:
    """Another number of workers; gives what happened before."""
    async with control.post("/workers", params={"number": workers}) as answer:
        return msgspec.json.decode(await answer.read(), type=Stretch)
