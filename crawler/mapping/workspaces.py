"""How workspaces of one MLflow server are told apart in what is written: the default as if it were the only one.

Names of models and experiments are not unique over workspaces. Those of the default stay as they are. Other models
begin with `<platform instance>.<workspace>/` in URNs: MLflow takes no slash in the name of a model and neither slash
nor dot in that of a workspace, so no two of them meet. Other experiments have the workspace in their key.
"""

from collections.abc import Iterable

from msgspec import structs

from crawler.mlflow.workspaces import DEFAULT
from crawler.settings.mapping import MappingSettings


def of_workspace(settings: MappingSettings, workspace: str) -> MappingSettings:
    """Return the settings by which one of several workspaces is mapped, from those of its server."""
    if workspace == DEFAULT:
        return structs.replace(settings, workspace=workspace)
    identity = ".".join(part for part in (settings.platform_instance, workspace) if part)
    has_instance = settings.workspace_identity == "platform_instance"
    return structs.replace(
        settings,
        workspace=workspace,
        name_prefix=f"{identity}/",
        platform_instance=identity if has_instance else settings.platform_instance,
    )


def workspace_of_model(name: str, settings: MappingSettings, workspaces: Iterable[str]) -> tuple[str, str] | None:
    """Return workspace and name of a model, from its name in URNs; None where it is of none of these workspaces."""
    for workspace in workspaces:
        prefix = of_workspace(settings, workspace).name_prefix
        if prefix and name.startswith(prefix):
            return workspace, name.removeprefix(prefix)
        if not prefix and "/" not in name:
            return workspace, name
    return None
