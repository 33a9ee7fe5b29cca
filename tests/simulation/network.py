"""What lies between the crawler and both servers instead of sockets: time, loss, refusals, garbage and outages."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from random import Random
from typing import Any, Self
from unittest import mock

import aiohttp
import msgspec
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict

from crawler.http.exchange import Request
from crawler.http.responses import Response

SEAM = "crawler.http.server.Exchange"
RETRY_AFTERS = ("0", "2", "30", "100000", "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 2999 23:59:59 GMT", "soon")
PROXY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Fault(Enum):
    """What can happen to one exchange; `AFTER` it reached the server and was done there."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    BROKEN_OFF = "broken off in the body"
    HANGS_BEFORE = "no answer"
    HANGS_AFTER = "done, but no answer"
    THROTTLED = "429"
    THROTTLED_AWHILE = "429 with Retry-After"
    UNAVAILABLE = "503"
    FAILED_BEFORE = "500"
    FAILED_AFTER = "done, but 500"
    BAD_GATEWAY = "502 of a proxy"
    SLOW = "slow"
    GARBAGE = "200 with half a body"


class Outage(msgspec.Struct, frozen=True):
    """From `begin` to `end`, in virtual seconds, nothing listens."""

    begin: float
    end: float


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one server: a round trip takes about `latency` seconds, and each exchange meets a fault with its
    share.
    """

    latency: float
    faults: dict[Fault, float] = {}
    outages: tuple[Outage, ...] = ()

    def outage_at(self, time: float) -> Outage | None:
        """The outage in which this moment lies; those that overlap are one."""
        merged: list[Outage] = []
        for outage in sorted(self.outages, key=lambda each: each.begin):
            if merged and outage.begin <= merged[-1].end:
                merged[-1] = Outage(merged[-1].begin, max(merged[-1].end, outage.end))
            else:
                merged.append(outage)
        return next((outage for outage in merged if outage.begin <= time < outage.end), None)


class Connection:
    """What a server sees of the client, as asyncio's transports show it."""

    def __init__(self) -> None:
        self._closing = False

    def is_closing(self) -> bool:
        """Whether the client has hung up."""
        return self._closing

    def abort(self) -> None:
        """Hangs up."""
        self._closing = True


class Process:
    """One life of the crawler. What is `dead` reaches nobody any more. `answered` tells since when each server does."""

    def __init__(self) -> None:
        self.dead = False
        self.answered: dict[str, float] = {}


class Session:
    """In place of crawler.http's Exchange: requests go by a network."""

    def __init__(
        self, network: "Network", process: Process, name: str, timeout: float, headers: Mapping[str, str]
    ) -> None:
        self._network = network
        self.process = process
        self.name = name
        self.timeout = timeout
        self.headers: CIMultiDict[str] = CIMultiDict({"User-Agent": "simulation", "Accept": "application/json"})
        self.headers.update(headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def send(self, request: Request) -> Response:
        return await self._network.exchange(self, request)


Answerer = Callable[[Request, CIMultiDict[str], Connection], Awaitable[Response]]


class Network:
    """`servers` by the names that the crawler calls them, `links` alike. No faults once it is `calm`.

    `trace` is told of each exchange: the server, the path and how it ended.
    """

    def __init__(
        self,
        servers: dict[str, Answerer],
        links: dict[str, Link],
        chance: Random,
        trace: Callable[[str], None],
    ) -> None:
        self.process = Process()
        self.calm = False
        self.met: set[Fault] = set()
        self._servers = servers
        self._links = links
        self._chance = chance
        self._trace = trace
        self._at_work: set[asyncio.Task[Response]] = set()

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        """Within this context the crawler's requests go by this network."""
        with mock.patch(SEAM, self._open):
            yield

    async def settled(self) -> None:
        """When the servers have done with all that reached them."""
        while self._at_work:
            await asyncio.wait(set(self._at_work))

    def _open(self, name: str, settings: Any, headers: Mapping[str, str], **_: object) -> Session:
        return Session(self, self.process, name, settings.timeout, headers)

    async def exchange(self, session: Session, request: Request) -> Response:
        """One try over this network."""
        path = request.url.partition("//")[2].partition("/")[2]
        ended = "given up"
        try:
            async with asyncio.timeout(session.timeout):
                response = await self._carry(session, request)
            ended = str(response.status)
            if response.status < 300:
                session.process.answered.setdefault(session.name, asyncio.get_running_loop().time())
        except (aiohttp.ClientError, TimeoutError) as error:
            ended = type(error).__name__
            raise
        finally:
            self._trace(f"{session.name} /{path}: {ended}")
        return response

    async def _carry(self, session: Session, request: Request) -> Response:
        if session.process.dead:
            raise aiohttp.ClientConnectionError("This process is gone.")
        link = self._links[session.name]
        fault = None if self.calm else self._draw(link)
        there, back = (link.latency * self._chance.uniform(0.2, 0.8) for _ in range(2))
        await asyncio.sleep(there)
        self._meet_outage(link)
        if fault is not None:
            self.met.add(fault)
            if (response := await self._instead(fault)) is not None:
                return response
        answer = await self._at_server(session, request)
        await asyncio.sleep(back)
        if fault is not None:
            answer = await self._spoilt(fault, answer)
        return answer

    def _draw(self, link: Link) -> Fault | None:
        left = self._chance.random()
        for fault, share in link.faults.items():
            left -= share
            if left < 0:
                return fault
        return None

    def _meet_outage(self, link: Link) -> None:
        now = asyncio.get_running_loop().time()
        if self.calm or link.outage_at(now) is None:
            return
        key = ConnectionKey("server", 80, False, True, None, None, None)
        raise aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "Connection refused"))

    async def _instead(self, fault: Fault) -> Response | None:
        """What comes in place of the server's answer, where the request does not reach it."""
        match fault:
            case Fault.RESET_BEFORE:
                raise aiohttp.ServerDisconnectedError
            case Fault.HANGS_BEFORE:
                await asyncio.get_running_loop().create_future()
            case Fault.THROTTLED:
                return _failure(429)
            case Fault.THROTTLED_AWHILE:
                return _failure(429, {"Retry-After": self._chance.choice(RETRY_AFTERS)})
            case Fault.UNAVAILABLE:
                return _failure(503, {"Retry-After": "1"})
            case Fault.FAILED_BEFORE:
                return _failure(500)
            case Fault.BAD_GATEWAY:
                return Response(502, PROXY_PAGE, CIMultiDict({"Content-Type": "text/html"}))
            case Fault.SLOW:
                await asyncio.sleep(self._chance.uniform(1, 30))
        return None

    async def _at_server(self, session: Session, request: Request) -> Response:
        """The server's own answer. It goes on with what has reached it, whatever becomes of the client."""
        connection = Connection()
        headers = session.headers.copy()
        headers.update(request.headers)
        answering = self._servers[session.name](request, headers, connection)
        work = asyncio.ensure_future(answering)
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        try:
            answer = await asyncio.shield(work)
        finally:
            gone = connection.is_closing()
            connection.abort()
        if gone:
            raise aiohttp.ServerDisconnectedError
        return answer

    async def _spoilt(self, fault: Fault, answer: Response) -> Response:
        match fault:
            case Fault.RESET_AFTER:
                raise aiohttp.ServerDisconnectedError
            case Fault.BROKEN_OFF:
                raise aiohttp.ClientPayloadError("Response payload is not completed")
            case Fault.HANGS_AFTER:
                await asyncio.get_running_loop().create_future()
            case Fault.FAILED_AFTER:
                return _failure(500)
            case Fault.GARBAGE:
                return Response(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        return answer


def _failure(status: int, headers: Mapping[str, str] | None = None) -> Response:
    body = b'{"error_code": "SIMULATED", "message": "A fault of the network."}'
    return Response(status, body, CIMultiDict({"Content-Type": "application/json", **(headers or {})}))
