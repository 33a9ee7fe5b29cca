"""A request that is not answered, on a virtual clock: a health check tells whether it is at fault, or the server."""

import asyncio
from collections.abc import Callable, Coroutine

import aiohttp
import pytest

from crawler.errors import RequestRefused, Unreachable
from crawler.http import Response, Server
from crawler.http.exchange import Request
from crawler.http.outage import MAX_OUTAGES
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings
from tests.http.conftest import answered_by, no_tls
from tests.simulation.virtual_clock import run_virtually

LATENCY = 0.1
TIMEOUT = 30.0
HEALTH_CHECK = "/cheap"
Scenario = Callable[[Server], Coroutine[object, object, None]]


class Stalling:
    """A server that is out in `begin <= t < end`, and does not answer `/bad` in any case: it fails as `how` says."""

    def __init__(self, how: str, begin: float = 0, end: float = 0) -> None:
        self.how = how
        self.begin = begin
        self.end = end
        self.seen: list[str] = []
        self.dies_for = 0.0

    async def send(self, request: Request) -> Response:
        """Stands for Exchange.send."""
        now = asyncio.get_running_loop().time()
        path = request.url.removeprefix("http://h:1")
        self.seen.append(path)
        await asyncio.sleep(LATENCY)
        if path == "/bad" and self.dies_for:
            self.begin, self.end = now, now + self.dies_for
        if path == "/bad" or self.begin <= now < self.end:
            return await self._fail()
        return Response(status=200, body=b"{}", headers={})

    async def _fail(self) -> Response:
        if self.how == "stalls":
            await asyncio.sleep(TIMEOUT)
            raise TimeoutError
        if self.how == "closes":
            raise aiohttp.ServerDisconnectedError
        if self.how == "breaks off":
            raise aiohttp.ClientPayloadError
        return Response(status=int(self.how), body=b"", headers={})


def _run(server: Stalling, scenario: Scenario, patience: float = 300.0) -> Traffic:
    traffic = Traffic()

    async def main() -> None:
        settings = ServerSettings(url="http://h:1", patience=patience)
        with answered_by(server.send):
            async with Server("MLflow", settings, traffic, health_check=HEALTH_CHECK) as opened:
                await scenario(opened)

    run_virtually(main)
    return traffic


@pytest.mark.parametrize("patience", [0, 900, 1e6])
@pytest.mark.parametrize("how", ["stalls", "closes", "breaks off"])
def test_a_request_that_others_would_not_have_is_at_fault_itself(
    how: str, patience: float, caplog: pytest.LogCaptureFixture
) -> None:
    stalling = Stalling(how)

    async def scenario(server: Server) -> None:
        await server.get("/x")
        with pytest.raises(Unreachable) as caught:
            await server.get("/bad")
        assert (caught.value.timed_out, caught.value.broken_off) == (how == "stalls", how != "stalls")
        await server.get("/x")

    _run(stalling, scenario, patience)
    # One more try after the health check: perhaps the server came back only then.
    assert stalling.seen == ["/x", *["/bad"] * 8, HEALTH_CHECK, "/bad", "/x"]
    assert "no answer" not in caplog.text


def test_a_proxy_that_answers_for_it_is_no_outage() -> None:
    async def scenario(server: Server) -> None:
        with pytest.raises(RequestRefused) as caught:
            await server.post("/bad", b"", attempts=2)
        assert caught.value.status == 502

    stalling = Stalling("502")
    _run(stalling, scenario)
    assert stalling.seen == ["/bad", "/bad", HEALTH_CHECK, "/bad"]


@pytest.mark.parametrize("how", ["stalls", "closes", "502"])
@pytest.mark.parametrize("path", ["/x", "/bad"])
def test_a_server_that_is_out_is_waited_for_and_never_looks_like_the_fault_of_a_request(how: str, path: str) -> None:
    stalling = Stalling(how, 10, 1e9)

    async def scenario(server: Server) -> None:
        await server.get("/x")
        await asyncio.sleep(10)
        outcomes = await asyncio.gather(*(server.get(path) for _ in range(2)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unreachable] * 2
        unreachable = [outcome for outcome in outcomes if isinstance(outcome, Unreachable)]
        assert not any(outcome.timed_out or outcome.broken_off for outcome in unreachable)
        assert all("It has answered nobody for " in outcome.message for outcome in unreachable)
        assert asyncio.get_running_loop().time() < 10 + 2_000 + 3 * TIMEOUT

    _run(stalling, scenario, 2_000)


@pytest.mark.parametrize("patience", [0, 100])
def test_at_the_end_of_patience_no_time_out_looks_like_the_fault_of_a_request(patience: float) -> None:
    """Its tries alone may take longer than that."""
    stalling = Stalling("stalls", 10, 1e9)

    async def scenario(server: Server) -> None:
        await server.get("/x")
        await asyncio.sleep(10)
        with pytest.raises(Unreachable, match="It has answered nobody for ") as caught:
            await server.get("/x")
        assert not caught.value.timed_out

    _run(stalling, scenario, patience)
    tries = stalling.seen.index(HEALTH_CHECK) - 1
    assert stalling.seen == [*["/x"] * (1 + tries), HEALTH_CHECK]
    # Without patience all eight; else none begins after its end, which counts from the first failure on.
    assert tries == 8 if not patience else 4 <= tries <= 5


def test_a_server_that_never_answered_is_not_the_fault_of_a_request_either() -> None:
    async def scenario(server: Server) -> None:
        with pytest.raises(Unreachable) as caught:
            await server.get("/x")
        assert "answered nobody" not in caught.value.message
        assert not caught.value.timed_out

    _run(Stalling("stalls", 0, 1e9), scenario)


def test_an_outage_that_ends_just_before_the_health_check_costs_nothing() -> None:
    stalling = Stalling("closes", 10, 1e9)
    send = stalling.send

    async def back_for_the_check(request: Request) -> Response:
        if request.url.endswith(HEALTH_CHECK):
            stalling.end = 0
        return await send(request)

    stalling.send = back_for_the_check  # type: ignore[method-assign]

    async def scenario(server: Server) -> None:
        await server.get("/x")
        await asyncio.sleep(10)
        assert (await server.get("/x")).status == 200

    _run(stalling, scenario)


def test_in_an_outage_the_health_check_is_sent_and_fresh_tries_follow() -> None:
    stalling = Stalling("closes", 10, 250)

    async def scenario(server: Server) -> None:
        await server.get("/x")
        await asyncio.sleep(10)
        assert (await server.get("/x")).status == 200

    _run(stalling, scenario)
    assert stalling.seen[-2:] == [HEALTH_CHECK, "/x"]
    assert set(stalling.seen[9:-1]) == {HEALTH_CHECK}


def test_a_request_that_the_whole_server_dies_of_each_time_comes_to_an_end() -> None:
    stalling = Stalling("closes")
    stalling.dies_for = 60

    async def scenario(server: Server) -> None:
        await server.get("/x")
        with pytest.raises(Unreachable) as caught:
            await server.get("/bad")
        assert caught.value.broken_off

    _run(stalling, scenario)
    assert stalling.seen.count("/bad") == 8 * (MAX_OUTAGES + 1)


def test_many_that_would_like_to_know_ask_once() -> None:
    stalling = Stalling("closes")

    async def scenario(server: Server) -> None:
        await server.get("/x")
        outcomes = await asyncio.gather(*(server.get("/bad") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, Unreachable) and outcome.broken_off for outcome in outcomes)

    _run(stalling, scenario)
    assert stalling.seen.count(HEALTH_CHECK) <= 10


def test_those_that_fail_at_the_same_time_share_one_answer() -> None:
    stalling = Stalling("closes")

    async def scenario(server: Server) -> None:
        await server.get("/x")
        asked = [server.post("/bad", b"", attempts=1) for _ in range(2)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, Unreachable) and outcome.broken_off for outcome in outcomes)

    _run(stalling, scenario)
    assert stalling.seen == ["/x", "/bad", "/bad", HEALTH_CHECK, "/bad", "/bad"]


def test_a_health_check_that_can_never_be_answered_says_why() -> None:
    stalling = Stalling("closes")
    send = stalling.send

    async def without_tls(request: Request) -> Response:
        if request.url.endswith(HEALTH_CHECK):
            raise no_tls()
        return await send(request)

    stalling.send = without_tls  # type: ignore[method-assign]

    async def scenario(server: Server) -> None:
        await server.get("/x")
        with pytest.raises(Unreachable, match="does not speak TLS") as caught:
            await server.get("/bad")
        assert not caught.value.broken_off

    _run(stalling, scenario)
