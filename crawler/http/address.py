"""A base URL taken apart: the address that may be shown, and the user info that may not."""

import msgspec
from yarl import URL

from crawler.config.settings import Secret
from crawler.errors import SettingsError


class Address(msgspec.Struct, frozen=True):
    """`url` has no user info, query, fragment or trailing slash; `host` is host:port."""

    url: str
    scheme: str
    host: str
    username: str | None
    password: Secret | None


def parse_address(name: str, text: str) -> Address:
    """The address that `text` holds. What cannot be read is not shown: it may hold a password."""
    try:
        url = URL(text.strip())
        # The resolver would fail on such a name with an error that is no OSError.
        (url.host or "").encode("idna")
        port = url.port
    except (ValueError, UnicodeError):
        raise SettingsError(f"The URL of {name} cannot be read.", "Write it as https://host:port/path.") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(
            f"The URL of {name} is not an http:// or https:// address.", "Write it as https://host:port/path."
        )
    return Address(
        url=str(url.with_user(None).with_query(None).with_fragment(None)).rstrip("/"),
        scheme=url.scheme,
        host=f"[{url.host}]:{port}" if ":" in url.host else f"{url.host}:{port}",
        username=url.user,
        password=None if url.password is None else Secret(url.password),
    )
