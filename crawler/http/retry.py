"""A stage that retries what may pass, with backoff, jitter and a budget.

docs/decisions/0008-retries-budget-and-outages.md says what comes from where.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import aiohttp
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_always, wait_random_exponential

from crawler.http.exchange import Request, Stage
from crawler.http.failures import AttemptResult, is_cut_off, is_transient, requested_wait, response_or_raise
from crawler.http.limiter.rate import Sleep
from crawler.http.responses import Response
from crawler.http.retry_budget import RetryBudget
from crawler.http.status_policy import INTERNAL_ERROR, is_retryable, is_silence, is_success
from crawler.http.unreachable import short_reason

BACKOFF_BASE = 0.5
BACKOFF_CAP = 30.0
ATTEMPTS_AT_500 = 3
"""Attempts that end in a 500 or a cut-off answer: mostly the request, or a row that it reads, is at fault."""

_full_jitter = wait_random_exponential(multiplier=BACKOFF_BASE, max=BACKOFF_CAP)

IsFinal = Callable[[Response], bool]
"""Returns True for an answer that will be the same next time, although its status says that it may pass."""


class RetryListener(Protocol):
    """Who counts and logs retries."""

    def retrying(self, attempt: int, wait: float, reason: str) -> None:
        """Attempt number `attempt` follows in `wait` seconds."""

    def probing(self) -> None:
        """A probe is sent during an outage."""


class AnswerCount(Protocol):
    """How often the server has answered, to any request, and how long its silence is borne."""

    answers: int

    def retry_seconds_left(self) -> float:
        """Return for how long requests are still retried if nobody is answered."""
        ...


class Silent(Exception):
    """All attempts failed in ways that may pass, and nobody else was answered meanwhile: `last` is the last result."""

    def __init__(self, last: AttemptResult) -> None:
        super().__init__()
        self.last = last


class FailedAttempt(msgspec.Struct, frozen=True):
    """What the retry decision needs to know of a failed attempt: tenacity must not keep a page's body alive.

    `wait` is what the server asks for, in seconds.
    """

    reason: str
    wait: float | None = None
    is_timeout: bool = False
    is_internal_error: bool = False


class Retrier:
    """The stage that makes up to `attempts` attempts; the last one's result is the outcome, response or error.

    `is_displaced` tells answers of what stands before the server, which may pass. With an empty `budget` one request at
    a time is retried, and none beyond the patience with a server that answers nobody. Raises Silent there.
    """

    def __init__(
        self,
        next_stage: Stage,
        attempts: int,
        sleep: Sleep,
        listener: RetryListener,
        is_final: IsFinal,
        *,
        budget: RetryBudget,
        answered: AnswerCount,
        is_displaced: IsFinal = lambda _: False,
    ) -> None:
        self._next = next_stage
        self._attempts = attempts
        self._sleep = sleep
        self._listener = listener
        self._is_final = is_final
        self._budget = budget
        self._answered = answered
        self._is_displaced = is_displaced
        self._one_at_a_time = asyncio.Lock()

    async def send(self, request: Request) -> Response:
        """Return the response of the last attempt, or raise its error; probes have one attempt."""
        if request.is_probe:
            self._listener.probing()
        result = await self._attempt(request)
        failed = self._failure(result)
        if failed is None or request.is_probe:
            return response_or_raise(result)
        # From the first failure on: an answer that came before it says nothing about it.
        attempts = min(request.attempts or self._attempts, self._attempts)
        course = _Course(failed, attempts, self._budget, self._answered)
        # tenacity costs more than all other stages together, so it serves failed requests only.
        async for attempt in self._attempts_of(course):
            if attempt.retry_state.attempt_number > 1:
                del result
                result = await self._attempt_in_turn(request, course)
                if (failed := self._failure(result)) is None:
                    break
                course.failed = failed
            attempt.retry_state.set_result(None)
        try:
            if course.is_silent() and self._is_silence(result):
                raise Silent(result)
            return response_or_raise(result)
        finally:
            # The traceback holds this frame, which must not hold the error.
            del result

    async def _attempt(self, request: Request) -> AttemptResult:
        try:
            response = await self._next.send(request)
        except (aiohttp.ClientError, TimeoutError) as error:
            if not is_transient(error):
                raise
            # Without its traceback, whose frames hold half a page and the request until Python's collector runs.
            return error.with_traceback(None)
        if is_success(response.status):
            self._budget.succeeded()
        return response

    async def _attempt_in_turn(self, request: Request, course: "_Course") -> AttemptResult:
        if not course.on_credit:
            return await self._attempt(request)
        async with self._one_at_a_time:
            return await self._attempt(request)

    def _attempts_of(self, course: "_Course") -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_always,
            stop=course.is_over,
            wait=course.wait,
            sleep=self._sleep,
            before_sleep=lambda state: self._listener.retrying(
                state.attempt_number + 1, state.upcoming_sleep, course.failed.reason
            ),
            retry_error_callback=lambda _: None,
        )

    def _failure(self, result: AttemptResult) -> FailedAttempt | None:
        """Return None for a result that is the outcome: retries would change nothing."""
        if not isinstance(result, Response):
            return FailedAttempt(short_reason(result), is_timeout=isinstance(result, TimeoutError))
        if self._is_displaced(result):
            return FailedAttempt("an answer of something before it", requested_wait(result), is_internal_error=True)
        cut_off = is_cut_off(result)
        if result.packed or not (cut_off or is_retryable(result.status)) or self._is_final(result):
            return None
        return FailedAttempt(
            reason="an answer that is cut off" if cut_off else f"status {result.status}",
            wait=requested_wait(result),
            is_internal_error=cut_off or result.status == INTERNAL_ERROR,
        )

    def _is_silence(self, result: AttemptResult) -> bool:
        if isinstance(result, Response):
            return self._is_displaced(result) or (is_silence(result.status) and not self._is_final(result))
        return True


class _Course:
    """The failed attempts of one request so far, and whether another one follows."""

    def __init__(self, failed: FailedAttempt, attempts: int, budget: RetryBudget, answered: AnswerCount) -> None:
        self.failed = failed
        """The last one."""
        self.on_credit = False
        """True if the budget does not pay for the next attempt."""
        self._attempts = attempts
        self._budget = budget
        self._answered = answered
        self._answers = answered.answers
        self._internal_errors = 0

    def is_silent(self) -> bool:
        """Return True if no request to the server was answered since the first failure."""
        return self._answered.answers == self._answers

    def is_over(self, state: RetryCallState) -> bool:
        """Return True if that was the last attempt; called once after each failure."""
        self._internal_errors += self.failed.is_internal_error
        if state.attempt_number >= self._attempts or self._internal_errors >= ATTEMPTS_AT_500:
            return True
        if self._answered.retry_seconds_left() <= 0:
            return True
        paid = self._budget.take(timed_out=self.failed.is_timeout)
        stops = not paid and self.on_credit and self.is_silent()
        self.on_credit = not paid
        return stops

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        return min(self.failed.wait or _full_jitter(state), self._answered.retry_seconds_left())
