"""Which workspaces of MLflow are read, and in which order."""

from msgspec import structs

from crawler.errors import CredentialsRefused, RequestRefused, SettingsError, WrongServer
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.server_version import is_older
from crawler.mlflow.workspaces import DEFAULT
from crawler.settings.patterns import ALL, AllowDenyPattern
from crawler.telemetry.events import Event, Listener, WorkspacesChosen
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.reading import REGISTRY_WORKSPACES, WORKSPACE_IGNORED, WORKSPACES_UNLISTED

OF_ONE_WORKSPACE = (RequestRefused, WrongServer, CredentialsRefused)
"""Errors that may be about one workspace and not the server: it was deleted meanwhile, or may not be read."""


async def choose_workspaces(
    client: MlflowClient, version: str | None, pattern: AllowDenyPattern, listener: Listener
) -> list[str]:
    """Return the workspaces to read: the one that the settings name, or those that match; none without any.

    The default comes first. Raises SettingsError where nothing is chosen of those that MLflow has.
    """
    wanted = client.chosen_workspace
    has_workspaces = False if is_older(version, 3, 10) else await client.has_workspaces()
    if not has_workspaces:
        if has_workspaces is None and version is not None and not wanted:
            listener(WORKSPACES_UNLISTED.found())
        elif wanted or pattern != ALL:
            listener(WORKSPACE_IGNORED.found(wanted or "workspace_pattern"))
        if await client.has_workspaces_in_registry_only():
            listener(REGISTRY_WORKSPACES.found(client.registry_url))
        return []
    names = sorted(await client.workspaces(), key=lambda name: (name != DEFAULT, name))
    if wanted and (wanted in names or not names):
        chosen, left_out = [wanted], []
    else:
        if not names:
            listener(WORKSPACES_UNLISTED.found())
        chosen = [name for name in names or [DEFAULT] if not wanted and pattern.allows(name)]
        left_out = [name for name in names if name not in chosen]
    if not chosen:
        raise _nothing_chosen(client.url, wanted, names)
    listener(WorkspacesChosen(chosen, left_out))
    return chosen


def _nothing_chosen(url: str, wanted: str | None, names: list[str]) -> SettingsError:
    missing = f"has no workspace {wanted!r}" if wanted else "has no workspace that workspace_pattern allows"
    return SettingsError(
        f"MLflow at {url} {missing}, or does not show it to this account.",
        f"It has: {', '.join(sorted(names))}.",
    )


class NamesWorkspace:
    """Hands events on, findings with the name of the workspace that they are about."""

    def __init__(self, listener: Listener, name: str) -> None:
        """Hand on to `listener`."""
        self._listener = listener
        self._name = name

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        if isinstance(event, Finding):
            sample = f"workspace {self._name}: {event.sample}" if event.sample else f"workspace {self._name}"
            event = structs.replace(event, sample=sample)
        self._listener(event)
