"""Which credentials a server gets: those of the first place that has some for it. Never those of another server."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from crawler.config.layers import DEFAULT, Layer
from crawler.config.secret_options import find_secret, has_secret, secret_options
from crawler.errors import SettingsError
from crawler.secrets.sources import read_secret
from crawler.secrets.token_providers import provider_source
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.urls import Address, parse_address, same_server

CREDENTIALS = frozenset(
    {"username", *secret_options("password"), *secret_options("token"), "auth", "authorization", "extra_headers"}
)
"""The options that are for one server: those of a place that names another one are not sent."""
_SIGN_INS = CREDENTIALS - {"extra_headers"}
"""Those that belong together: all of them come from one place."""
_WITH_A_TOKEN = {"static", "pat"}
_AUTH_HINT = "Give it as token (DATAHUB_GMS_TOKEN), or for pat as token_file (DATAHUB_AUTH_TOKEN_FILE)."


class ServerOptions(msgspec.Struct, frozen=True):
    """The options that name a server, the most important one first, and how messages name the server."""

    name: str
    options: tuple[str, ...]


class SignIn(msgspec.Struct, frozen=True):
    """How to sign in to one server.

    Attributes:
        layer: the credentials, and no other options; empty if there are none.
        address: the URL with its user info, which counts before other credentials of its place, as in requests.
        headers: the layer with further headers.
        origin: where the credentials are from.
    """

    layer: Layer
    address: Address
    headers: Layer
    origin: str

    def settings(self) -> dict[str, Any]:
        """Return the fields of ServerSettings. Raises SettingsError where a secret cannot be read."""
        headers = self.headers["extra_headers"] or {}
        if (system := self.layer["authorization"]) is not None:
            return {"headers": {"Authorization": system} | headers}
        fields: dict[str, Any] = {"headers": headers}
        if self.layer["user_info"]:
            return fields | self.address.user_info
        if (auth := self.layer["auth"]) is not None:
            option = self.layer.name_of("auth")
            if auth.get("type") in _WITH_A_TOKEN:
                raise SettingsError(f"{option}: {auth['type']} lacks its token.", _AUTH_HINT)
            provider = provider_source(auth, option)
            return fields | {"token": read_secret(provider), "renewal": provider}
        name = "password" if self.layer["username"] is not None else "token"
        secret, source = find_secret(self.layer, name)
        return fields | {"username": self.layer["username"], name: secret, "renewal": source}

    def has_own_header(self) -> bool:
        """True if the headers say how to sign in."""
        return any(header.lower() == "authorization" for header in self.headers["extra_headers"] or {})


def sign_in(url: str, layers: Sequence[Layer], servers: ServerOptions, diagnostics: Diagnostics) -> SignIn:
    """Return how to sign in at a URL.

    Args:
        url: the URL; user info in it is a credential of the place that names it.
        layers: all places, the most important one first.
        servers: the options by which a place names its own servers: credentials beside another server are not sent.
        diagnostics: what keeps a note of credentials that are not sent.
    """
    address = parse_address(url, servers.name, "")
    named_by, option = next((each, name) for each in layers for name in servers.options if each[name] == url)
    headers = next((each for each in layers if each["extra_headers"] and belongs(each, url, servers)), Layer(place=""))
    for layer in layers:
        if layer is named_by and address.username is not None:
            user_info = Layer(place=layer.place, options={"user_info": True}, names=layer.names)
            return SignIn(user_info, address, headers, named_by.origin(option))
        named = sorted(_SIGN_INS & {option for option, value in layer.options.items() if value is not None})
        if not named:
            continue
        if belongs(layer, url, servers):
            return SignIn(_only(layer, named), address, headers, layer.origin(named[0]))
        diagnostics.note(f"{layer.name_of(named[0])} is not sent to {address.base_url}: it is for another server.")
    return SignIn(Layer(place=""), address, headers, headers.origin("extra_headers") if headers.options else DEFAULT)


def belongs(layer: Layer, url: str, servers: ServerOptions) -> bool:
    """True if what a place says may go to a URL: the place names no server, or this one."""
    named = [layer[option] for option in servers.options]
    return named[0] is None or any(same_server(each, url) for each in named if each)


def has_credentials(layer: Layer) -> bool:
    """True if a place has credentials."""
    return layer["username"] is not None or has_secret(layer, "token") or layer["auth"] is not None


def _only(layer: Layer, options: Sequence[str]) -> Layer:
    kept: Mapping[str, Any] = {option: layer[option] for option in options}
    return Layer(place=layer.place, options=kept, names=layer.names, path=layer.path)
