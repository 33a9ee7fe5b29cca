"""The real client at servers that bear more or less under way: over sockets, or virtually where time decides."""

import asyncio

import pytest
from aiohttp import web
from multidict import CIMultiDict

from crawler.errors import Unreachable
from crawler.http import Server
from crawler.http.exchange import Request
from crawler.http.limiter.semaphore import DynamicSemaphore
from crawler.http.responses import Response
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings
from tests.http.conftest import Connect, Serve, ServeRaw, answered_by
from tests.simulation.virtual_clock import run_virtually

WORK_SECONDS = 0.02
FEW = 6


class Workers:
    """So many requests are worked on at once, others wait, and those beyond `refuses_beyond` get 429."""

    def __init__(self, number: int, refuses_beyond: int = 1_000) -> None:
        self.number = number
        self.refused = 0
        self.queues: list[int] = []
        """How many waited when a request came."""
        self.arrived = asyncio.Event()
        self._refuses_beyond = refuses_beyond
        self._present = 0
        self._semaphore = DynamicSemaphore(lambda: self.number)

    async def answer(self, _: web.Request) -> web.Response:
        """Over a socket."""
        return web.json_response({}, status=await self._work())

    async def send(self, _: Request) -> Response:
        """In place of the innermost stage, where time is virtual: a machine's pauses look like a slow server."""
        return Response(await self._work(), b"{}", CIMultiDict())

    async def _work(self) -> int:
        if self._present >= self._refuses_beyond:
            self.refused += 1
            return 429
        self._present += 1
        self.queues.append(max(0, self._present - self.number))
        self.arrived.set()
        async with self._semaphore:
            await asyncio.sleep(WORK_SECONDS)
        self._present -= 1
        return 200


def _virtual_server(workers: Workers, traffic: Traffic) -> Server:
    with answered_by(workers.send):
        return Server("MLflow", ServerSettings(url="http://virtual:1"), traffic)


async def _ask(server: Server, requests: int, clients: int = 16) -> None:
    """So many requests, by tasks that each ask for the next one when they have an answer."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            await server.get("/x")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())


def test_workers_that_become_more_and_fewer_are_followed(traffic: Traffic) -> None:
    workers = Workers(2)

    async def ask() -> None:
        async with _virtual_server(workers, traffic) as server:
            assert traffic.concurrency == 4
            await _ask(server, 60)
            workers.number = 8
            await _ask(server, 240)
            assert traffic.concurrency >= 8
            workers.number = 1
            await _ask(server, 60)

    run_virtually(ask)
    assert max(workers.queues[-20:]) <= FEW
    assert traffic.concurrency <= 8
    assert traffic.in_flight == 0


def test_few_requests_are_refused(traffic: Traffic) -> None:
    workers = Workers(100, refuses_beyond=3)

    async def ask() -> None:
        async with _virtual_server(workers, traffic) as server:
            await _ask(server, 400)

    run_virtually(ask)
    assert traffic.retries == workers.refused
    assert workers.refused <= 10


async def test_the_limit_stands_still_where_its_bounds_are_alike(
    serve: Serve, connect: Connect, traffic: Traffic
) -> None:
    server = await connect(await serve(Workers(2).answer), concurrency=5, min_concurrency=5)
    await _ask(server, 40)
    assert (traffic.lowest_concurrency, traffic.concurrency, traffic.highest_concurrency) == (5, 5, 5)


async def test_broken_connections_shrink_the_limit(serve_raw: ServeRaw, connect: Connect, traffic: Traffic) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    server = await connect(await serve_raw(close), attempts=6)
    with pytest.raises(Unreachable):
        await server.get("/x")
    assert traffic.concurrency == 1


async def test_answers_with_errors_leave_the_limit_alone(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    async def missing(_: web.Request) -> web.Response:
        return web.json_response({}, status=404)

    server = await connect(await serve(missing))
    for _ in range(3):
        await asyncio.gather(*(server.get("/x") for _ in range(8)), return_exceptions=True)
    assert (traffic.lowest_concurrency, traffic.highest_concurrency) == (4, 4)


async def test_two_servers_share_what_is_told(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    url = await serve(Workers(2).answer)
    await connect(url)
    await connect(url, concurrency=3)
    assert traffic.concurrency == 7


async def test_requests_that_are_given_up_leave_their_slots(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    workers = Workers(2)
    server = await connect(await serve(workers.answer), concurrency=2)
    tasks = [asyncio.create_task(server.get("/x")) for _ in range(6)]
    await workers.arrived.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(server.get("/x") for _ in range(6)))
    assert traffic.in_flight == 0
