"""A stage that reads the credentials again when they are refused: a token in a file may be replaced during a crawl."""

import asyncio
import logging

from msgspec import structs
from multidict import CIMultiDict

from crawler.errors import SettingsError
from crawler.http.credentials import credentials_of
from crawler.http.exchange import Request, Stage
from crawler.http.redaction import Redactor
from crawler.http.responses import Response
from crawler.http.status_policy import UNAUTHORIZED
from crawler.secrets.secret import Secret
from crawler.secrets.sources import read_secret
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import Address

_log = logging.getLogger("crawler")


class CredentialRenewer:
    """The stage that repeats a request that was refused (401), if file or command now give another secret.

    However many requests are refused at once, the secret is read once; if it is the same, it is not read again.
    """

    def __init__(
        self, next_stage: Stage, name: str, settings: ServerSettings, address: Address, redact: Redactor
    ) -> None:
        self._next = next_stage
        self._name = name
        self._settings = settings
        self._address = address
        self._redact = redact
        self._authorization: str | None = None
        """The renewed header; None while that of the session holds."""
        self._reading = asyncio.Lock()
        self._is_refused = False
        """True if the secret was read again and was still the same."""

    async def send(self, request: Request) -> Response:
        """Send; where the credentials are refused and have changed, send again."""
        sent = self._authorization
        response = await self._next.send(self._signed(request))
        if response.status != UNAUTHORIZED or self._settings.renewal is None:
            return response
        async with self._reading:
            if self._authorization == sent and not self._is_refused:
                await self._renew()
            if self._authorization == sent:
                return response
        return await self._next.send(self._signed(request))

    def _signed(self, request: Request) -> Request:
        if self._authorization is None:
            return request
        headers = CIMultiDict(request.headers)
        headers["Authorization"] = self._authorization
        return structs.replace(request, headers=headers)

    async def _renew(self) -> None:
        assert self._settings.renewal is not None  # noqa: S101  without it nobody asks
        option = self._settings.renewal.option
        try:
            secret = await asyncio.to_thread(read_secret, self._settings.renewal)
        except SettingsError as error:
            self._is_refused = True
            _log.warning("%s refuses the credentials, and they cannot be read again. %s", self._name, error)
            return
        if secret in (self._settings.token, self._settings.password):
            self._is_refused = True
            return
        self._settings = _with_secret(self._settings, secret)
        credentials = credentials_of(self._settings, self._address)
        self._redact.add(each.reveal() for each in credentials.secrets)
        if credentials.authorization is not None:
            self._authorization = credentials.authorization.reveal()
        _log.info("%s refused the credentials; %s has others now, which are used from here on.", self._name, option)


def _with_secret(settings: ServerSettings, secret: Secret) -> ServerSettings:
    if settings.username is None:
        return structs.replace(settings, token=secret)
    return structs.replace(settings, password=secret)
