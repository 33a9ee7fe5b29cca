"""A double of MLflow 3.17 with workspaces, each of which is a double of a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from crawler.mlflow.workspaces import API_3, WORKSPACE_HEADER
from tests.servers.dialect import Dialect, served


class Workspaces:
    """`async with Workspaces(default=Dialect(), team_a=Dialect()).serve() as url: …`.

    Those of `unlisted` are there all the same, those of `vanished` are listed all the same. `server_info` and `listing`
    are the statuses of these two endpoints.
    """

    def __init__(self, **dialects: Dialect) -> None:
        self.dialects = {name.replace("_", "-"): dialect for name, dialect in dialects.items()}
        self.unlisted: set[str] = set()
        self.vanished: set[str] = set()
        self.server_info = self.listing = 200

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Yields the URL."""
        async with served(self._answer) as url:
            yield url

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.Response(text="3.17.2")
        if request.path == f"{API_3}/server-info":
            return web.json_response({"workspaces_enabled": True}, status=self.server_info)
        if request.path == f"{API_3}/workspaces":
            names = [*self.dialects.keys() - self.unlisted, *self.vanished]
            return web.json_response({"workspaces": [{"name": name} for name in names]}, status=self.listing)
        name = request.headers.get(WORKSPACE_HEADER, "default")
        if name not in self.dialects:
            answer = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Workspace '{name}' not found"}
            return web.json_response(answer, status=404)
        return await self.dialects[name].answer(request)
