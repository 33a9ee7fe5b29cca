"""MLflow's workspaces (3.10 and later): whether a server has any, and which."""

import msgspec

from crawler.errors import RequestRefused, WrongServer
from crawler.http import Server
from crawler.http.status_policy import NO_ENDPOINT

API_3 = "/api/3.0/mlflow"
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
"""Names the workspace of a request; a server without workspaces answers 500 to it."""
DEFAULT = "default"
"""The workspace of requests that name none."""


class _Info(msgspec.Struct):
    workspaces_enabled: bool = False


class _Workspace(msgspec.Struct):
    name: str


class _Listing(msgspec.Struct):
    workspaces: list[_Workspace] = []


_NOT_AS_EXPECTED = (RequestRefused, WrongServer, msgspec.DecodeError, UnicodeDecodeError)


async def has_workspaces(server: Server) -> bool | None:
    """Return whether the server has workspaces; None where it does not tell, although it has the endpoint for that."""
    try:
        info = await server.get(f"{API_3}/server-info")
        return msgspec.json.decode(info.body, type=_Info).workspaces_enabled
    except RequestRefused as refused:
        return False if refused.status in NO_ENDPOINT else None
    except _NOT_AS_EXPECTED:
        return None


async def list_workspaces(server: Server) -> list[str]:
    """Return the names of the workspaces that the account may see; none where the server does not list them."""
    try:
        listing = await server.get(f"{API_3}/workspaces")
        return [each.name for each in msgspec.json.decode(listing.body, type=_Listing).workspaces]
    except _NOT_AS_EXPECTED:
        return []
