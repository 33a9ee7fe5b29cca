"""Failures that a loopback cannot be made to show, told from the errors that aiohttp raises."""

import errno
import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from crawler.errors import Unreachable
from crawler.http.unreachable import Peer, short_reason, unreachable

PEER = Peer(name="DataHub", host="gms:8080", scheme="https", timeout=120, connect_timeout=15, proxy="proxy:3128")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "may want a client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "may want a client certificate"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", r"failed \(tlsv1 alert protocol version\)"),
        (None, r"failed \(unknown\)"),
    ],
)
def test_handshakes(reason: str | None, said: str) -> None:
    error, cause = aiohttp.ClientConnectionError(), ssl.SSLError(1, "words of OpenSSL")
    cause.reason = reason  # type: ignore[assignment]
    error.__cause__ = cause
    with pytest.raises(Unreachable, match=said):
        raise unreachable(error, PEER)


def test_a_host_without_a_route() -> None:
    key = SimpleNamespace(host="gms", port=8080)
    error = aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, "No route to host"))  # type: ignore[arg-type]
    assert unreachable(error, PEER).message == "No connection to DataHub at gms:8080: No route to host."


def test_a_proxy_in_between_is_named() -> None:
    message = unreachable(aiohttp.ServerDisconnectedError(), PEER).message
    assert message.startswith("DataHub at gms:8080 (through the proxy proxy:3128) closed the connection")


KEY = SimpleNamespace(host="gms", port=8080, ssl=None)
ANSWER = SimpleNamespace(real_url="http://gms:8080")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "Connection refused")), "connection refused"),  # type: ignore[arg-type]
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "No route to host")), "no route to host"),  # type: ignore[arg-type]
        (aiohttp.ClientConnectorError(KEY, OSError()), "no connection"),  # type: ignore[arg-type]
        (aiohttp.ClientHttpProxyError(ANSWER, (), status=503), "the proxy answers 503"),  # type: ignore[arg-type]
        (aiohttp.ConnectionTimeoutError(), "no connection in time"),
        (TimeoutError(), "no answer in time"),
        (aiohttp.ClientPayloadError(), "answers break off"),
        (aiohttp.ServerDisconnectedError(), "connection closed"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_an_outage_shows_itself_by_in_a_few_words(error: aiohttp.ClientError | TimeoutError, words: str) -> None:
    assert short_reason(error) == words
