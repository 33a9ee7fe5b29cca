"""The session behind a server, and one exchange over it."""

import io
from collections.abc import Mapping, Sequence

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from crawler import __version__
from crawler.config.settings import ServerSettings
from crawler.http.responses import Response
from crawler.http.tls import tls_context

CONNECT_TIMEOUT = 15.0
WRITTEN_AT_ONCE = 1 << 20
MAX_ANSWER_BYTES = 256_000_000

Params = Mapping[str, str] | Sequence[tuple[str, str]]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent in each attempt, and how many bytes the answer may have when it is unpacked."""

    method: str
    url: str
    params: Params = ()
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    limit: int = MAX_ANSWER_BYTES


class TooManyBytes(Exception):
    """An answer was left in its midst since it is larger than the request allows."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def connect_timeout(settings: ServerSettings) -> float:
    """The seconds that a connection may take: a dead host shows sooner than a slow answer."""
    return min(settings.timeout, CONNECT_TIMEOUT)


def open_session(
    name: str, settings: ServerSettings, headers: CIMultiDict[str], *, keep_alive: bool
) -> aiohttp.ClientSession:
    """A session without cookies; SettingsError for certificates that cannot be used."""
    ours = CIMultiDict({"User-Agent": f"mlflow-datahub-crawler/{__version__}", "Accept": "application/json"})
    ours.update(headers)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls_context(name, settings.tls), limit=settings.concurrency, force_close=not keep_alive
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=ours,
        timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=connect_timeout(settings)),
    )


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """aiohttp writes bytes in one go and warns of large ones, which are a stream of its own for each try."""
    return io.BytesIO(body) if body is not None and len(body) > WRITTEN_AT_ONCE else body


async def exchange(session: aiohttp.ClientSession, request: Request, proxy: str | None) -> Response:
    """One try: the whole answer, whatever its status; aiohttp's errors and TimeoutError pass through.

    Raises TooManyBytes as soon as the body is larger than it may be.
    """
    async with session.request(
        request.method,
        URL(request.url),
        params=request.params,
        data=_payload(request.body),
        headers=request.headers,
        proxy=proxy,
        allow_redirects=False,
    ) as answer:
        return Response(status=answer.status, body=await _body(answer, request.limit), headers=answer.headers)


async def _body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The unpacked body. aiohttp's own `read` unpacks all that has come at once, be it a thousand times as large."""
    blocks, size = [], 0
    while block := await answer.content.readany():
        blocks.append(block)
        size += len(block)
        if size > limit:
            answer.close()
            raise TooManyBytes(answer.status)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)
