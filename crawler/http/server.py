"""One HTTP server: builds the chain of stages, and makes data or an error of the final response."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

import aiohttp
from multidict import CIMultiDict

from crawler.errors import Unreachable
from crawler.http.availability import Availability, AvailabilityObserver, StillOut
from crawler.http.credentials import credentials_of, request_headers, secrets_of
from crawler.http.exchange import MAX_ANSWER_BYTES, Exchange, Params, Request, Stage, TooManyBytes, connect_timeout
from crawler.http.limiter.concurrency import ConcurrencyLimiter, TrafficObserver
from crawler.http.limiter.rate import RateLimiter, Sleep
from crawler.http.limiter.vegas import Vegas
from crawler.http.outage import OutageWaiter
from crawler.http.outage_log import OutageLog
from crawler.http.proxy import parse_proxy, proxy_for
from crawler.http.redaction import Redactor
from crawler.http.renewal import CredentialRenewer
from crawler.http.responses import Response, ResponseClassifier
from crawler.http.retry import IsFinal, Retrier
from crawler.http.retry_budget import RetryBudget
from crawler.http.traffic import Traffic
from crawler.http.unreachable import Peer, unreachable
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import Address, parse_address

CONNECTIONS_PER_SECOND = 100.0
"""A worker accepts all connections that wait when it looks, so those made at once would share one worker."""


class Server:
    """One HTTP server behind one session: `async with Server(…) as server: await server.get("/path")`.

    `name` is how messages call it. `counts` says which bodies `traffic.bytes` adds up. Without `keep_alive`
    each request makes its own connection: a kept one sticks to the gunicorn worker that accepted it, new
    ones spread the load over all workers. `is_final` tells failures that no retry will mend. `health_check` is the path
    of a cheap request: where a request is not answered, it shows whether others are. An answer of more than
    `max_answer_bytes`, unpacked, raises AnswerTooLarge. `sleep` is there for tests.
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
        health_check: str = "",
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        address = parse_address(settings.url, f"The URL of {name}", "Write it as https://host:port/path.")
        credentials = credentials_of(settings, address)
        headers = request_headers(name, settings, credentials)
        proxy_url = proxy_for(address)
        proxy = None if proxy_url is None else parse_proxy(proxy_url)
        redact = Redactor(secret.reveal() for secret in secrets_of(settings, credentials, address, proxy))
        self.url = address.base_url
        self._max_answer_bytes = max_answer_bytes
        self._more_headers: dict[str, str] = {}
        self._peer = _peer(name, settings, address, proxy)
        self._classifier = ResponseClassifier(name, address.base_url, credentials.shown, redact)
        self._vegas = Vegas(settings.min_concurrency, settings.concurrency)
        self._exchange = Exchange(name, settings, headers, keep_alive=keep_alive, proxy=proxy_url)
        self._observer = TrafficObserver(self._exchange, self._vegas, traffic, counts, _loop_time)
        rate = settings.requests_per_second or (None if keep_alive else CONNECTIONS_PER_SECOND)
        log = OutageLog(name, address.host, settings, traffic)
        availability = Availability(settings.patience, _loop_time, log)
        stage: Stage = self._observer
        if settings.renewal is not None:
            stage = CredentialRenewer(stage, name, settings, address, redact)
        stage = RateLimiter(stage, rate, traffic, _loop_time, sleep)
        stage = AvailabilityObserver(stage, availability)
        stage = ConcurrencyLimiter(stage, self._vegas)
        stage = Retrier(
            stage,
            settings.attempts,
            sleep,
            log,
            is_final,
            budget=RetryBudget(),
            answered=availability,
            is_displaced=availability.is_displaced,
        )
        check = Request(method="GET", url=self.url + health_check, max_answer_bytes=max_answer_bytes)
        self._chain = OutageWaiter(stage, availability, sleep, check if health_check else None)

    async def __aenter__(self) -> Self:
        """Open the session; SettingsError for certificates that cannot be used."""
        await self._exchange.__aenter__()
        self._observer.publish_concurrency()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        await self._exchange.__aexit__(kind, error, traceback)

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now, apart from short measurements."""
        return self._vegas.concurrency

    def send_header(self, name: str, value: str) -> None:
        """Send a header with each request from now on."""
        self._more_headers[name] = value

    async def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        attempts: int | None = None,
        max_answer_bytes: int | None = None,
    ) -> Response:
        """Read `path`, which begins with `/`, below the base URL; CrawlerError if no data is returned.

        `attempts` lowers the number of attempts for this request, `max_answer_bytes` the size of its answer.
        """
        request = Request(
            method="GET",
            url=self.url + path,
            params=params or (),
            headers=self._more_headers,
            max_answer_bytes=max_answer_bytes or self._max_answer_bytes,
            attempts=attempts,
        )
        return await self._send(request, path)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, *, attempts: int | None = None
    ) -> Response:
        """Send `body` unchanged, as JSON unless `headers` say otherwise; CrawlerError if it is refused.

        `attempts` lowers the number of attempts for this request.
        """
        return await self.send("POST", path, body, headers, attempts=attempts)

    async def send(
        self,
        method: Literal["POST", "PATCH"],
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        attempts: int | None = None,
    ) -> Response:
        """Send `body` by another method, as `post` does."""
        labelled = CIMultiDict({"Content-Type": "application/json"})
        labelled.update(self._more_headers)
        labelled.update(headers or {})
        request = Request(
            method=method,
            url=self.url + path,
            body=body,
            headers=labelled,
            max_answer_bytes=self._max_answer_bytes,
            attempts=attempts,
        )
        return await self._send(request, path)

    async def _send(self, request: Request, path: str) -> Response:
        try:
            response = await self._chain.send(request)
        except StillOut as out:
            raise self._still_out(out, path) from None
        except TooManyBytes as answer:
            raise self._classifier.too_large(answer.status, request.max_answer_bytes, path) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            # Their reprs hold the request's headers or the proxy's password: not to be shown beside ours.
            raise unreachable(error, self._peer) from None
        return self._classifier.check(response, path)

    def _still_out(self, out: StillOut, path: str) -> Unreachable:
        last = out.last
        error = self._classifier.error(last, path) if isinstance(last, Response) else unreachable(last, self._peer)
        if out.since is not None:
            silence = f" It has answered nobody for {out.seconds:.0f} s, since {out.since:%Y-%m-%d %H:%M:%S} UTC."
        else:
            silence = f" It has not answered once in {out.seconds:.0f} s." if out.seconds >= 1 else ""
        return Unreachable(f"{error.message}{silence}", error.hint)


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
