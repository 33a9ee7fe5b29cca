"""Addresses of servers as people write them: checked, and parted from the credentials in them."""

import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import msgspec

from crawler.config.settings import Secret
from crawler.errors import SettingsError

_HOST = re.compile(r"[^\s\\]+")


class Address(msgspec.Struct, frozen=True):
    """`url` has no user info, query or fragment, so it may be shown and linked to."""

    url: str
    username: str | None
    password: Secret | None


def address(text: str, option: str, hint: str) -> Address:
    """The http(s) address in `text`. SettingsError does not show what it cannot read: it may hold a password."""
    parts = _parts(text.strip(), option, hint)
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    return Address(
        url=urlunsplit(parts._replace(netloc=host, query="", fragment="")),
        username=unquote(user) if user_info else None,
        password=Secret(unquote(password)) if user_info else None,
    )


def datahub_cloud(url: str) -> str:
    """The metadata service behind the address of a DataHub Cloud tenant, which official recipes may give instead."""
    return re.sub(r"^https?://([^/]+\.acryl\.io)(?::8080)?(?:/(?:api/)?gms)?/*$", r"https://\1/gms", url)


def _parts(text: str, option: str, hint: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:
        # The message of a ValueError quotes the whole address.
        raise SettingsError(f"{option}: the address cannot be read.", hint) from None
    if not usable:
        raise SettingsError(f"{option}: this is no http(s) address.", hint)
    return parts
