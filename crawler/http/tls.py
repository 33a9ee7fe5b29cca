"""Configures TLS from the settings, and finds the TLS error behind a failed connection."""

import ssl
from pathlib import Path

from crawler.errors import SettingsError
from crawler.settings.servers import Tls


def tls_context(name: str, tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies certificates and host names unless `verify` is false.

    A CA file replaces the system's CAs. SettingsError for files that cannot be used.
    """
    context = _context_with_ca(name, tls.ca_certificate)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.client_certificate is not None:
        _load_client_certificate(context, name, tls.client_certificate, tls.client_key)
    return context


def tls_failure(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error behind what aiohttp raised: its own classes hide reason and verify_code."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause


def is_lasting(failure: ssl.SSLError) -> bool:
    """Return True if the next handshake would fail alike: a bad certificate, an alert, no TLS at all."""
    return (
        isinstance(failure, ssl.SSLCertVerificationError) or is_no_tls(failure) or "_ALERT_" in (failure.reason or "")
    )


def is_no_tls(failure: ssl.SSLError) -> bool:
    """Return True if the server answered with no TLS record, most likely with plain HTTP."""
    return failure.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}


def _context_with_ca(name: str, ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    try:
        if ca.is_dir():
            return ssl.create_default_context(capath=ca)
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise SettingsError(
            f"The CA certificate for {name}, {ca}, cannot be used: {_reason(error)}.",
            "Give a file with certificates in PEM form.",
        ) from error


def _load_client_certificate(context: ssl.SSLContext, name: str, certificate: Path, key: Path | None) -> None:
    try:
        # Without a password of its own, OpenSSL would ask for one at the terminal and a job would hang.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        files = str(certificate) if key is None else f"{certificate} with key {key}"
        raise SettingsError(
            f"The client certificate for {name}, {files}, cannot be used: {_reason(error)}.",
            "Give certificate and unencrypted key in PEM form, and a key that fits the certificate.",
        ) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not in PEM form").replace("_", " ").lower()
    return (error.strerror or "it cannot be read").lower()
