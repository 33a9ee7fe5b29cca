"""The options of an HTTP server: how to reach it, and how to sign in."""

from pathlib import Path
from typing import Annotated

import msgspec

from crawler.config.sections.values import Count, NotNegative, Options, Positive
from crawler.secrets.secret import Secret


class Connection(msgspec.Struct, kw_only=True, frozen=True):
    """The options of a server that the source and datahub-rest share."""

    token: Secret | None = None
    """A bearer token."""
    token_file: Path | None = None
    """A file that has the token in its first line."""
    token_command: str | None = None
    """A command that prints the token in its first line; no shell runs it."""
    extra_headers: dict[str, Secret] = {}
    """Headers to send with each request."""
    min_threads: Count = 1
    """The fewest requests in flight that the adaptive limit falls to."""
    max_threads: Count = 16
    """The most requests in flight."""
    timeout_sec: Positive
    """The most seconds that one attempt of a request may take."""
    retry_max_times: Annotated[int, msgspec.Meta(ge=0)] = 7
    """How often a failed request is retried."""
    patience_sec: NotNegative = 300.0
    """The longest outage of the server, in seconds, that is waited out."""
    ca_certificate_path: Path | None = None
    """Certificates to trust instead of the system's: a PEM file or a folder."""
    client_certificate_path: Path | None = None
    """The client certificate to send, a PEM file."""
    client_key_path: Path | None = None
    """The key of the client certificate, a PEM file, if it is not in the same file."""
    disable_ssl_verification: bool = False
    """Accept every certificate of the server."""


class DatahubApi(Connection, kw_only=True, frozen=True):
    """`datahub_api` (`DatahubClientConfig`)."""

    server: str | None = None
    """Required: the URL of DataHub's metadata service (GMS)."""
    auth: Options | None = None
    """As in the sink."""
    timeout_sec: Positive = 60.0
    """The most seconds that one attempt of a request may take."""


class Auth(msgspec.Struct, kw_only=True, frozen=True):
    """`auth` of a DataHub (`AuthConfig`)."""

    type: str = ""
    """Required: `static`, `pat`, `k8s_oidc`, `oidc_client_credentials`, `azure_entra`, or a provider of your own."""
    config: Options = {}
    """Its `token`, its `token_file`, or the options of the provider. A new token is asked for at each 401."""
