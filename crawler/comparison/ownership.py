"""Whether an entity of DataHub is one of those that crawls of an MLflow server write: pure.

Users and tags never are, since other sources share them, nor are datasets of other platforms.
"""

from collections.abc import Collection, Mapping

from crawler.comparison.normal_form import Value
from crawler.config.selection import Include
from crawler.config.settings import MappingSettings
from crawler.datahub.aspects import DataPlatformInstance, Status, SubTypes
from crawler.mapping.evaluation_datasets import EVALUATION_DATASET_SUBTYPE
from crawler.mapping.platform import PLATFORM_URN, platform_instance_urn
from crawler.mapping.prompts import PROMPT_SUBTYPE, PROMPT_VERSION_SUBTYPE
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
    WORKSPACES_UNREAD,
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
    WORKSPACES_UNREAD.code: frozenset(KEY_ASPECTS),
}
"""The entity types of which MLflow may have more than was read, by the code of a finding that says so."""


_KINDS = {
    "prompts": PROMPT_SUBTYPE,
    "prompt_versions": PROMPT_VERSION_SUBTYPE,
    "evaluation_datasets": EVALUATION_DATASET_SUBTYPE,
}
"""The subtypes of what has a listing of its own, but no entity type."""


def kinds_not_read(found: Collection[str], include: Include) -> frozenset[str]:
    """Return the subtypes of which not all was read, after the findings of these codes, or nothing was to be read."""
    unread = {
        listing
        for listing in _KINDS
        if any(kinds[listing].code in found for kinds in (UNREADABLE, LISTING_UNREAD) if listing in kinds)
    }
    if not include.prompts or "prompts" in unread or HIDDEN_MODEL_VERSIONS.code in found:
        unread |= {"prompts", "prompt_versions"}
    if not include.evaluation_datasets:
        unread.add("evaluation_datasets")
    return frozenset(_KINDS[listing] for listing in unread)


def types_read_whole(found: Collection[str]) -> list[str]:
    """Return the entity types of which all was read, after the findings of these codes."""
    unknown = frozenset[str]().union(*(_UNKNOWN_AFTER.get(code, frozenset()) for code in found))
    return [entity_type for entity_type in KEY_ASPECTS if entity_type not in unknown]


def may_belong(urn: str, entity_type: str, settings: MappingSettings) -> bool:
    """Return False for an entity whose URN says that it is of another platform or environment."""
    if entity_type in _WITHOUT_PLATFORM:
        return True
    env = _DATASET_ENV if entity_type == "dataset" else settings.env
    return urn.startswith(f"urn:li:{entity_type}:({PLATFORM_URN},") and urn.endswith(f",{env})")


def belongs(
    entity_type: str, stored: Mapping[str, Value], settings: MappingSettings, unread: Collection[str] = ()
) -> bool:
    """Return whether what DataHub has of an entity says that it is there, and of this platform instance.

    What is of an `unread` subtype may be in MLflow.
    """
    if stored.get(Status.NAME, {}).get("removed") is True:
        return False
    if not frozenset(unread).isdisjoint(stored.get(SubTypes.NAME, {}).get("typeNames", [])):
        return False
    place = stored.get(DataPlatformInstance.NAME, {})
    if entity_type in _WITHOUT_PLATFORM and place.get("platform") != PLATFORM_URN:
        return False
    return place.get("instance") == platform_instance_urn(settings)
