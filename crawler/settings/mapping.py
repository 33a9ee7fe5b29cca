"""What is written to DataHub, and by which names."""

from typing import Literal

import msgspec


class OwnerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the owners of models, model groups and containers are told.

    Attributes:
        tags: the tags that name them; the first that a thing has counts.
        pattern: what of a tag's value is the name: its first group, or all of it; None for the whole value.
        user_domain: what follows the `@` of a name that has none; None for nothing.
        type: DataHub's name of the kind of ownership, or the URN of a kind of one's own.
    """

    tags: tuple[str, ...]
    pattern: str | None = None
    user_domain: str | None = None
    type: str = "TECHNICAL_OWNER"


class MappingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides what is written for one MLflow server.

    Attributes:
        env: the environment in URNs, such as PROD.
        platform_instance: the platform instance in URNs, to tell several MLflow servers apart.
        model_name_separator: what stands between a model's name and its version in URNs.
        ui_url: the URL of MLflow's pages, which links in DataHub begin with.
        materialize_dataset_inputs: True also writes the dataset on its own platform that a dataset input stands for.
        source_mapping_to_platform: the DataHub platform for each source type of a dataset input.
        workspace_identity: whether each workspace but the default is a platform instance of its own, or only a prefix.
        workspace: the workspace that links name; None until the server has said that it has any.
        name_prefix: what names of models begin with in URNs; empty for the default workspace, and without any.
        keep_url_credentials: True writes the user names and passwords that stand within URLs of MLflow's data.
        owner: how owners are told; None for no owners.
        model_tags: what the tags of a model in its properties hold beside its own, "stage" and "alias".
        link_to_mlflow: True writes MLflow's pages as links, too.
    """

    env: str = "PROD"
    platform_instance: str | None = None
    model_name_separator: str = "_"
    ui_url: str
    materialize_dataset_inputs: bool = False
    source_mapping_to_platform: dict[str, str] = {}
    workspace_identity: Literal["platform_instance", "prefix"] = "platform_instance"
    workspace: str | None = None
    name_prefix: str = ""
    keep_url_credentials: bool = False
    owner: OwnerSettings | None = None
    model_tags: tuple[str, ...] = ()
    link_to_mlflow: bool = False
