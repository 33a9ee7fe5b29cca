"""Requests that fail at the server itself: a share of them, each in one of a few ways, chosen by a seed."""

import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeVar

from aiohttp import web

Asked = TypeVar("Asked", bound=web.BaseRequest)
Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


class Kind(Enum):
    """How a request fails; the value is what it is called."""

    INTERNAL_ERROR = "500"
    UNAVAILABLE = "503"
    THROTTLED = "429"
    RESET_BEFORE = "reset before the work"
    RESET_AFTER = "reset after the work"
    BROKEN_OFF = "body broken off"


_KINDS = tuple(Kind)
_REFUSALS: dict[Kind, tuple[int, dict[str, str]]] = {
    Kind.INTERNAL_ERROR: (500, {}),
    Kind.UNAVAILABLE: (503, {"Retry-After": "0"}),
    Kind.THROTTLED: (429, {}),
}


class Faulty:
    """Stands before a server's handler. Which of all requests fail, and how, follows from `seed` alone."""

    def __init__(self, share: float, seed: int) -> None:
        """`share` of the requests fail, from 0 to 1."""
        self.requests = 0
        self.met: Counter[str] = Counter()
        self._share = share
        self._random = random.Random(seed)

    def around(self, handler: Handler[Asked]) -> Handler[Asked]:
        """The handler, but for the requests that fail."""

        async def answer(request: Asked) -> web.StreamResponse:
            self.requests += 1
            kind = self._draw()
            if kind is None:
                return await handler(request)
            self.met[kind.value] += 1
            return await _fail(kind, request, handler)

        return answer if self._share else handler

    def summary(self) -> dict[str, object]:
        """All requests that came, and how often each kind of fault was met; nothing where none fail."""
        return {"asked": self.requests, "faults": dict(self.met)} if self._share else {}

    def _draw(self) -> Kind | None:
        return self._random.choice(_KINDS) if self._random.random() < self._share else None


async def _fail(kind: Kind, request: Asked, handler: Handler[Asked]) -> web.StreamResponse:
    if kind is Kind.RESET_BEFORE:
        return _reset(request)
    if kind in _REFUSALS:
        await request.read()
        status, headers = _REFUSALS[kind]
        return web.Response(status=status, headers=headers, text="A fault of the benchmark's.")
    answer = await handler(request)
    return _reset(request) if kind is Kind.RESET_AFTER else await _broken_off(request, answer)


def _reset(request: web.BaseRequest) -> web.Response:
    """RST rather than FIN: what is on its way is lost. The response has nowhere to go."""
    if request.transport is not None:
        there = request.transport.get_extra_info("socket")
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _broken_off(request: web.BaseRequest, whole: web.StreamResponse) -> web.StreamResponse:
    """All headers, half of the body, and the end of the connection."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(body)
    half.force_close()
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    return half
