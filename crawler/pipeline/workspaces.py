"""Which workspace of MLflow is read: the one that is chosen, or the default, with a warning where there are others."""

import re

from crawler.errors import SettingsError
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.workspaces import DEFAULT
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.reading import WORKSPACE_IGNORED, WORKSPACES_UNREAD

_FIRST_VERSION = (3, 10)


async def choose_workspace(client: MlflowClient, version: str | None, listener: Listener) -> str | None:
    """Have `client` read the chosen workspace and return its name; None where the server has no workspaces.

    Raises SettingsError where it has others, but not that one.
    """
    wanted = client.chosen_workspace
    names = await client.workspaces() if _may_have_any(version) else None
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


def _may_have_any(version: str | None) -> bool:
    """Return False for versions that are too old."""
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= _FIRST_VERSION
