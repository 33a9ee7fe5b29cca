"""DataHub's GMS: `/config`, the Rest.li batch endpoint (`AspectResource.java`) and OpenAPI v3
(`EntityController.java`).
"""

from contextlib import suppress

import msgspec

from crawler.datahub import readback
from crawler.datahub.wire import openapi
from crawler.errors import RequestRefused, WrongServer
from crawler.http import Server

INGEST = "/aspects?action=ingestProposalBatch"
FRONTEND_PREFIX = "/api/gms"


class _Build(msgspec.Struct):
    version: str | None = None


class _Config(msgspec.Struct, rename={"no_code": "noCode"}):
    no_code: str = ""
    versions: dict[str, _Build] = {}


class GmsClient:
    """One GMS behind one session."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def version(self) -> str | None:
        """What `/config` tells. Raises WrongServer where it is no GMS, and says which URL is, if one is found."""
        config = await self._config("")
        if config is not None:
            return next((build.version for build in config.versions.values() if build.version), None)
        if not self._server.url.endswith(FRONTEND_PREFIX) and await self._config(FRONTEND_PREFIX) is not None:
            raise WrongServer(
                f"{self._server.url} is DataHub's frontend, not its metadata service (GMS).",
                f"Give {self._server.url}{FRONTEND_PREFIX} instead.",
            )
        raise WrongServer(
            f"{self._server.url} is not DataHub's metadata service (GMS): it has no /config that says so.",
            "Give the URL of GMS (often port 8080), or the frontend's with /api/gms behind it.",
        )

    async def ingest(self, body: bytes, *, gzip: bool = False) -> None:
        """Sends one batch by Rest.li. Raises RequestRefused where GMS does not take it."""
        await self._server.post(INGEST, body, {"X-RestLi-Protocol-Version": "2.0.0"} | _labels(gzip))

    async def write_entities(self, entity_type: str, body: bytes, *, asynchronous: bool, gzip: bool = False) -> bytes:
        """Sends entities of one type by OpenAPI v3; gives the answer, which lists what was taken. Raises
        RequestRefused where GMS does not take them.
        """
        response = await self._server.post(openapi.path(entity_type, asynchronous=asynchronous), body, _labels(gzip))
        return response.body

    async def read_back(self, entity_type: str, body: bytes) -> bytes:
        """Asks for entities of one type. Raises RequestRefused where GMS does not answer that."""
        return (await self._server.post(readback.path(entity_type), body)).body

    async def require_credentials(self) -> None:
        """Sends a batch of nothing. Raises CredentialsRefused where the token is refused; `/config` takes any."""
        with suppress(RequestRefused):
            # What GMS says to an empty batch differs by version; only 401 and 403 tell of credentials.
            await self.ingest(b'{"proposals":[],"async":"false"}')

    async def _config(self, prefix: str) -> _Config | None:
        try:
            response = await self._server.get(f"{prefix}/config")
        except RequestRefused as refused:
            if refused.status >= 500:
                raise
            return None
        except WrongServer:
            return None
        try:
            config = msgspec.json.decode(response.body, type=_Config)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return config if config.no_code == "true" else None


def _labels(gzip: bool) -> dict[str, str]:
    return {"Content-Encoding": "gzip"} if gzip else {}
