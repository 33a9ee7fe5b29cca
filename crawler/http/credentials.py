"""Chooses the credentials that a server is sent: a token, else a user name with its password, else none."""

import base64
import re
from collections.abc import Iterator

import msgspec
from multidict import CIMultiDict

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import Address

_SHORTEST_SECRET = 4
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class Credentials(msgspec.Struct, frozen=True):
    """The `Authorization` header, `shown` as a message may name it, and every secret that it is made of."""

    authorization: Secret | None
    shown: str
    secrets: tuple[Secret, ...] = ()


def credentials_of(settings: ServerSettings, address: Address) -> Credentials:
    """Prefer a token to a user name, and the settings to the user info of the URL."""
    if settings.token is not None:
        return _bearer(settings.token)
    if settings.username is not None:
        if settings.user_info:
            return _user_info(settings.username, settings.password)
        return _basic(settings.username, settings.password, shown=f"user name {settings.username!r}")
    if address.username is not None or address.password is not None:
        return _user_info(address.username or "", address.password)
    if any(name.lower() == "authorization" for name in settings.headers):
        return Credentials(authorization=None, shown="the Authorization header of the settings")
    return Credentials(authorization=None, shown="no credentials")


def request_headers(name: str, settings: ServerSettings, credentials: Credentials) -> CIMultiDict[str]:
    """Return the credentials and the headers of the settings, which win; SettingsError for control characters."""
    headers: CIMultiDict[str] = CIMultiDict()
    if credentials.authorization is not None:
        headers["Authorization"] = credentials.authorization.reveal()
    headers.update({header: value.reveal().strip() for header, value in settings.headers.items()})
    for header, value in headers.items():
        if _CONTROL_CHARACTER.search(header + value):
            raise SettingsError(
                f"The header {header!r} for {name} holds a line break or another control character.",
                "Was the token read from a file with more than one line?",
            )
    return headers


def secrets_of(
    settings: ServerSettings, credentials: Credentials, address: Address, proxy: Address | None
) -> Iterator[Secret]:
    """Yield everything that must not be shown, also credentials that others override."""
    yield from credentials.secrets
    for value in settings.headers.values():
        yield from header_secrets(value)
    for each in (address, proxy):
        if each is not None and (each.username is not None or each.password is not None):
            yield from _user_info(each.username or "", each.password).secrets
    for secret in (settings.token, settings.password):
        if secret is not None:
            yield secret


def header_secrets(value: Secret) -> Iterator[Secret]:
    """Yield a value and its last word, the token of `Bearer <token>`; too short ones are no secrets."""
    text = value.reveal()
    yield from (Secret(part) for part in {text, *text.split()[-1:]} if len(part) >= _SHORTEST_SECRET)


def _bearer(token: Secret) -> Credentials:
    # Tokens are often read from files, and these end with a line break.
    text = token.reveal().strip()
    return Credentials(Secret(f"Bearer {text}"), "a token", (Secret(text),))


def _user_info(username: str, password: Secret | None) -> Credentials:
    # Here the user name may be the secret, as in https://<token>@host: it is not shown.
    basic = _basic(username, password, shown="the user info of its URL")
    named = (Secret(username),) if len(username) >= _SHORTEST_SECRET else ()
    return msgspec.structs.replace(basic, secrets=(*basic.secrets, *named))


def _basic(username: str, password: Secret | None, shown: str) -> Credentials:
    text = "" if password is None else password.reveal()
    encoded = base64.b64encode(f"{username}:{text}".encode()).decode("ascii")
    return Credentials(Secret(f"Basic {encoded}"), shown, (Secret(text), Secret(encoded)))
