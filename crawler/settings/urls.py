"""URLs of servers as people write them: checked, and separated from the credentials in them."""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import msgspec

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret

_HOST = re.compile(r"[^\s\\]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The URL of a server, and the credentials that were written into it.

    Attributes:
        url: the URL without user info, query and fragment, so it can be shown and linked to.
        username: the unquoted user name; some services take a token in its place, so it must not be shown.
        password: the unquoted password; empty if there is a user name only.
    """

    url: str
    username: str | None
    password: Secret | None

    @property
    def user_info(self) -> dict[str, Any]:
        """The credentials in the URL as fields of ServerSettings; empty if there are none."""
        if self.username is None:
            return {}
        return {"username": self.username, "password": self.password, "user_info": True}

    @property
    def base_url(self) -> str:
        """The URL without a trailing slash, for paths to be added."""
        return self.url.rstrip("/")

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return urlsplit(self.url).scheme

    @property
    def hostname(self) -> str:
        """The host in lower case, without port and brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def host(self) -> str:
        """Host and port, `gms:8080` or `[::1]:8080`, with the scheme's own port if none is written."""
        parts = urlsplit(self.url)
        name = self.hostname
        return f"{f'[{name}]' if ':' in name else name}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def parse_address(text: str, name: str, hint: str) -> Address:
    """Parse an http(s) URL.

    Args:
        text: the URL, with or without user info.
        name: how messages name the URL: the option that holds it, for example.
        hint: what messages tell the reader to do.

    Raises:
        SettingsError: `text` is not an http(s) URL. The message does not show it: it may hold a password.
    """
    parts = _split(text.strip(), name, hint)
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    return Address(
        url=urlunsplit(parts._replace(netloc=host, query="", fragment="")),
        username=unquote(user) if user_info else None,
        password=Secret(unquote(password)) if user_info else None,
    )


def same_server(one: str, other: str) -> bool:
    """True if two URLs name one server: the same host and port, or http and https on their own ports.

    requests decides by this rule whether a redirect may keep its credentials, and DataHub's sink whether those of the
    environment are for the recipe's server.
    """
    try:
        first, second = (urlsplit(datahub_cloud(url.strip().rstrip("/"))) for url in (one, other))
        if not first.hostname or first.hostname != second.hostname:
            return False
        ports = [parts.port or _DEFAULT_PORTS.get(parts.scheme) for parts in (first, second)]
    except ValueError:
        return False
    upgraded = {first.scheme, second.scheme} == {"http", "https"} and set(ports) == {80, 443}
    return upgraded or (first.scheme == second.scheme and ports[0] == ports[1])


def datahub_cloud(url: str) -> str:
    """Return the URL of GMS for that of a DataHub Cloud tenant, which official recipes may give instead."""
    return re.sub(r"^https?://([^/]+\.acryl\.io)(?::8080)?(?:/(?:api/)?gms)?/*$", r"https://\1/gms", url)


def _split(text: str, name: str, hint: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        # For a name that is none the resolver would raise an error that is no OSError.
        host.encode("idna")
        usable = parts.scheme in _DEFAULT_PORTS and _HOST.fullmatch(host) and parts.port != 0
    except ValueError:
        # The text of a ValueError quotes the whole URL.
        raise SettingsError(f"{name}: the address cannot be read.", hint) from None
    if not usable:
        raise SettingsError(f"{name}: this is no http(s) address.", hint)
    return parts
