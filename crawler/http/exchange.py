"""The innermost stage of the chain: one request and its whole answer over aiohttp."""

import io
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from crawler import __version__
from crawler.http.responses import Response
from crawler.http.status_policy import BAD_GATEWAY
from crawler.http.tls import tls_context
from crawler.settings.servers import ServerSettings, Tls

CONNECT_TIMEOUT = 15.0
WRITTEN_AT_ONCE = 1 << 20
MAX_ANSWER_BYTES = 256_000_000

_NO_DECODER = re.compile(r"Can not decode content-encoding: \w+ \((\w+)\)")
_UNPACKED = frozenset({"", "identity", "gzip", "x-gzip", "deflate", "br", "zstd"})
"""Content encodings that aiohttp unpacks, or refuses where it has no decoder."""

Params = Mapping[str, str] | Sequence[tuple[str, str]]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, the same in each attempt.

    `max_answer_bytes` bounds the unpacked answer, `attempts` lowers the number of attempts for this request. A probe
    asks during an outage whether the server is back: it is neither held back nor retried.
    """

    method: str
    url: str
    params: Params = ()
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    max_answer_bytes: int = MAX_ANSWER_BYTES
    attempts: int | None = None
    is_probe: bool = False


class Stage(Protocol):
    """One stage of the chain: all but the innermost wrap the next one."""

    async def send(self, request: Request) -> Response:
        """Send a request and return its answer, whatever its status; errors of aiohttp pass through."""


class TooManyBytes(Exception):
    """The answer is larger than its request allows; the rest was not read."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Exchange:
    """One attempt over a session of its own, without cookies and redirects."""

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        headers: CIMultiDict[str],
        *,
        keep_alive: bool,
        proxy: str | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._headers = headers
        self._keep_alive = keep_alive
        self._proxy = proxy
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Open the session; SettingsError for certificates that cannot be used."""
        headers = CIMultiDict({"User-Agent": f"mlflow-datahub-crawler/{__version__}", "Accept": "application/json"})
        headers.update(self._headers)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # aiohttp has the default context already; to make one takes 50 ms.
                ssl=self._settings.tls == Tls() or tls_context(self._name, self._settings.tls),
                limit=self._settings.concurrency,
                force_close=not self._keep_alive,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout, sock_connect=connect_timeout(self._settings)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send the request once; TooManyBytes as soon as the answer is larger than it may be."""
        try:
            async with self._session.request(
                request.method,
                URL(request.url),
                params=request.params,
                data=_payload(request.body),
                headers=request.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as answer:
                packed = answer.headers.get("Content-Encoding", "").strip().lower()
                if packed not in _UNPACKED:
                    return _unreadable(packed)
                body = await _body(answer, request.max_answer_bytes)
                return Response(status=answer.status, body=body, headers=answer.headers)
        except aiohttp.ClientResponseError as error:
            # aiohttp has no decoder for what it did not ask for, and tells so before there is an answer.
            if (named := _NO_DECODER.search(error.message)) is None:
                raise
            return _unreadable(named[1])


def connect_timeout(settings: ServerSettings) -> float:
    """Return the seconds that a connection may take: a dead host shows sooner than a slow answer."""
    return min(settings.timeout, CONNECT_TIMEOUT)


def _unreadable(encoding: str) -> Response:
    return Response(status=BAD_GATEWAY, body=b"", headers=CIMultiDict(), packed=encoding[:40])


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    # aiohttp warns of large bytes, which it would write in one go.
    return io.BytesIO(body) if body is not None and len(body) > WRITTEN_AT_ONCE else body


async def _body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    # aiohttp's own `read` unpacks all that has arrived at once, even if it grows a thousandfold.
    blocks, size = [], 0
    while block := await answer.content.readany():
        blocks.append(block)
        size += len(block)
        if size > limit:
            answer.close()
            raise TooManyBytes(answer.status)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)
