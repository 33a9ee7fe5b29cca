"""Describes why no answer arrived: what failed in the connection, and what to try next. Pure."""

import errno
import ssl

import aiohttp
import msgspec

from crawler.errors import Unreachable
from crawler.http.tls import is_no_tls, tls_failure

_EXPIRED, _NOT_YET_VALID = 10, 9
_SELF_SIGNED = {18, 19}
_WRONG_NAME = {62, 64}
_CA_HINT = "name the CA that signed it (ca_certificate_path)"
_NO_CHECK_HINT = (
    "turn the check off (disable_ssl_verification: true), which lets anyone in between read the credentials"
)

_SHORT_REASONS = {
    aiohttp.ConnectionTimeoutError: "no connection in time",
    TimeoutError: "no answer in time",
    aiohttp.ClientPayloadError: "answers break off",
}


class Peer(msgspec.Struct, frozen=True):
    """The server as messages name it, and its time-outs in seconds. `proxy` is host:port."""

    name: str
    host: str
    scheme: str
    timeout: float
    connect_timeout: float
    proxy: str | None = None

    def __str__(self) -> str:
        through = f" (through the proxy {self.proxy})" if self.proxy else ""
        return f"{self.name} at {self.host}{through}"


def unreachable(error: aiohttp.ClientError | TimeoutError, peer: Peer) -> Unreachable:
    """Return the error that describes to a person what aiohttp raised."""
    failure = tls_failure(error)
    if isinstance(failure, ssl.SSLCertVerificationError):
        return _bad_certificate(failure, peer)
    if failure is not None:
        return _no_handshake(failure, peer)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, peer)
    return _no_answer(error, peer)


def short_reason(error: aiohttp.ClientError | TimeoutError) -> str:
    """Describe a transient failure in a few words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = error.os_error.errno == errno.ECONNREFUSED
        return "connection refused" if refused else (error.os_error.strerror or "no connection").lower()
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answers {error.status}"
    return next((reason for kind, reason in _SHORT_REASONS.items() if isinstance(error, kind)), "connection closed")


def _bad_certificate(failure: ssl.SSLCertVerificationError, peer: Peer) -> Unreachable:
    code = failure.verify_code
    if code == _EXPIRED:
        return Unreachable(
            f"The certificate of {peer} has expired.",
            f"Renew it on the server. To go on without, {_NO_CHECK_HINT}.",
        )
    if code == _NOT_YET_VALID:
        return Unreachable(
            f"The certificate of {peer} is not valid yet.",
            f"Check the clocks of both hosts. To go on without, {_NO_CHECK_HINT}.",
        )
    if code in _WRONG_NAME:
        return Unreachable(
            f"The certificate of {peer} is for another host name.",
            f"Use the name that it was made for. If that cannot be, {_NO_CHECK_HINT}.",
        )
    kind = "self-signed" if code in _SELF_SIGNED else "signed by a CA that is unknown here"
    return Unreachable(
        f"The certificate of {peer} is {kind} ({failure.verify_message}).",
        f"Either {_CA_HINT}, or {_NO_CHECK_HINT}.",
    )


def _no_handshake(failure: ssl.SSLError, peer: Peer) -> Unreachable:
    reason = failure.reason or "unknown"
    shown = reason.replace("_", " ").lower()
    if is_no_tls(failure):
        return Unreachable(
            f"{peer} does not speak TLS.",
            "If it is a plain server, write http:// in its URL instead of https://.",
        )
    if "CERTIFICATE_REQUIRED" in reason or reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        return Unreachable(
            f"{peer} broke off the TLS handshake ({shown}).",
            "It may want a client certificate: see client_certificate_path and client_key_path.",
        )
    return Unreachable(f"The TLS connection to {peer} failed ({shown}).", "Its log says more.")


def _no_connection(error: aiohttp.ClientConnectorError, peer: Peer) -> Unreachable:
    host = f"{error.host}:{error.port}"
    what = f"the proxy for {peer.name}" if isinstance(error, aiohttp.ClientProxyConnectionError) else peer.name
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(
            f"The host name of {what}, {host}, is unknown.",
            "Is it spelt right, and can it be resolved from here (DNS, VPN, container network)?",
        )
    if error.os_error.errno == errno.ECONNREFUSED:
        return Unreachable(
            f"Nothing listens at {host}, the address of {what}: connection refused.",
            "Is the server running and the port right?",
        )
    return Unreachable(
        f"No connection to {what} at {host}: {error.os_error.strerror or error.os_error}.",
        "Check address, network and firewall.",
    )


def _no_answer(error: aiohttp.ClientError | TimeoutError, peer: Peer) -> Unreachable:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Unreachable(
            f"No connection to {peer} within {peer.connect_timeout:g} s.",
            "Is the host up? A firewall may drop what is sent to it, or a proxy is needed (HTTPS_PROXY).",
        )
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{peer} gave no whole answer within {peer.timeout:g} s.",
            "Give it more time (timeout_sec), or ask for less at once (page size, concurrency).",
            timed_out=True,
        )
    if isinstance(error, aiohttp.ClientPayloadError):
        return Unreachable(
            f"{peer} broke off in the middle of its answer.",
            "A server's or proxy's time-out may cut it: ask for less at once (page size, concurrency).",
            broken_off=True,
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Unreachable(
            f"The proxy {peer.proxy} does not connect to {peer.name} at {peer.host}: status {error.status}.",
            "407 means it wants credentials (in HTTPS_PROXY or ALL_PROXY). NO_PROXY excepts a host from it.",
        )
    if isinstance(error, aiohttp.ClientConnectionError):
        return Unreachable(f"{peer} closed the connection without an answer.", _closed_hint(peer), broken_off=True)
    return Unreachable(f"{peer} answers, but not in HTTP.", f"Is the port right? {_closed_hint(peer)}")


def _closed_hint(peer: Peer) -> str:
    if peer.scheme == "http":
        return "If it speaks TLS, write https:// in its URL; otherwise its log says more."
    return (
        "It may want a client certificate (client_certificate_path); its log, or that of a proxy before it, says more."
    )
