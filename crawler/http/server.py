"""One HTTP server: requests go out bounded and paced, are tried again where that may help, and are judged."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

import aiohttp
from multidict import CIMultiDict

from crawler.config.settings import ServerSettings
from crawler.config.urls import Address, parse_address
from crawler.errors import Unreachable
from crawler.http.credentials import credentials_of, request_headers, secrets_of
from crawler.http.exchange import (
    MAX_ANSWER_BYTES,
    Params,
    Request,
    TooManyBytes,
    connect_timeout,
    exchange,
    open_session,
)
from crawler.http.limiter.rate import RateLimiter, Sleep
from crawler.http.limiter.semaphore import DynamicSemaphore
from crawler.http.limiter.vegas import Start, Vegas
from crawler.http.outage import OutageWaiter, StillOut
from crawler.http.outage_log import OutageLog
from crawler.http.proxy import parse_proxy, proxy_for
from crawler.http.redaction import Redactor
from crawler.http.responses import Response, ResponseClassifier, is_success
from crawler.http.retry import IsFinal, Retries, is_overload, is_silence, is_throttling, is_transient
from crawler.http.retry_budget import RetryBudget
from crawler.http.unreachable import Peer, unreachable
from crawler.telemetry.report import Traffic

CONNECTIONS_PER_SECOND = 100.0
"""A worker takes all connections that wait when it looks, so those that come at once would share one worker."""


class Server:
    """One HTTP server behind one session: `async with Server(…) as server`.

    `name` is how messages call it. `counts` says which bodies `traffic.bytes` adds up. Without `keep_alive`
    each request makes its own connection: a kept one sticks to the gunicorn worker that accepted it, new
    ones spread the load over all workers. `is_final` tells failures that no retry will mend. `question` is a path
    that costs the server little: where a request is not answered, it is asked whether others are. An answer of more
    than `max_answer_bytes`, unpacked, raises AnswerTooLarge. `sleep` is there for tests.
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
        question: str = "",
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        address = parse_address(settings.url, f"The URL of {name}", "Write it as https://host:port/path.")
        credentials = credentials_of(settings, address)
        self.url = address.base_url
        self._name = name
        self._settings = settings
        self._traffic = traffic
        self._keep_alive = keep_alive
        self._counts = counts
        self._max_answer_bytes = max_answer_bytes
        self._question = Request(method="GET", url=self.url + question, limit=max_answer_bytes) if question else None
        self._notices = OutageLog(name, settings, traffic)
        self._budget = RetryBudget()
        self._endurance = OutageWaiter(settings.patience, _loop_time, sleep, self._notices)
        self._retries = Retries(
            settings.attempts,
            sleep,
            self._notices.retry,
            is_final,
            budget=self._budget,
            answers=lambda: self._endurance.answers,
        )
        self._headers = request_headers(name, settings, credentials)
        self._proxy = proxy_for(address)
        proxy = None if self._proxy is None else parse_proxy(self._proxy)
        self._peer = _peer(name, settings, address, proxy)
        self._redact = Redactor(secret.reveal() for secret in secrets_of(settings, credentials, address, proxy))
        self._judge = ResponseClassifier(name, address.base_url, credentials.shown, self._redact)
        self._concurrency = Vegas(settings.min_concurrency, settings.concurrency)
        self._told_limit = 0
        self._slots = DynamicSemaphore(lambda: self._concurrency.limit)
        spread = None if keep_alive else CONNECTIONS_PER_SECOND
        self._pace = RateLimiter(settings.requests_per_second or spread, _loop_time, sleep)
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
        request = Request(method="GET", url=self.url + path, params=params or (), limit=self._max_answer_bytes)
        return await self._send(request, path)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, *, attempts: int | None = None
    ) -> Response:
        """Sends `body` as it is, as JSON unless `headers` say otherwise; CrawlerError if it is not taken.

        `attempts` is the most for this request, where others have more.
        """
        labelled = CIMultiDict({"Content-Type": "application/json"})
        labelled.update(headers or {})
        request = Request(method="POST", url=self.url + path, body=body, headers=labelled, limit=self._max_answer_bytes)
        return await self._send(request, path, attempts)

    async def _send(self, request: Request, path: str, attempts: int | None = None) -> Response:
        question = self._question
        try:
            response = await self._endurance(
                lambda: self._retries(lambda: self._attempt(request), attempts),
                lambda: self._probe(request),
                None if question is None else lambda: self._probe(question),
            )
        except StillOut as out:
            raise self._still_out(out, path) from None
        except TooManyBytes as answer:
            raise self._judge.too_large(answer.status, request.limit, path) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            # Their reprs hold the request's headers or the proxy's password: not to be shown beside ours.
            raise unreachable(error, self._peer) from None
        return self._judge.check(response, path)

    def _still_out(self, out: StillOut, path: str) -> Unreachable:
        last = out.last
        error = self._judge.error(last, path) if isinstance(last, Response) else unreachable(last, self._peer)
        if out.since is None:
            return Unreachable(error.message, error.hint)
        silence = f"It has answered nobody for {out.seconds:.0f} s, since {out.since:%Y-%m-%d %H:%M:%S} UTC."
        return Unreachable(f"{error.message} {silence}", error.hint)

    async def _probe(self, request: Request) -> Response:
        """A try during an outage."""
        self._traffic.retries += 1
        return await self._attempt(request, probes=True)

    async def _attempt(self, request: Request, *, probes: bool = False) -> Response:
        # The slot is held for one try only: a request that waits for its next one leaves room for others.
        async with self._slots.slot():
            if not probes:
                self._endurance.admit()
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
            if is_transient(error):
                self._endurance.unanswered()
                self._concurrency.failed(start)
            else:
                self._concurrency.dropped(start)
            raise
        else:
            self._learn(start, request, response, _loop_time() - began)
            return response
        finally:
            self._tell_limit()

    def _learn(self, start: Start, request: Request, response: Response, seconds: float) -> None:
        if is_silence(response):
            self._endurance.unanswered()
        else:
            self._endurance.answered()
        if is_throttling(response.status):
            self._concurrency.refused(start)
        elif is_overload(response.status):
            self._concurrency.failed(start)
        elif is_success(response.status):
            size = len(response.body if self._counts == "received" else request.body or b"")
            self._budget.succeeded()
            self._concurrency.answered(start, request.url.partition("?")[0], seconds, size)
        else:
            # An error may come fast: it must not look like a fast server.
            self._concurrency.dropped(start)

    def _tell_limit(self) -> None:
        # By the difference: tracking server and registry share one traffic.
        level = self._concurrency.level
        self._traffic.change_limit(level - self._told_limit)
        self._told_limit = level


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
