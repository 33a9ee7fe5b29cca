"""One HTTP server: requests go out bounded and paced, are tried again where that may help, and are judged."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Literal, Self

import aiohttp
from multidict import CIMultiDict

from crawler.http.address import Address, parse_address
from crawler.http.answers import Judge, Response, is_success
from crawler.http.concurrency import Start, Vegas
from crawler.http.credentials import Credentials, credentials_of, header_secrets, request_headers
from crawler.http.failures import Peer, unreachable
from crawler.http.pacing import Pace, Sleep
from crawler.http.proxy import parse_proxy, proxy_for
from crawler.http.redaction import Redactor
from crawler.http.retries import IsFinal, Retries, is_overload, is_throttling, is_transient
from crawler.http.session import Params, Request, connect_timeout, exchange, open_session
from crawler.http.slots import Slots
from crawler.report import Traffic
from crawler.settings import Secret, ServerSettings

CONNECTIONS_PER_SECOND = 100.0
"""A worker takes all connections that wait when it looks, so those that come at once would share one worker."""

_log = logging.getLogger("crawler.http")


class Server:
    """One HTTP server behind one session: `async with Server(…) as server`.

    `name` is how messages call it. `counts` says which bodies `traffic.bytes` adds up. Without `keep_alive`
    each request makes its own connection: a kept one sticks to the gunicorn worker that accepted it, new
    ones spread the load over all workers. `is_final` tells failures that no retry will mend. `sleep` is there
    for tests.
    """

    url: str
    """The base URL without user info, query and trailing slash: safe to show."""

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        traffic: Traffic,
        *,
        keep_alive: bool = True,
        counts: Literal["received", "sent"] = "received",
        is_final: IsFinal = lambda _: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        address = parse_address(name, settings.url)
        credentials = credentials_of(settings, address)
        self.url = address.url
        self._name = name
        self._settings = settings
        self._traffic = traffic
        self._keep_alive = keep_alive
        self._counts = counts
        self._retries = Retries(settings.attempts, sleep, self._on_retry, is_final)
        self._headers = request_headers(name, settings, credentials)
        self._proxy = proxy_for(address)
        proxy = None if self._proxy is None else parse_proxy(self._proxy)
        self._peer = _peer(name, settings, address, proxy)
        self._redact = Redactor(secret.reveal() for secret in _secrets(settings, credentials, address, proxy))
        self._judge = Judge(name, address.url, credentials.shown, self._redact)
        self._concurrency = Vegas(settings.min_concurrency, settings.concurrency)
        self._told_limit = 0
        self._slots = Slots(lambda: self._concurrency.limit)
        spread = None if keep_alive else CONNECTIONS_PER_SECOND
        self._pace = Pace(settings.requests_per_second or spread, _loop_time, sleep)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Opens the session; SettingsError for certificates that cannot be used."""
        self._session = open_session(self._name, self._settings, self._headers, keep_alive=self._keep_alive)
        self._tell_limit()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the session and its connections."""
        await self._session.close()

    @property
    def limit(self) -> int:
        """How many requests may be in flight now, but for short measurements."""
        return self._concurrency.level

    async def get(self, path: str, params: Params | None = None) -> Response:
        """Reads `path`, which begins with `/`, below the base URL; CrawlerError if no data comes back."""
        return await self._send(Request(method="GET", url=self.url + path, params=params or ()), path)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
        """Sends `body` as it is, as JSON unless `headers` say otherwise; CrawlerError if it is not taken."""
        labelled = CIMultiDict({"Content-Type": "application/json"})
        labelled.update(headers or {})
        return await self._send(Request(method="POST", url=self.url + path, body=body, headers=labelled), path)

    async def _send(self, request: Request, path: str) -> Response:
        try:
            response = await self._retries(lambda: self._attempt(request))
        except (aiohttp.ClientError, TimeoutError) as error:
            # Their reprs hold the request's headers or the proxy's password: not to be shown beside ours.
            raise unreachable(error, self._peer) from None
        return self._judge.check(response, path)

    async def _attempt(self, request: Request) -> Response:
        # The slot is held for one try only: a request that waits for its next one leaves room for others.
        async with self._slots.slot():
            await self._pace.turn()
            self._traffic.begin()
            if self._counts == "sent":
                self._traffic.bytes += len(request.body or b"")
            try:
                response = await self._observed(request)
            finally:
                self._traffic.end()
        if self._counts == "received":
            self._traffic.bytes += len(response.body)
        return response

    async def _observed(self, request: Request) -> Response:
        """One exchange, of whose end the concurrency learns before its slot is free again."""
        start, began = self._concurrency.start(), _loop_time()
        try:
            response = await exchange(self._session, request, self._proxy)
        except BaseException as error:
            tell = self._concurrency.failed if is_transient(error) else self._concurrency.dropped
            tell(start)
            raise
        else:
            self._learn(start, request, response, _loop_time() - began)
            return response
        finally:
            self._tell_limit()

    def _learn(self, start: Start, request: Request, response: Response, seconds: float) -> None:
        if is_throttling(response.status):
            self._concurrency.refused(start)
        elif is_overload(response.status):
            self._concurrency.failed(start)
        elif is_success(response.status):
            size = len(response.body if self._counts == "received" else request.body or b"")
            self._concurrency.answered(start, request.url.partition("?")[0], seconds, size)
        else:
            # An error may come fast: it must not look like a fast server.
            self._concurrency.dropped(start)

    def _tell_limit(self) -> None:
        # By the difference: tracking server and registry share one traffic.
        level = self._concurrency.level
        self._traffic.change_limit(level - self._told_limit)
        self._told_limit = level

    def _on_retry(self, attempt: int, wait: float, reason: str) -> None:
        self._traffic.retries += 1
        limit = self._settings.attempts
        _log.info("%s: retrying in %.1f s (attempt %d of %d): %s", self._name, wait, attempt, limit, reason)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _peer(name: str, settings: ServerSettings, address: Address, proxy: Address | None) -> Peer:
    return Peer(
        name=name,
        host=address.host,
        scheme=address.scheme,
        timeout=settings.timeout,
        connect_timeout=connect_timeout(settings),
        proxy=None if proxy is None else proxy.host,
    )


def _secrets(
    settings: ServerSettings, credentials: Credentials, address: Address, proxy: Address | None
) -> Iterator[Secret]:
    """Everything that must not be shown, also credentials that others have displaced."""
    yield from credentials.secrets
    for value in settings.headers.values():
        yield from header_secrets(value)
    for secret in (settings.token, settings.password, address.password, proxy.password if proxy else None):
        if secret is not None:
            yield secret
