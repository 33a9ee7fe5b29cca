"""Which credentials a server is shown: a token, else a user name with its password, else none."""

import base64
import re
from collections.abc import Iterator

import msgspec
from multidict import CIMultiDict

from crawler.errors import SettingsError
from crawler.http.address import Address
from crawler.settings import Secret, ServerSettings

_SHORTEST_HEADER_SECRET = 4
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class Credentials(msgspec.Struct, frozen=True):
    """The `Authorization` header, `shown` as a message may name it, and every secret that it is made of."""

    authorization: Secret | None
    shown: str
    secrets: tuple[Secret, ...] = ()


def credentials_of(settings: ServerSettings, address: Address) -> Credentials:
    """A token comes before a user name, the settings come before the user info of the URL."""
    if settings.token is not None:
        return _bearer(settings.token)
    if settings.username is not None:
        return _basic(settings.username, settings.password, shown=f"user name {settings.username!r}")
    if address.username is not None or address.password is not None:
        return _user_info(address)
    if any(name.lower() == "authorization" for name in settings.headers):
        return Credentials(authorization=None, shown="the Authorization header of the settings")
    return Credentials(authorization=None, shown="no credentials")


def request_headers(name: str, settings: ServerSettings, credentials: Credentials) -> CIMultiDict[str]:
    """The credentials, then the headers of the settings, which win; SettingsError for control characters."""
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


def header_secrets(value: Secret) -> Iterator[Secret]:
    """A value and its last word, the token of `Bearer <token>`; one as short as `1` hides nothing."""
    text = value.reveal()
    yield from (Secret(part) for part in {text, *text.split()[-1:]} if len(part) >= _SHORTEST_HEADER_SECRET)


def _bearer(token: Secret) -> Credentials:
    # Tokens are often read from files, and these end with a line break.
    text = token.reveal().strip()
    return Credentials(Secret(f"Bearer {text}"), "a token", (Secret(text),))


def _user_info(address: Address) -> Credentials:
    # Here the user name may be the secret, as in https://<token>@host: it is not shown.
    username = address.username or ""
    basic = _basic(username, address.password, shown="the user info of its URL")
    return msgspec.structs.replace(basic, secrets=(*basic.secrets, Secret(username)))


def _basic(username: str, password: Secret | None, shown: str) -> Credentials:
    text = "" if password is None else password.reveal()
    encoded = base64.b64encode(f"{username}:{text}".encode()).decode("ascii")
    return Credentials(Secret(f"Basic {encoded}"), shown, (Secret(text), Secret(encoded)))
