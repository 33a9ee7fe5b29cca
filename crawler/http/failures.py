"""What a failed attempt says: whether it may pass, and how long the server asks to wait. Pure."""

import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeGuard

import aiohttp

from crawler.http.responses import Response
from crawler.http.status_policy import is_retryable, is_success
from crawler.http.tls import is_lasting, tls_failure

RETRY_AFTER_CAP = 120.0
"""Seconds; a server that asks for more is asked again after these."""

_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)

Failure = aiohttp.ClientError | TimeoutError
"""A broken exchange."""

AttemptResult = Response | Failure


class LostHost(aiohttp.ClientConnectorDNSError):
    """The name of a host that has answered before is unknown: a service that restarts may be without one."""


def is_transient(error: BaseException) -> TypeGuard[Failure]:
    """Return True if the next exchange may succeed; a bad certificate or a misspelt host will fail again."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return is_retryable(error.status)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return isinstance(error, LostHost) or error.os_error.errno != socket.EAI_NONAME
    failure = tls_failure(error)
    if failure is not None and is_lasting(failure):
        return False
    return isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError))


def is_cut_off(response: Response) -> bool:
    """Return True if the status is a success, but the JSON is incomplete: a proxy lost the rest."""
    ends = {b"{": b"}", b"[": b"]"}
    begin, end = response.body.lstrip()[:1], response.body.rstrip()[-1:]
    return is_success(response.status) and end != ends.get(begin, end)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds, at most RETRY_AFTER_CAP, of a Retry-After header that holds a number or a date."""
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


def requested_wait(result: AttemptResult) -> float | None:
    """Return the seconds that a response asks to wait, if it does."""
    # "Retry-After: 0" says that the server is ready, not that it wants all attempts at once.
    return (retry_after(result.headers, datetime.now(UTC)) or None) if isinstance(result, Response) else None


def response_or_raise(result: AttemptResult) -> Response:
    """Return the response, or raise the failure."""
    if isinstance(result, Response):
        return result
    try:
        raise result
    finally:
        # The traceback holds this frame, and this frame must not hold the error: they would be a reference cycle.
        del result
