"""Which workspace of MLflow is read: the one that is chosen, or the default, with a warning where there are others."""

from crawler.errors import SettingsError
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.server_version import is_older
from crawler.mlflow.workspaces import DEFAULT
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.reading import WORKSPACE_IGNORED, WORKSPACES_UNREAD


async def choose_workspace(client: MlflowClient, version: str | None, listener: Listener) -> str | None:
    """Have `client` read the chosen workspace and return its name; None where the server has no workspaces.

    Raises SettingsError where it has others, but not that one.
    """
    wanted = client.chosen_workspace
    names = None if is_older(version, 3, 10) else await client.workspaces()
    if names is None:
        if wanted:
            listener(WORKSPACE_IGNORED.found(wanted))
        return None
    if not wanted:
        if others := [name for name in names if name != DEFAULT]:
            listener(WORKSPACES_UNREAD.found(", ".join(sorted(others)), len(others)))
        return DEFAULT
    if names and wanted not in names:
        raise SettingsError(
            f"MLflow at {client.url} has no workspace {wanted!r}, or does not show it to this account.",
            f"It has: {', '.join(sorted(names))}.",
        )
    await client.use_workspace(wanted)
    return wanted
