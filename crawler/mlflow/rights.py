"""What an account can see: whether MLflow may hide rows from it, and whether a model is there that is not listed.

MLflow's basic auth leaves rows out that the account may not read: a right that was taken away looks like a deletion.
"""

import msgspec

from crawler.errors import CredentialsRefused, RequestRefused, WrongServer
from crawler.http import Server
from crawler.mlflow.refusals import API, says_no_such_row
from crawler.settings.servers import ServerSettings


class _User(msgspec.Struct):
    is_admin: bool = False


class _Answer(msgspec.Struct):
    user: _User


async def may_hide(server: Server, settings: ServerSettings) -> bool:
    """Return whether the server may hide rows from the account: not without an account, and not from an admin."""
    if not _signs_in(settings):
        return False
    if settings.username is None or settings.token is not None:
        return True
    try:
        answer = await server.get(f"{API}/users/get", {"username": settings.username})
        return not msgspec.json.decode(answer.body, type=_Answer).user.is_admin
    except (RequestRefused, WrongServer, CredentialsRefused, msgspec.DecodeError, UnicodeDecodeError):
        # No basic auth of MLflow's own, but perhaps that of another service.
        return True


async def has_model(server: Server, name: str) -> bool | None:
    """Return whether the registry has a model; None where it does not tell."""
    try:
        await server.get(f"{API}/registered-models/get", {"name": name})
    except RequestRefused as refused:
        return False if says_no_such_row(refused) else None
    return True


def _signs_in(settings: ServerSettings) -> bool:
    signs = (settings.username, settings.token, settings.headers, settings.tls.client_certificate)
    return any(sign for sign in signs)
