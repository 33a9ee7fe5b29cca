"""Failures that a loopback cannot be made to show, told from the errors that aiohttp raises."""

import errno
import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from crawler.errors import Unreachable
from crawler.http.failures import Peer, unreachable

PEER = Peer(name="DataHub", host="gms:8080", scheme="https", timeout=120, connect_timeout=15, proxy="proxy:3128")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "may want a client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "may want a client certificate"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", r"failed \(TLSV1_ALERT_PROTOCOL_VERSION\)"),
        (None, r"failed \(unknown\)"),
    ],
)
def test_handshakes(reason, said):
    error, cause = aiohttp.ClientConnectionError(), ssl.SSLError(1, "words of OpenSSL")
    cause.reason = reason
    error.__cause__ = cause
    with pytest.raises(Unreachable, match=said):
        raise unreachable(error, PEER)


def test_a_host_without_a_route():
    key = SimpleNamespace(host="gms", port=8080)
    error = aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, "No route to host"))
    assert unreachable(error, PEER).message == "No connection to DataHub at gms:8080: No route to host."


def test_a_proxy_in_between_is_named():
    message = unreachable(aiohttp.ServerDisconnectedError(), PEER).message
    assert message.startswith("DataHub at gms:8080 (through the proxy proxy:3128) closed the connection")
