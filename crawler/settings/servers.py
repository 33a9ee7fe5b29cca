"""One HTTP server as the settings have it: its address, its credentials, its TLS, and how much may be asked of it."""

from pathlib import Path

import msgspec

from crawler.secrets.secret import Secret, SecretSource


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server's certificate is verified, and the client certificate it is sent.

    Attributes:
        verify: False accepts every certificate.
        ca_certificate: a PEM file or a folder of certificates to trust instead of the system's.
        client_certificate: a PEM file with the certificate to send, and with its key if `client_key` is None.
        client_key: a PEM file with the key of the client certificate, unencrypted.
    """

    verify: bool = True
    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One HTTP server, its credentials and the load it is put under.

    Attributes:
        url: the base URL.
        username: the user name for HTTP basic authentication.
        user_info: True if the user name was written into the URL, where some services take a token: it is not shown.
        password: the password of `username`.
        token: a bearer token; it is sent instead of user name and password.
        renewal: where the token or the password is read again when the server refuses it: it may have changed there.
        headers: headers to send with each request, whatever else they carry.
        tls: how certificates are verified.
        concurrency: the most requests in flight; fewer if the server slows down or refuses some.
        min_concurrency: the fewest requests in flight that the limit may fall to.
        requests_per_second: the most requests begun per second; None for no limit.
        timeout: the most seconds that one attempt may take.
        attempts: the most attempts of one request, the first included.
        patience: the longest outage, in seconds, to wait out; 0 to wait for none.
    """

    url: str
    username: str | None = None
    user_info: bool = False
    password: Secret | None = None
    token: Secret | None = None
    renewal: SecretSource | None = None
    headers: dict[str, Secret] = {}
    tls: Tls = Tls()
    concurrency: int = 16
    min_concurrency: int = 1
    requests_per_second: float | None = None
    timeout: float = 120.0
    attempts: int = 8
    patience: float = 300.0

    def __repr__(self) -> str:
        """Return all fields but the user name, in place of which some services take a token."""
        shown = msgspec.structs.asdict(self) | {"username": self.username and Secret(self.username)}
        return f"ServerSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
