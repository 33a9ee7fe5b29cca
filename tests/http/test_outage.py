"""Outages on a virtual clock: who asks, who waits, and how it ends."""

import asyncio
import errno
import logging
import re
import socket
from collections.abc import Callable, Coroutine
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

import aiohttp
import pytest

from crawler.errors import RequestRefused, Unreachable
from crawler.http import Response, Server
from crawler.http.exchange import Request
from crawler.http.outage import PAUSE_CAP
from crawler.http.outage_log import TELL_AFTER
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings
from tests.http.conftest import answered_by, no_tls
from tests.simulation.virtual_clock import run_virtually

LATENCY = 0.1


_KEY: Any = SimpleNamespace(host="h", port=1, ssl=None)


def _refused() -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(_KEY, OSError(errno.ECONNREFUSED, "Connection refused"))


def _unknown_host() -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorDNSError(_KEY, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))


class Flaky:
    """A server that is out in `begin <= t < end`, and then fails as `failure` says or gives `status`."""

    def __init__(self, begin: float, end: float, status: int | None = None, **headers: str) -> None:
        self.begin = begin
        self.end = end
        self.status = status
        self.headers = headers
        self.failure = _refused
        self.seen: list[float] = []
        self.poisoned: set[str] = set()

    async def send(self, request: Request) -> Response:
        """Stands for Exchange.send."""
        now = asyncio.get_running_loop().time()
        self.seen.append(now)
        await asyncio.sleep(LATENCY)
        path = request.url.rpartition("/")[2]
        if self.begin <= now < self.end:
            if self.status is None:
                raise self.failure()
            return Response(status=self.status, body=b"", headers=self.headers)
        return Response(status=504 if path in self.poisoned else 200, body=b"{}", headers={})

    @property
    def seen_while_out(self) -> list[float]:
        return [at for at in self.seen if self.begin <= at < self.end]


def _run(
    flaky: Flaky,
    traffic: Traffic,
    scenario: Callable[[Server], Coroutine[object, object, None]],
    patience: float = 300.0,
    slots: int = 1,
) -> None:
    async def main() -> None:
        settings = ServerSettings(url="http://h:1", patience=patience, min_concurrency=slots, concurrency=16)
        with answered_by(flaky.send):
            async with Server("MLflow", settings, traffic) as server:
                await scenario(server)

    run_virtually(main)


async def _ask_on_and_on(server: Server, until: float, path: str = "/x") -> None:
    while asyncio.get_running_loop().time() < until:
        await server.get(path)


async def _ask_in_parallel(server: Server, until: float, clients: int = 50) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(_ask_on_and_on(server, until, f"/{number}"))


@pytest.mark.parametrize("status", [None, 408, 425, 429, 502, 503, 504])
def test_an_outage_of_minutes_is_waited_out_with_few_requests(traffic: Traffic, status: int | None) -> None:
    flaky = Flaky(10, 250, status)
    _run(flaky, traffic, lambda server: _ask_in_parallel(server, 260))
    # Until it is noticed, retries that the budget allows for; then one at a time.
    begun = [at for at in flaky.seen_while_out if at > 60]
    gaps = [later - sooner for sooner, later in pairwise(begun)]
    assert len(begun) < 60
    assert min(gaps) >= LATENCY
    assert max(gaps) <= 10 + 2 * LATENCY
    assert traffic.outage == ""
    assert traffic.in_flight == 0


def test_all_go_on_at_the_first_good_answer(traffic: Traffic) -> None:
    flaky = Flaky(10, 100)
    _run(flaky, traffic, lambda server: _ask_in_parallel(server, 130))
    back = [at for at in flaky.seen if at >= 100]
    assert back[0] <= 111
    assert len([at for at in back if at <= back[0] + 1.5]) >= 10


def test_retry_after_is_honoured_while_it_is_out(traffic: Traffic) -> None:
    flaky = Flaky(10, 200, 503, **{"Retry-After": "25"})
    _run(flaky, traffic, lambda server: _ask_on_and_on(server, 210))
    gaps = [later - sooner for sooner, later in pairwise(flaky.seen_while_out)]
    assert gaps
    assert min(gaps) >= 25


@pytest.mark.parametrize(("status", "kind"), [(None, Unreachable), (503, Unreachable)])
def test_the_end_of_patience_says_how_long_and_since_when(
    traffic: Traffic, status: int | None, kind: type[Exception]
) -> None:
    flaky = Flaky(10, 1e9, status)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        outcomes = await asyncio.gather(*(server.get("/x") for _ in range(20)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [kind] * 20
        unreachable = [outcome for outcome in outcomes if isinstance(outcome, Unreachable)]
        assert all("It has answered nobody for 300 s, since 20" in outcome.message for outcome in unreachable)
        assert 309 <= asyncio.get_running_loop().time() <= 311

    _run(flaky, traffic, scenario)
    assert traffic.outage == ""


def test_patience_counts_from_the_last_good_answer(traffic: Traffic) -> None:
    """When the first request has used up its tries, most of the patience may be over."""
    flaky = Flaky(10, 1e9)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        with pytest.raises(Unreachable):
            await server.get("/x")
        assert asyncio.get_running_loop().time() <= 10 + LATENCY + 130

    _run(flaky, traffic, scenario, patience=100)


@pytest.mark.parametrize("status", [None, 503])
def test_a_server_that_starts_late_is_waited_for_from_the_first_request_on(
    traffic: Traffic, status: int | None
) -> None:
    flaky = Flaky(0, 240, status)

    async def scenario(server: Server) -> None:
        assert (await server.get("/x")).status == 200

    _run(flaky, traffic, scenario)
    assert len(flaky.seen_while_out) < 70


def _waited(begin: float, patience: float) -> str:
    if begin:
        return f"It has answered nobody for {patience:.0f} s, since"
    return f"It has not answered once in {patience:.0f} s" if patience >= 1 else "connection refused"


@pytest.mark.parametrize("begin", [0, 10])
@pytest.mark.parametrize("patience", [0.3, 3, 1_000])
def test_patience_holds_from_the_first_request_on_however_short_it_is(
    traffic: Traffic, begin: float, patience: float
) -> None:
    flaky = Flaky(begin, 1e9)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, begin)
        with pytest.raises(Unreachable, match=_waited(begin, patience)):
            await server.get("/x")
        assert patience <= asyncio.get_running_loop().time() - begin <= patience + 4 * LATENCY

    _run(flaky, traffic, scenario, patience)


def test_a_host_that_was_never_known_is_not_waited_for(traffic: Traffic) -> None:
    unknown = mock.AsyncMock(side_effect=_unknown_host())

    async def scenario(server: Server) -> None:
        with pytest.raises(Unreachable, match="host name of MLflow, h:1, is unknown"):
            await server.get("/x")
        assert asyncio.get_running_loop().time() == 0

    _run(mock.MagicMock(send=unknown), traffic, scenario)
    assert unknown.await_count == 1


@pytest.mark.parametrize("outage", [20, 1e9])
def test_a_host_that_has_answered_may_be_unknown_for_a_while(traffic: Traffic, outage: float) -> None:
    """As a service of Kubernetes that restarts."""
    flaky = Flaky(10, 10 + outage)
    flaky.failure = _unknown_host

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        if outage == 20:
            await server.get("/x")
            return
        with pytest.raises(Unreachable, match=r"host name of MLflow, h:1, is unknown.*answered nobody for 1.. s"):
            await server.get("/x")

    _run(flaky, traffic, scenario, patience=100)


def test_without_patience_nothing_is_waited_for(traffic: Traffic) -> None:
    flaky = Flaky(10, 1e9)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        with pytest.raises(Unreachable):
            await server.get("/x")

    _run(flaky, traffic, scenario, patience=0)
    assert len(flaky.seen_while_out) == 8


def test_a_request_of_its_own_fault_is_no_outage(traffic: Traffic, caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky(1e9, 1e9)
    flaky.poisoned = {"bad"}

    async def scenario(server: Server) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_ask_on_and_on(server, 300))
            with pytest.raises(RequestRefused) as caught:
                await server.get("/bad")
        assert caught.value.status == 504

    _run(flaky, traffic, scenario)
    assert "no answer" not in caplog.text
    assert traffic.retries == 7


def test_a_500_is_no_outage(traffic: Traffic) -> None:
    flaky = Flaky(10, 1e9, 500)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        with pytest.raises(RequestRefused):
            await server.get("/x")

    _run(flaky, traffic, scenario)
    assert len(flaky.seen_while_out) == 3


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


def test_an_outage_is_told_once_at_its_begin_and_once_at_its_end(
    traffic: Traffic, caplog: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(10, 200)
    shown = []

    async def scenario(server: Server) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_ask_in_parallel(server, 210))
            await asyncio.sleep(150)
            shown.append((traffic.outage, traffic.patience))

    _run(flaky, traffic, scenario)
    begun, *reminders, ended = _told(caplog)
    told = re.fullmatch(
        r"MLflow at h:1 gives no answer, for (\S+) s now \(connection refused\): waiting up to 5m00s for it\.", begun
    )
    assert told is not None
    # Before the tries of the first request are used up.
    assert TELL_AFTER <= float(told[1]) < TELL_AFTER + PAUSE_CAP
    assert 2 <= len(reminders) <= 3
    assert all(reminder.startswith("MLflow at h:1 still gives no answer, for ") for reminder in reminders)
    # The first probe that is answered comes at most one pause after the server is back.
    assert re.fullmatch(r"MLflow at h:1 answers again, after 3m(1[0-9]|2[01])s\.", ended)
    assert shown == [("connection refused", 300.0)]


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_what_may_be_the_fault_of_a_request_is_told_when_it_is_known_to_be_none(
    traffic: Traffic, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    _run(Flaky(10, 60, status), traffic, lambda server: _ask_in_parallel(server, 70))
    begun, ended = _told(caplog)
    assert f"(status {status}): waiting up to 5m00s" in begun
    assert "answers again" in ended


def test_a_moment_without_answers_is_not_told(traffic: Traffic, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "crawler.http"):
        _run(Flaky(10, 10 + TELL_AFTER / 2), traffic, lambda server: _ask_in_parallel(server, 30))
    assert traffic.retries
    assert [record for record in caplog.records if record.name == "crawler.http"] == []


def test_who_probes_may_be_given_up_and_another_probes_on(traffic: Traffic) -> None:
    flaky = Flaky(10, 200)

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        asked = [asyncio.create_task(server.get("/x")) for _ in range(3)]
        await asyncio.sleep(100)
        assert traffic.outage
        for task in asked[:2]:
            task.cancel()
        assert (await asked[2]).status == 200
        assert 200 <= asyncio.get_running_loop().time() <= 211

    _run(flaky, traffic, scenario)


def test_outages_that_follow_each_other_are_each_waited_out(traffic: Traffic) -> None:
    flaky = Flaky(10, 240)

    async def scenario(server: Server) -> None:
        await _ask_in_parallel(server, 260)
        flaky.begin, flaky.end = 270, 500
        await _ask_in_parallel(server, 520)

    _run(flaky, traffic, scenario)
    assert traffic.outage == ""


def test_a_late_answer_to_another_request_ends_it(traffic: Traffic) -> None:
    """The one that probes does not sleep on through a Retry-After of two minutes."""
    flaky = Flaky(10, 1e9, 503)
    send = flaky.send

    async def slow_for_one(request: Request) -> Response:
        if request.url.endswith("/late"):
            await asyncio.sleep(200)
            flaky.end = 0
            return Response(status=200, body=b"{}", headers={})
        if traffic.outage:
            flaky.headers = {"Retry-After": "120"}
        return await send(request)

    flaky.send = slow_for_one  # type: ignore[method-assign]

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        late = asyncio.create_task(server.get("/late"))
        asked = [asyncio.create_task(server.get("/x")) for _ in range(3)]
        await late
        ended = asyncio.get_running_loop().time()
        await asyncio.gather(*asked)
        assert asyncio.get_running_loop().time() < ended + 5

    _run(flaky, traffic, scenario, patience=2_000, slots=4)
    assert flaky.headers


def test_a_probe_that_fails_once_the_outage_is_over_does_not_begin_another(
    traffic: Traffic, caplog: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(10, 1e9, 503)
    send = flaky.send
    probing = asyncio.Event()

    async def slow_probes(request: Request) -> Response:
        if request.url.endswith("/late"):
            await probing.wait()
            flaky.end = 0
            return Response(status=200, body=b"{}", headers={})
        if not traffic.outage:
            return await send(request)
        probing.set()
        await asyncio.sleep(20)
        return Response(status=503, body=b"", headers={})

    flaky.send = slow_probes  # type: ignore[method-assign]

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        answers = await asyncio.gather(server.get("/late"), server.get("/x"))
        assert [answer.status for answer in answers] == [200, 200]

    with caplog.at_level(logging.WARNING):
        _run(flaky, traffic, scenario, slots=4)
    assert traffic.outage == ""
    assert [record.getMessage().partition(",")[0] for record in caplog.records][1:] == ["MLflow at h:1 answers again"]


def test_a_server_that_comes_back_as_another_one_is_not_waited_for(traffic: Traffic) -> None:
    flaky = Flaky(10, 1e9)
    send = flaky.send

    async def without_tls(request: Request) -> Response:
        if asyncio.get_running_loop().time() < 200:
            return await send(request)
        raise no_tls()

    flaky.send = without_tls  # type: ignore[method-assign]

    async def scenario(server: Server) -> None:
        await _ask_on_and_on(server, 10)
        with pytest.raises(Unreachable, match="does not speak TLS"):
            await server.get("/x")
        assert asyncio.get_running_loop().time() < 215

    _run(flaky, traffic, scenario)
