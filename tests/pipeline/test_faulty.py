"""The faults of the soak: seeded, counted, and each what it is called."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.servers.faulty import Faulty, Kind

pytestmark = pytest.mark.slow

BODY = b"x" * 1_000
REQUESTS = 600


@asynccontextmanager
async def serving(faulty: Faulty, handled: list[str]) -> AsyncIterator[str]:
    """A server whose handler notes the paths that it was asked for."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        handled.append(request.path)
        return web.Response(body=BODY)

    runner = web.ServerRunner(web.Server(faulty.around(handle)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def outcome(session: aiohttp.ClientSession, url: str) -> tuple[str, dict[str, str]]:
    """The status or the error's name; the headers."""
    try:
        async with session.post(url, data=BODY) as response:
            await response.read()
            return str(response.status), dict(response.headers)
    except aiohttp.ClientError as error:
        return type(error).__name__, {}


async def outcomes(share: float, seed: int) -> tuple[list[str], list[str], Faulty]:
    """What comes of many requests, which of them the handler got, and what was counted."""
    faulty = Faulty(share, seed)
    handled: list[str] = []
    async with serving(faulty, handled) as url, aiohttp.ClientSession() as session:
        seen = [(await outcome(session, f"{url}/{number}"))[0] for number in range(REQUESTS)]
    return seen, handled, faulty


async def test_each_kind_of_fault_is_what_it_is_called() -> None:
    seen, handled, faulty = await outcomes(1.0, seed=1)
    met = {Kind(name): count for name, count in faulty.met.items()}
    assert met.keys() == set(Kind)
    assert sum(met.values()) == faulty.requests == REQUESTS
    for kind in (Kind.INTERNAL_ERROR, Kind.UNAVAILABLE, Kind.THROTTLED):
        assert seen.count(kind.value) == met[kind]
    assert seen.count("ClientPayloadError") == met[Kind.BROKEN_OFF]
    assert "200" not in seen
    assert len(handled) == met[Kind.RESET_AFTER] + met[Kind.BROKEN_OFF]
    resets = [name for name in seen if not name.isdigit() and name != "ClientPayloadError"]
    assert len(resets) == met[Kind.RESET_BEFORE] + met[Kind.RESET_AFTER]
    assert all(issubclass(getattr(aiohttp, name), aiohttp.ClientConnectionError) for name in resets)


async def test_what_fails_follows_from_the_seed() -> None:
    first, _, _ = await outcomes(0.2, seed=5)
    again, _, faulty = await outcomes(0.2, seed=5)
    other, _, _ = await outcomes(0.2, seed=6)
    assert [name == "200" for name in first] == [name == "200" for name in again]
    assert [name == "200" for name in first] != [name == "200" for name in other]
    assert sum(faulty.met.values()) == REQUESTS - again.count("200")
    assert 0.1 < sum(faulty.met.values()) / REQUESTS < 0.3


async def test_a_server_without_faults_is_left_alone() -> None:
    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    faulty = Faulty(0.0, seed=1)
    assert faulty.around(handle) is handle
    assert faulty.summary() == {}


async def test_the_summary_tells_what_was_met() -> None:
    seen, _, faulty = await outcomes(0.5, seed=2)
    assert faulty.summary() == {"asked": len(seen), "faults": dict(faulty.met)}
    assert sum(faulty.met.values()) == len(seen) - seen.count("200")


async def test_unavailable_asks_for_no_wait() -> None:
    async with serving(Faulty(1.0, seed=1), []) as url, aiohttp.ClientSession() as session:
        answers = [await outcome(session, url) for _ in range(50)]
    assert {headers.get("Retry-After") for status, headers in answers if status == "503"} == {"0"}
