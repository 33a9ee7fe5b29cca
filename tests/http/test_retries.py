"""The decisions about retries, which need no network."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError, InvalidURL, ServerDisconnectedError
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.http import Response
from crawler.http.retries import (
    BACKOFF_BASE,
    BACKOFF_CAP,
    RETRY_AFTER_CAP,
    Retries,
    is_retryable,
    is_transient,
    retry_after,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 520, 599])
def test_statuses_that_may_pass(status):
    assert is_retryable(status)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 409, 413, 422, 501, 505, 600])
def test_statuses_that_last(status):
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
def test_broken_exchanges(error, transient):
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("reason", "transient"),
    [("TLSV13_ALERT_CERTIFICATE_REQUIRED", False), ("UNEXPECTED_EOF_WHILE_READING", True)],
)
def test_broken_handshakes(reason, transient):
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
def test_retry_after(value, seconds):
    assert retry_after({"Retry-After": value}, NOW) == seconds


def test_no_retry_after():
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
def test_retry_after_never_fails_and_stays_within_bounds(value):
    seconds = retry_after({"Retry-After": value}, NOW)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP


async def test_backoff_grows_with_jitter_up_to_its_cap(naps):
    told = []

    async def fail() -> Response:
        return Response(status=500, body=b"", headers={})

    outcome = await Retries(12, naps, lambda *retry: told.append(retry), lambda _: False)(fail)
    assert outcome.status == 500
    assert len(naps) == 11
    for tried, nap in enumerate(naps):
        assert 0 <= nap <= min(BACKOFF_CAP, BACKOFF_BASE * 2**tried)
    assert told == [(number, nap, "500") for number, nap in enumerate(naps, start=2)]


async def test_what_the_last_try_raised_is_raised(naps):
    async def fail() -> Response:
        raise ServerDisconnectedError

    with pytest.raises(ServerDisconnectedError):
        await Retries(3, naps, lambda *_: None, lambda _: False)(fail)
    assert len(naps) == 2
