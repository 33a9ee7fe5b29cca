"""When a request is tried again, and how long that waits. Decisions are pure; tenacity carries them out.

docs/decisions/0008-retries-budget-and-outages.md says what comes from where.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeGuard

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    retry_if_result,
    wait_random_exponential,
)

from crawler.http.limiter.rate import Sleep
from crawler.http.responses import Response, is_success
from crawler.http.retry_budget import RetryBudget
from crawler.http.tls import is_lasting, tls_failure

RETRY_AFTER_CAP = 120.0
BACKOFF_BASE = 0.5
BACKOFF_CAP = 30.0
TRIES_OF_500 = 3
"""A 500 seldom passes: most often the request itself, or a row that it asks for, is what the server cannot bear. So
many also of an answer that is cut off.
"""

_PASSING_4XX = {408, 425, 429}
_SERVER_ERROR = range(500, 600)
_LASTING_5XX = {501, 505}
_INTERNAL_ERROR = 500
_THROTTLING = {429, 503}
_OVERLOAD = {408, 502, 504}
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
_full_jitter = wait_random_exponential(multiplier=BACKOFF_BASE, max=BACKOFF_CAP)

OnRetry = Callable[[int, float, str], None]
"""Told before each retry: the number of the coming attempt, the seconds until then, what went wrong."""

Attempt = Callable[[], Awaitable[Response]]

Failure = aiohttp.ClientError | TimeoutError
"""A broken exchange."""

Outcome = Response | Failure
"""What a try came to."""

IsFinal = Callable[[Response], bool]
"""Whether an answer will be the same next time, although its status says that it may pass."""


def is_retryable(status: int) -> bool:
    """Whether the same request may succeed later: time-outs, throttling and the server's own failures."""
    return status in _PASSING_4XX or (status in _SERVER_ERROR and status not in _LASTING_5XX)


def is_cut_off(response: Response) -> bool:
    """Whether an answer says success, but its JSON ends before its end: a proxy on the way lost the rest."""
    ends = {b"{": b"}", b"[": b"]"}
    begin, end = response.body.lstrip()[:1], response.body.rstrip()[-1:]
    return is_success(response.status) and end != ends.get(begin, end)


def is_silence(response: Response) -> bool:
    """Whether an answer is as good as none: time-outs and gateways without a server behind them, but no 500."""
    return is_retryable(response.status) and response.status != _INTERNAL_ERROR


def is_throttling(status: int) -> bool:
    """Whether a server says that it is asked for too much at once."""
    return status in _THROTTLING


def is_overload(status: int) -> bool:
    """Whether a server, or the proxy before it, was not answered in time or at all."""
    return status in _OVERLOAD


def is_transient(error: BaseException) -> TypeGuard[Failure]:
    """Whether a broken exchange may go well next time; a bad certificate or an unknown host will not."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return is_retryable(error.status)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return error.os_error.errno != socket.EAI_NONAME
    failure = tls_failure(error)
    if failure is not None and is_lasting(failure):
        return False
    return isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds, at most RETRY_AFTER_CAP, that a server asks to wait; it may give a number or a date."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_CAP)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), RETRY_AFTER_CAP)


def asked_wait(last: Outcome | None) -> float | None:
    """The seconds that a refusal asks to wait, if it does."""
    # "Retry-After: 0" says that the server is ready, not that it wants all tries at once.
    return (retry_after(last.headers, datetime.now(UTC)) or None) if isinstance(last, Response) else None


class Silent(Exception):
    """All tries failed in ways that pass, and nobody else was answered meanwhile: `last` is what the last came to."""

    def __init__(self, last: Outcome) -> None:
        super().__init__()
        self.last = last


class Retries:
    """Tries up to `attempts` times; what the last one gave is the outcome, be it a response or an error.

    `answers()` counts the good answers to all requests. With an empty `budget` one request at a time is tried again.
    """

    def __init__(
        self,
        attempts: int,
        sleep: Sleep,
        on_retry: OnRetry,
        is_final: IsFinal,
        *,
        budget: RetryBudget,
        answers: Callable[[], int],
    ) -> None:
        self._attempts = attempts
        self._sleep = sleep
        self._on_retry = on_retry
        self._is_final = is_final
        self._budget = budget
        self._answers = answers
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, attempt: Attempt, attempts: int | None = None) -> Response:
        """What the last try gives, or the error that it raises; Silent where the server answers nobody.

        `attempts` is the most for this request, where it is to have fewer than others.
        """
        # Tenacity inspects what it calls, which costs as much as half a request: it is asked after a failure only.
        first: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        try:
            response = await attempt()
        except Exception as error:
            if not is_transient(error):
                raise
            # Without its traceback, whose frames would hold it, and half a page with it, in a cycle.
            first.set_exception(error.with_traceback(None))
        else:
            if not self._is_worth_retrying(response):
                return response
            first.set_result(response)
            del response
        # From the first failure on: what was answered while the request was under way tells nothing about that.
        answers = self._answers()
        try:
            response = await self._retried(attempt, first, answers, attempts)
        except (aiohttp.ClientError, TimeoutError) as error:
            if is_transient(error) and self._answers() == answers:
                raise Silent(error) from None
            raise
        finally:
            del first
        if is_silence(response) and not self._is_final(response) and self._answers() == answers:
            raise Silent(response)
        return response

    async def _retried(
        self, attempt: Attempt, first: asyncio.Future[Response], answers: int, attempts: int | None
    ) -> Response:
        attempts = min(attempts or self._attempts, self._attempts)
        course = _Course(attempts, self._budget, lambda: self._answers() == answers)
        had = [first]
        del first

        async def next_attempt() -> Response:
            if had:
                return await had.pop()
            if not course.on_credit:
                return await attempt()
            async with self._one_at_a_time:
                return await attempt()

        async def wait(seconds: float) -> None:
            await self._sleep(seconds)

        retrying = AsyncRetrying(
            retry=retry_if_result(self._is_worth_retrying) | retry_if_exception(is_transient),
            stop=course.is_over,
            wait=_wait,
            sleep=wait,
            before_sleep=self._tell,
            retry_error_callback=_last_outcome,
        )
        try:
            outcome: Response = await retrying(next_attempt)
        finally:
            # Tenacity and tracebacks keep the outcomes in cycles: a page would stay until Python's collector comes by.
            retrying.iter_state.reset()
            retrying.statistics.clear()
        return outcome

    def _is_worth_retrying(self, response: Response) -> bool:
        return (is_retryable(response.status) or is_cut_off(response)) and not self._is_final(response)

    def _tell(self, state: RetryCallState) -> None:
        self._on_retry(state.attempt_number + 1, state.upcoming_sleep, _reason(state))


class _Course:
    """The failed tries of one request, so far."""

    def __init__(self, attempts: int, budget: RetryBudget, is_silent: Callable[[], bool]) -> None:
        self.on_credit = False
        """Whether the next try is one that the budget does not pay for."""
        self._attempts = attempts
        self._budget = budget
        self._is_silent = is_silent
        self._internal_errors = 0

    def is_over(self, state: RetryCallState) -> bool:
        """Asked once after each failure: whether that was the last try."""
        response = _response(state)
        if response is not None and (response.status == _INTERNAL_ERROR or is_cut_off(response)):
            self._internal_errors += 1
        if state.attempt_number >= self._attempts or self._internal_errors >= TRIES_OF_500:
            return True
        error = state.outcome.exception() if state.outcome else None
        paid = self._budget.take(timed_out=isinstance(error, TimeoutError))
        stops = not paid and self.on_credit and self._is_silent()
        self.on_credit = not paid
        return stops


def _wait(state: RetryCallState) -> float:
    return asked_wait(_response(state)) or _full_jitter(state)


def _reason(state: RetryCallState) -> str:
    response = _response(state)
    if response is not None:
        return "an answer that is cut off" if is_cut_off(response) else str(response.status)
    error = state.outcome.exception() if state.outcome else None
    return type(error).__name__


def _response(state: RetryCallState) -> Response | None:
    if state.outcome is None or state.outcome.failed:
        return None
    response: Response = state.outcome.result()
    return response


def _last_outcome(state: RetryCallState) -> Response | None:
    response: Response | None = state.outcome.result() if state.outcome else None
    return response
