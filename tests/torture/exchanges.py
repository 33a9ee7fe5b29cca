"""The network of tests/simulation without its chance: exchanges are numbered, and one of them fails in one way."""

import asyncio
from collections.abc import Callable
from enum import Enum
from random import Random

import aiohttp
from multidict import CIMultiDict

from crawler.http.exchange import Request
from crawler.http.responses import Response
from tests.simulation.network import Answerer, Link, Network, Session

LATENCY = 0.12
"""Seconds to a server, and back: a crawl then takes long enough for some commits of its state."""


class Fault(Enum):
    """What can happen to one exchange; `AFTER` the server has done its work."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    HANGS_BEFORE = "time-out before"
    HANGS_AFTER = "time-out after"
    THROTTLED = "429"
    THROTTLED_AWHILE = "429 with Retry-After"
    FAILED_BEFORE = "500 before"
    FAILED_AFTER = "500 after"
    UNAVAILABLE = "503"
    BROKEN_OFF = "truncated body"
    HALVED = "half a body as if whole"
    NO_JSON = "invalid JSON"
    SLOW = "slow body"
    DRIPPING = "a byte a second"
    KILLED_BEFORE = "killed before an exchange"
    KILLED_AFTER = "killed after an exchange"


KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
GARBLED = (Fault.HALVED, Fault.NO_JSON)
"""What no client can tell from an answer that was meant so: these may cost something, which is then named."""

_STATUSES = {
    Fault.THROTTLED: (429, {}),
    Fault.THROTTLED_AWHILE: (429, {"Retry-After": "7"}),
    Fault.FAILED_BEFORE: (500, {}),
    Fault.FAILED_AFTER: (500, {}),
    Fault.UNAVAILABLE: (503, {}),
}
_INSTEAD = {Fault.THROTTLED, Fault.THROTTLED_AWHILE, Fault.FAILED_BEFORE, Fault.UNAVAILABLE}


class Exchanges(Network):
    """Numbers exchanges from 0 on in each life: number `at` meets `fault`. `kill` ends the process there; it raises."""

    def __init__(self, servers: dict[str, Answerer], trace: Callable[[str], None], kill: Callable[[], None]) -> None:
        super().__init__(servers, {name: Link(latency=LATENCY) for name in servers}, Random(0), trace)
        self._kill = kill
        self.count = 0
        self.at: int | None = None
        self.fault: Fault | None = None

    def begin(self, at: int | None = None, fault: Fault | None = None) -> None:
        """A new life."""
        self.count = 0
        self.at, self.fault = at, fault

    async def _carry(self, session: Session, request: Request) -> Response:
        if session.process.dead:
            raise aiohttp.ClientConnectionError("This process is gone.")
        fault = self.fault if self.count == self.at else None
        self.count += 1
        await asyncio.sleep(LATENCY)
        if (response := await self._before(fault)) is not None:
            return response
        answer = await self._at_server(session, request)
        await asyncio.sleep(LATENCY)
        return await self._after(fault, answer)

    async def _before(self, fault: Fault | None) -> Response | None:
        """What comes where the request does not reach the server."""
        match fault:
            case Fault.RESET_BEFORE:
                raise aiohttp.ServerDisconnectedError
            case Fault.HANGS_BEFORE:
                await asyncio.get_running_loop().create_future()
            case Fault.KILLED_BEFORE:
                self._kill()
        return _refusal(fault) if fault in _INSTEAD else None

    async def _after(self, fault: Fault | None, answer: Response) -> Response:
        match fault:
            case Fault.RESET_AFTER:
                raise aiohttp.ServerDisconnectedError
            case Fault.HANGS_AFTER:
                await asyncio.get_running_loop().create_future()
            case Fault.BROKEN_OFF:
                raise aiohttp.ClientPayloadError("Response payload is not completed")
            case Fault.FAILED_AFTER:
                return _refusal(fault)
            case Fault.HALVED:
                return Response(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
            case Fault.NO_JSON:
                return Response(answer.status, b'{"runs": [}', answer.headers)
            case Fault.SLOW:
                await asyncio.sleep(20)
            case Fault.DRIPPING:
                await asyncio.sleep(len(answer.body))
            case Fault.KILLED_AFTER:
                self._kill()
        return answer


def _refusal(fault: Fault) -> Response:
    status, headers = _STATUSES[fault]
    body = b'{"error_code": "TORTURE", "message": "This is the exchange that fails."}'
    return Response(status, body, CIMultiDict({"Content-Type": "application/json", **headers}))
