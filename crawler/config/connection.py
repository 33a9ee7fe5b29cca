"""What the source and the sink datahub-rest share: the settings of a server from the options of its connection."""

from collections.abc import Mapping
from typing import Any

from crawler.config.environment import CA_VARIABLES
from crawler.config.sections.connection import Connection
from crawler.errors import SettingsError
from crawler.settings.servers import Tls


def connection_settings(options: Connection, origins: Mapping[str, str], scheme: str) -> dict[str, Any]:
    """Return the fields of ServerSettings that do not depend on the URL's host and the credentials."""
    # A variable that is set for all programs must not end a crawl that does not need it.
    unused = scheme == "http" and origins.get("ca_certificate_path") in CA_VARIABLES
    return {
        "tls": Tls(
            verify=not options.disable_ssl_verification,
            ca_certificate=None if unused else options.ca_certificate_path,
            client_certificate=options.client_certificate_path,
            client_key=options.client_key_path,
        ),
        "concurrency": options.max_threads,
        "min_concurrency": min(options.min_threads, options.max_threads),
        "timeout": options.timeout_sec,
        "attempts": options.retry_max_times + 1,
        "patience": options.patience_sec,
    }


def require_bounds(options: Connection, path: str) -> None:
    """Raise SettingsError if the section at `path` has min_threads above max_threads."""
    if options.min_threads > options.max_threads:
        raise SettingsError(
            f"{path}: min_threads is {options.min_threads}, above max_threads, which is {options.max_threads}.",
            "Lower min_threads or raise max_threads; equal values fix the number of requests in flight.",
        )
