"""Whether an entity of DataHub is one of those that crawls of an MLflow server write: pure.

Users and tags never are, since other sources share them, nor are datasets of other platforms.
"""

from collections.abc import Collection, Mapping

from crawler.comparison.normal_form import Value
from crawler.datahub.aspects.entities import DataPlatformInstance, Status, SubTypes
from crawler.mapping.evaluation_datasets import EVALUATION_DATASET_SUBTYPE
from crawler.mapping.logged_models import LOGGED_MODEL_SUBTYPE
from crawler.mapping.platform import PLATFORM_URN, platform_instance_urn
from crawler.mapping.prompts import PROMPT_SUBTYPE, PROMPT_VERSION_SUBTYPE
from crawler.mapping.workspaces import of_workspace
from crawler.pipeline.run_choice import unread_types
from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Selection
from crawler.telemetry.events import WorkspacesChosen
from crawler.telemetry.findings.reading import (
    EXPERIMENT_UNREAD,
    HIDDEN_MODEL_VERSIONS,
    LISTING_MISSING,
    LISTING_UNREAD,
    NOT_READ,
    NOTHING_LISTED,
    NULL_START_TIME_UNKNOWN,
    REGISTRY_MISSING,
    UNREADABLE,
    WORKSPACE_UNREAD,
    WORKSPACES_UNLISTED,
)

KEY_ASPECTS: Mapping[str, str] = {
    "mlModelGroup": "mlModelGroupKey",
    "mlModel": "mlModelKey",
    "container": "containerKey",
    "dataProcessInstance": "dataProcessInstanceKey",
    "dataset": "datasetKey",
}
"""The aspect that each entity of a type has, of the types that belong to one server."""
PROOF = (DataPlatformInstance.NAME, Status.NAME, SubTypes.NAME)
"""The other aspects that tell whether an entity belongs to a server and is not removed, and of which kind it is."""

_WITHOUT_PLATFORM = frozenset({"container", "dataProcessInstance"})
"""Types whose URN names no platform."""
_DATASET_ENV = "PROD"

_RUNS = frozenset({"dataProcessInstance", "dataset"})
_EXPERIMENTS = _RUNS | {"container"}
_MODELS = frozenset({"mlModelGroup"})
_VERSIONS = frozenset({"mlModel"})
_OF_LISTING = {
    "runs": _RUNS,
    "experiments": _EXPERIMENTS,
    "registered_models": _MODELS,
    "model_versions": _VERSIONS,
}
_UNKNOWN_AFTER: Mapping[str, frozenset[str]] = {
    **{
        kinds[listing].code: types
        for kinds in (UNREADABLE, LISTING_UNREAD, LISTING_MISSING)
        for listing, types in _OF_LISTING.items()
        if listing in kinds
    },
    EXPERIMENT_UNREAD.code: _RUNS,
    NULL_START_TIME_UNKNOWN.code: _RUNS,
    NOT_READ.code: _VERSIONS,
    HIDDEN_MODEL_VERSIONS.code: _VERSIONS,
    REGISTRY_MISSING.code: _MODELS | _VERSIONS,
    NOTHING_LISTED.code: frozenset(KEY_ASPECTS),
    WORKSPACE_UNREAD.code: frozenset(KEY_ASPECTS),
    WORKSPACES_UNLISTED.code: frozenset(KEY_ASPECTS),
}
"""The entity types of which MLflow may have more than was read, by the code of a finding that says so."""


_KINDS = {
    "prompts": PROMPT_SUBTYPE,
    "prompt_versions": PROMPT_VERSION_SUBTYPE,
    "evaluation_datasets": EVALUATION_DATASET_SUBTYPE,
    "logged_models": LOGGED_MODEL_SUBTYPE,
}
"""The subtypes of what has a listing of its own, but no entity type."""
_NOT_ALL_READ = (UNREADABLE, LISTING_UNREAD)


def kinds_not_read(found: Collection[str], selection: Selection) -> frozenset[str]:
    """Return the subtypes of which not all was read, after the findings of these codes, or not all was to be read."""
    include = selection.include
    unread = {listing for listing in _KINDS if _is_unread(listing, found)}
    if not include.prompts or "prompts" in unread or HIDDEN_MODEL_VERSIONS.code in found:
        unread |= {"prompts", "prompt_versions"}
    if not include.evaluation_datasets:
        unread.add("evaluation_datasets")
    reads_experiments = include.experiments and selection.experiment_pattern.allows_all
    if not include.logged_models or not reads_experiments or _is_unread("experiments", found):
        unread.add("logged_models")
    return frozenset(_KINDS[listing] for listing in unread)


def _is_unread(listing: str, found: Collection[str]) -> bool:
    return any(kinds[listing].code in found for kinds in _NOT_ALL_READ if listing in kinds)


def types_read_whole(found: Collection[str], selection: Selection) -> list[str]:
    """Return the entity types of which all was read, after the findings of these codes.

    What was listed and not chosen is known; what was not listed for want of being chosen is not.
    """
    unknown = unread_types(selection).union(*(_UNKNOWN_AFTER.get(code, frozenset()) for code in found))
    if selection.leaves_out_runs:
        unknown |= _RUNS
    return [entity_type for entity_type in KEY_ASPECTS if entity_type not in unknown]


def types_told_apart(workspaces: WorkspacesChosen | None, settings: MappingSettings) -> list[str]:
    """Return the entity types of which it is known that they are of no workspace that is left out.

    Datasets are those of all workspaces; without platform instances nothing tells the workspace of an experiment.
    """
    if workspaces is None or not workspaces.left_out:
        return [*KEY_ASPECTS]
    is_told = settings.workspace_identity == "platform_instance"
    return [entity_type for entity_type in KEY_ASPECTS if is_told and entity_type != "dataset"]


def instances_read(workspaces: WorkspacesChosen | None, settings: MappingSettings, *, is_only: bool) -> set[str | None]:
    """Return the URNs of the platform instances that were read, None for no instance.

    `is_only` is True where the settings name the only workspace.
    """
    if workspaces is None or is_only:
        return {platform_instance_urn(settings)}
    return {platform_instance_urn(of_workspace(settings, name)) for name in workspaces.read}


def may_belong(urn: str, entity_type: str, settings: MappingSettings) -> bool:
    """Return False for an entity whose URN says that it is of another platform or environment."""
    if entity_type in _WITHOUT_PLATFORM:
        return True
    env = _DATASET_ENV if entity_type == "dataset" else settings.env
    return urn.startswith(f"urn:li:{entity_type}:({PLATFORM_URN},") and urn.endswith(f",{env})")


def belongs(
    entity_type: str, stored: Mapping[str, Value], instances: Collection[str | None], unread: Collection[str] = ()
) -> bool:
    """Return whether what DataHub has of an entity says that it is there, and of one of these platform instances.

    What is of an `unread` subtype may be in MLflow.
    """
    if stored.get(Status.NAME, {}).get("removed") is True:
        return False
    if not frozenset(unread).isdisjoint(stored.get(SubTypes.NAME, {}).get("typeNames", [])):
        return False
    place = stored.get(DataPlatformInstance.NAME, {})
    if entity_type in _WITHOUT_PLATFORM and place.get("platform") != PLATFORM_URN:
        return False
    return place.get("instance") in instances
