"""The decisions about retries, which need no network."""

import asyncio
import gc
import math
import ssl
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, InvalidURL, ServerDisconnectedError
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.http import Response
from crawler.http.exchange import Request
from crawler.http.failures import RETRY_AFTER_CAP, is_cut_off, is_transient, retry_after
from crawler.http.retry import ATTEMPTS_AT_500, BACKOFF_BASE, BACKOFF_CAP, Retrier, Silent
from crawler.http.retry_budget import RETRY_COST, RetryBudget
from crawler.http.status_policy import is_retryable
from tests.http.conftest import Naps

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 520, 599])
def test_statuses_that_may_pass(status: int) -> None:
    assert is_retryable(status)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 409, 413, 422, 501, 505, 600])
def test_statuses_that_last(status: int) -> None:
    assert not is_retryable(status)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ServerDisconnectedError(), True),
        (ClientPayloadError(), True),
        (TimeoutError(), True),
        (InvalidURL("x"), False),
        (ValueError(), False),
    ],
)
def test_broken_exchanges(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("reason", "transient"),
    [("TLSV13_ALERT_CERTIFICATE_REQUIRED", False), ("UNEXPECTED_EOF_WHILE_READING", True)],
)
def test_broken_handshakes(reason: str, transient: bool) -> None:
    error, cause = ClientConnectionError(), ssl.SSLError(1, reason)
    cause.reason = reason
    error.__cause__ = cause
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("3600", RETRY_AFTER_CAP),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOW + timedelta(days=2), usegmt=True), RETRY_AFTER_CAP),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0),
        ("Sun, 01 Mar 2026 12:00:09 -0000", 9),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after({}, NOW) is None


_DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "Xyz"]),
    st.integers(-1, 40),
    st.sampled_from(["Mar", "Foo", "13"]),
    st.integers(-1, 100_000),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.sampled_from(["GMT", "+0000", "-9999", "+99999999", "x", ""]),
)


@given(st.text() | _DATES | st.integers().map(str) | st.floats().map(str))
@example("9" * 10_000)
@example("Sun, 01 Mar 0001 00:00:00 +1400")
@example("Sun, 01 Mar 2026 12:00:00 -99999999999")
def test_retry_after_never_fails_and_stays_within_bounds(value: str) -> None:
    seconds = retry_after({"Retry-After": value}, NOW)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP


REQUEST = Request(method="GET", url="http://h:1/x")


class Answered:
    """As many answers as `count` says whenever they are read; silence is borne for some more `seconds`."""

    def __init__(self, count: Callable[[], int], seconds: float) -> None:
        self._count = count
        self._seconds = seconds

    @property
    def answers(self) -> int:
        return self._count()

    def retry_seconds_left(self) -> float:
        return self._seconds


class Answering:
    """A try that gives these statuses in turn, the last one for ever; `tried` counts."""

    def __init__(self, *statuses: int) -> None:
        self._left = list(statuses)
        self.tried = 0

    async def __call__(self, _: Request) -> Response:
        self.tried += 1
        status = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return Response(status=status, body=b"", headers={})


Attempt = Callable[[Request], Awaitable[Response]]
Told = Callable[[int, float, str], object]


def _retrier(
    send: Attempt,
    attempts: int,
    naps: Naps,
    told: Told = lambda *_: None,
    *,
    capacity: int = 500,
    answers: Callable[[], int] = lambda: 0,
    seconds: float = math.inf,
) -> Retrier:
    listener: Any = SimpleNamespace(retrying=told)
    following: Any = SimpleNamespace(send=send)
    answered: Any = Answered(answers, seconds)
    return Retrier(
        following, attempts, naps, listener, lambda _: False, budget=RetryBudget(capacity), answered=answered
    )


async def test_backoff_grows_with_jitter_up_to_its_cap(naps: Naps) -> None:
    told: list[tuple[int, float, str]] = []
    with pytest.raises(Silent) as caught:
        await _retrier(Answering(503), 12, naps, lambda *retry: told.append(retry)).send(REQUEST)
    assert isinstance(caught.value.last, Response)
    assert caught.value.last.status == 503
    assert len(naps) == 11
    for tried, nap in enumerate(naps):
        assert 0 <= nap <= min(BACKOFF_CAP, BACKOFF_BASE * 2**tried)
    assert told == [(number, nap, "status 503") for number, nap in enumerate(naps, start=2)]


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, 1), (1e-9, 8)])
async def test_nothing_is_tried_beyond_patience(naps: Naps, seconds: float, tries: int) -> None:
    attempt = Answering(503)
    with pytest.raises(Silent):
        await _retrier(attempt, 8, naps, seconds=seconds).send(REQUEST)
    assert attempt.tried == tries
    assert all(nap <= seconds for nap in naps)


async def test_what_the_last_try_came_to_is_the_outcome_where_others_were_answered(naps: Naps) -> None:
    async def fail(_: Request) -> Response:
        raise ServerDisconnectedError

    answers = count()
    with pytest.raises(ServerDisconnectedError):
        await _retrier(fail, 3, naps, answers=lambda: next(answers)).send(REQUEST)
    assert len(naps) == 2
    assert (await _retrier(Answering(504), 3, naps, answers=lambda: next(answers)).send(REQUEST)).status == 504


async def test_where_nobody_was_answered_it_is_silence(naps: Naps) -> None:
    async def fail(_: Request) -> Response:
        raise ServerDisconnectedError

    with pytest.raises(Silent) as caught:
        await _retrier(fail, 3, naps).send(REQUEST)
    assert isinstance(caught.value.last, ServerDisconnectedError)
    assert len(naps) == 2


@pytest.mark.parametrize(("statuses", "tries"), [((500,), ATTEMPTS_AT_500), ((503, 500, 503, 500, 500), 5)])
async def test_a_500_is_tried_three_times_and_is_no_silence(naps: Naps, statuses: tuple[int, ...], tries: int) -> None:
    attempt = Answering(*statuses)
    assert (await _retrier(attempt, 8, naps).send(REQUEST)).status == 500
    assert attempt.tried == tries


@pytest.mark.parametrize("body", [b'{"runs": [{"info": {"run_', b'[{"urn": 1}, ', b"\n {\n"])
async def test_an_answer_that_is_cut_off_is_asked_for_again(naps: Naps, body: bytes) -> None:
    cut, whole = Response(200, body, {}), Response(200, b'{"runs": []}', {})
    assert is_cut_off(cut)
    answers = iter((cut, cut, whole))

    async def attempt(_: Request) -> Response:
        return next(answers)

    assert await _retrier(attempt, 8, naps).send(REQUEST) is whole
    assert len(naps) == 2


async def test_an_answer_that_is_always_cut_off_is_tried_three_times(naps: Naps) -> None:
    cut, tried = Response(200, b'{"runs": [', {}), count(1)

    async def attempt(_: Request) -> Response:
        next(tried)
        return cut

    assert await _retrier(attempt, 8, naps).send(REQUEST) is cut
    assert next(tried) == ATTEMPTS_AT_500 + 1


@pytest.mark.parametrize("body", [b"", b"{}", b'{"a": [1]}\n', b" [] ", b"3.17.2", b"<html>", b"OK"])
def test_whole_answers_and_those_that_are_no_json_are_not_cut_off(body: bytes) -> None:
    assert not is_cut_off(Response(200, body, {}))
    assert not is_cut_off(Response(400, b'{"error_code": "', {}))


async def test_no_more_tries_of_a_500_than_attempts(naps: Naps) -> None:
    attempt = Answering(500)
    await _retrier(attempt, 2, naps).send(REQUEST)
    assert attempt.tried == 2


async def test_an_empty_budget_ends_the_tries_where_nobody_is_answered(naps: Naps) -> None:
    attempt = Answering(503)
    with pytest.raises(Silent):
        await _retrier(attempt, 8, naps, capacity=0).send(REQUEST)
    assert attempt.tried == 2


async def test_an_empty_budget_takes_no_try_from_a_request_where_others_are_answered(naps: Naps) -> None:
    attempt, answers = Answering(503), count()
    await _retrier(attempt, 8, naps, capacity=0, answers=lambda: next(answers)).send(REQUEST)
    assert attempt.tried == 8


async def test_with_an_empty_budget_one_request_at_a_time_is_tried_again(naps: Naps) -> None:
    answers, trying, most = count(), 0, 0
    seen: set[str] = set()

    async def attempt(request: Request) -> Response:
        nonlocal trying, most
        if request.url in seen:
            trying += 1
            most = max(most, trying)
            await asyncio.sleep(0)
            trying -= 1
        seen.add(request.url)
        return Response(status=503, body=b"", headers={})

    retrier = _retrier(attempt, 4, naps, capacity=0, answers=lambda: next(answers))
    requests = [Request(method="GET", url=f"http://h:1/{number}") for number in range(10)]
    await asyncio.gather(*(retrier.send(request) for request in requests))
    assert len(seen) == 10
    assert most == 1


async def test_a_storm_ends_with_the_budget(naps: Naps) -> None:
    """100 requests of which each may be tried 8 times: the bucket pays for 100 retries, not for 700."""
    attempt = Answering(503)
    retrier = _retrier(attempt, 8, naps)
    await asyncio.gather(*(retrier.send(REQUEST) for _ in range(100)), return_exceptions=True)
    assert attempt.tried <= 100 + 500 // RETRY_COST + 100


class Body:
    """In place of bytes, to which no weak reference can point."""

    def lstrip(self) -> bytes:
        return b"..."

    rstrip = lstrip


@pytest.mark.parametrize("first", ["broken", "refused"])
async def test_what_a_retried_request_held_is_freed_with_it(naps: Naps, first: str) -> None:
    """A page of megabytes must not wait for Python's collector, which a crawl calls seldom."""
    bodies: list[weakref.ref[Any]] = []

    async def attempt(_: Request) -> Response:
        body: Any = Body()
        bodies.append(weakref.ref(body))
        if len(bodies) == 1 and first == "broken":
            raise ClientPayloadError
        return Response(503 if len(bodies) == 1 else 200, body, {})

    gc.collect()
    gc.disable()
    try:
        response = await _retrier(attempt, 3, naps).send(REQUEST)
        assert [held() is None for held in bodies] == [True, False]
        del response
        assert bodies[1]() is None
    finally:
        gc.enable()
