"""DataHub's GMS: `/config`, writing through either endpoint, reading back."""

from collections.abc import Collection

import msgspec

from crawler.datahub import queue_offsets, readback, statuses, timeseries
from crawler.datahub.queue_offsets import QueueOffsets
from crawler.datahub.wire import restli
from crawler.datahub.wire.protocol import WriteRequest
from crawler.errors import CrawlerError, CredentialsRefused, RequestRefused, WrongServer
from crawler.http import Server
from crawler.http.status_policy import BAD_GATEWAY, BAD_REQUEST, FORBIDDEN, NO_ENDPOINT, PROXY_UNAUTHORIZED

FRONTEND_PREFIX = "/api/gms"

_OTHER_ENDPOINT = "Upgrade DataHub, or let what stands before it pass this path, or use the other --endpoint."


class _Build(msgspec.Struct):
    version: str | None = None


class _Kind(msgspec.Struct, rename="camel"):
    server_env: str | None = None


class _Config(msgspec.Struct, rename="camel"):
    no_code: str = ""
    versions: dict[str, _Build] = {}
    datahub: _Kind | None = None


class GmsClient:
    """One GMS behind one session."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._takes_batches = False
        self.is_cloud = False
        """Whether it is DataHub Cloud, which counts its versions by itself; known once `version` was asked for."""

    async def version(self) -> str | None:
        """Return DataHub's version as `/config` has it; None where it has none.

        Raises:
            WrongServer: It is no GMS. The hint names the URL that is one, if there is one.
        """
        refused: CrawlerError | None = None
        try:
            if (config := await self._config("")) is not None:
                self.is_cloud = config.datahub is not None and config.datahub.server_env not in {None, "", "core"}
                return next((build.version for build in config.versions.values() if build.version), None)
        except (RequestRefused, WrongServer) as error:
            refused = error
        if not self._server.url.endswith(FRONTEND_PREFIX) and await self._is_frontend():
            raise WrongServer(
                f"{self._server.url} is DataHub's frontend, not its metadata service (GMS).",
                f"Give {self._server.url}{FRONTEND_PREFIX} instead.",
            )
        if refused is not None:
            raise refused
        raise WrongServer(
            f"{self._server.url} is not DataHub's metadata service (GMS): it has no /config that says so.",
            "Give the URL of GMS (often port 8080), or the frontend's with /api/gms behind it.",
        )

    async def write(self, request: WriteRequest) -> bytes:
        """Send one batch, or a part of it, and return GMS' answer.

        Raises:
            RequestRefused: GMS does not take the batch.
            WrongServer: It takes no batches at all.
        """
        try:
            response = await self._server.send(request.method, request.path, request.body, request.headers)
        except WrongServer as error:
            # GMS answered before, so this concerns the batch: a firewall may not like what is in it.
            raise RequestRefused(error.message, error.hint, status=BAD_GATEWAY) from error
        except RequestRefused as refused:
            if not self._takes_batches and _has_no_endpoint(refused):
                raise self._no_batches(request, refused) from None
            raise
        self._takes_batches = True
        return response.body

    async def read_back(self, entity_type: str, body: bytes) -> bytes:
        """Ask for stored entities of one type and return GMS' answer.

        Raises:
            RequestRefused: GMS does not show them.
        """
        return (await self._server.post(readback.path(entity_type), body)).body

    async def ask(self, path: str, body: bytes, *, attempts: int | None = None) -> bytes:
        """Ask for stored values, or a list of entities, and return GMS' answer.

        Raises:
            RequestRefused: GMS does not show them.
        """
        return (await self._server.post(path, body, attempts=attempts)).body

    async def forbids(self, request: WriteRequest) -> RequestRefused | None:
        """Send a request that changes nothing; return GMS' refusal if its user lacks the privilege for it, else None.

        What else GMS says of the request does not count. Raises any other CrawlerError.
        """
        try:
            await self._server.post(request.path, request.body, request.headers, attempts=1)
        except RequestRefused as refused:
            return refused if refused.status == FORBIDDEN else None
        return None

    async def latest_timeseries(self, query: bytes) -> str | None:
        """Return the JSON of the timeseries aspect that `timeseries.query_latest` asks for; None where there is none.

        Raises:
            RequestRefused: GMS does not show it.
            DecodeError: The answer is something else.
        """
        return timeseries.latest((await self._server.post(timeseries.PATH, query, restli.HEADERS)).body)

    async def shown(self, entity_type: str, urns: Collection[str]) -> set[str]:
        """Return those of these entities of one type that GMS has and that are not marked as removed.

        Raises:
            RequestRefused: GMS does not show them.
            DecodeError: The answer is something else.
        """
        return statuses.shown(await self.read_back(entity_type, statuses.body(urns)))

    async def queue_offsets(self) -> QueueOffsets:
        """Return how far GMS' consumer is in its queue.

        Raises:
            RequestRefused: The token's user may not read that, or GMS is too old to tell it.
            DecodeError, WrongServer: The answer tells nothing.
        """
        return queue_offsets.decode_offsets((await self._server.get(queue_offsets.PATH, attempts=1)).body)

    async def require_batches(self, request: WriteRequest) -> None:
        """Send a write of nothing to prove the token, since `/config` accepts any, and that batches are taken.

        Raises:
            CredentialsRefused: GMS refuses the token.
            WrongServer: GMS has no such endpoint, or something else answers in its place.
            RequestRefused: Something before it does not let the request through.
        """
        try:
            await self._server.post(request.path, request.body, request.headers)
        except RequestRefused as refused:
            if _has_no_endpoint(refused):
                raise self._no_batches(request, refused) from None
            # The answer to an empty batch differs by version; only these statuses are not about it.
            if refused.status in {FORBIDDEN, PROXY_UNAUTHORIZED}:
                raise

    def _no_batches(self, request: WriteRequest, refused: RequestRefused) -> WrongServer:
        path = request.path.partition("&")[0]
        return WrongServer(
            f"{self._server.url} has no {path}, which takes proposals in batches: {refused.message}", _OTHER_ENDPOINT
        )

    async def _is_frontend(self) -> bool:
        try:
            return await self._config(FRONTEND_PREFIX) is not None
        except (CredentialsRefused, RequestRefused, WrongServer):
            return False

    async def _config(self, prefix: str) -> _Config | None:
        """Return what `/config` says; None where there is none, or it is another server's."""
        try:
            response = await self._server.get(f"{prefix}/config")
        except RequestRefused as refused:
            if refused.status not in NO_ENDPOINT:
                raise
            return None
        try:
            config = msgspec.json.decode(response.body, type=_Config)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return config if config.no_code == "true" else None


def _has_no_endpoint(refused: RequestRefused) -> bool:
    """Return True where any batch would be refused alike. Rest.li answers 400 to an action that it does not know."""
    is_unknown_action = refused.status == BAD_REQUEST and "not supported on resource" in refused.body
    return refused.status in NO_ENDPOINT or is_unknown_action
