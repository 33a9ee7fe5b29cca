"""Prompt → model group, prompt version → model, and the prompts that a run names as its own.

MLflow keeps a prompt as a registered model with a tag that says so, and its text and settings in other tags.
"""

import re
from collections.abc import Sequence

import msgspec

from crawler.datahub.aspects.aspect import TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED, SubTypes
from crawler.datahub.aspects.models import MLModelGroupProperties, MLModelProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import MAX_PROPERTY_CHARACTERS
from crawler.mapping.model_versions import model_urn, version_properties
from crawler.mapping.platform import platform_instance, ui_page, url_part
from crawler.mapping.registered_models import group_of, model_group_urn, version_tag
from crawler.mapping.times import known_time
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import IS_PROMPT_TAG, KeyValue, ModelVersion, RegisteredModel, as_dict
from crawler.settings.mapping import MappingSettings

LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"
"""Of a run: the prompt versions that it uses, as JSON."""
PROMPT_SUBTYPE = "Prompt"
PROMPT_VERSION_SUBTYPE = "Prompt Version"

_TEXT_TAG = "mlflow.prompt.text"
_TYPE_TAG = "_mlflow_prompt_type"
_EXPERIMENTS_TAG = "_mlflow_experiment_ids"
_TEXT, _CHAT = "text", "chat"
_SETTINGS = {
    "_mlflow_prompt_response_format": "mlflow.prompt.response_format",
    "_mlflow_prompt_model_config": "mlflow.prompt.model_config",
}
"""Tags that are shown under another name."""
_INTERNAL = {IS_PROMPT_TAG, _TEXT_TAG, _TYPE_TAG, _EXPERIMENTS_TAG, *_SETTINGS}
_FENCE = re.compile("`{3,}")


class _Link(msgspec.Struct, frozen=True):
    name: str
    version: str | int


_decode_links = msgspec.json.Decoder(list[_Link]).decode


def prompt_entity(prompt: RegisteredModel, newest: str | None, settings: MappingSettings) -> Entity:
    """Map a prompt to a model group, whose version is the `newest`."""
    tags = as_dict(prompt.tags)
    properties = MLModelGroupProperties(
        custom_properties=_own(tags) | _experiments(tags),
        description=prompt.description,
        created=TimeStamp(known_time(prompt.creation_timestamp) or 0),
        last_modified=TimeStamp(known_time(prompt.last_updated_timestamp) or 0),
        version=version_tag(newest, prompt.last_updated_timestamp),
        external_url=_page(prompt.name, settings),
    )
    return Entity(
        "mlModelGroup",
        model_group_urn(prompt.name, settings),
        (properties, platform_instance(settings), SubTypes(type_names=[PROMPT_SUBTYPE]), NOT_REMOVED),
    )


def prompt_version_entity(
    version: ModelVersion, aliases: Sequence[str], settings: MappingSettings, note: bytes = b""
) -> Entity:
    """Map a version of a prompt to a model, with a note. Versions of one prompt have one ordering key, as models."""
    return Entity(
        "mlModel",
        model_urn(version.name, version.version, settings),
        (
            _version(version, settings),
            version_properties(version, aliases, settings),
            platform_instance(settings),
            SubTypes(type_names=[PROMPT_VERSION_SUBTYPE]),
            NOT_REMOVED,
        ),
        ordering_key=version.name,
        note=note,
    )


def linked_prompts(run_tags: Sequence[KeyValue], settings: MappingSettings) -> list[str]:
    """Return the URNs of the prompt versions that a run names; none where it names none, or in an unknown way."""
    text = next((tag.value for tag in run_tags if tag.key == LINKED_PROMPTS_TAG), "")
    try:
        links = _decode_links(text) if text else []
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []
    return list(dict.fromkeys(model_urn(link.name, str(link.version), settings) for link in links))


def _version(version: ModelVersion, settings: MappingSettings) -> MLModelProperties:
    tags = as_dict(version.tags)
    own = _own(tags)
    kind = tags.get(_TYPE_TAG) or _TEXT
    text = tags.get(_TEXT_TAG)
    properties = own | _experiments(tags) | {"mlflow.prompt.type": kind}
    properties |= {shown: tags[tag] for tag, shown in _SETTINGS.items() if tag in tags}
    if text is not None:
        # For DataHub's search, which takes no longer ones. The whole text is in the description.
        properties[_TEXT_TAG] = text[:MAX_PROPERTY_CHARACTERS]
    return MLModelProperties(
        custom_properties=properties,
        description=version.description if text is None else _described(version.description, text, kind),
        created=TimeStamp(
            known_time(version.creation_timestamp) or 0, user_urn(version.user_id) if version.user_id else None
        ),
        last_modified=TimeStamp(known_time(version.last_updated_timestamp) or 0),
        tags=[f"{key}:{value}" for key, value in own.items()],
        groups=group_of(version.name, settings),
        training_jobs=[],
        external_url=_page(version.name, settings, version.version),
    )


def _described(commit_message: str, text: str, kind: str) -> str:
    """Return the commit message with the text below it, as a code block of Markdown that holds any text."""
    fence = max(["```", *(f"{inside}`" for inside in _FENCE.findall(text))], key=len)
    block = f"{fence}{'json' if kind == _CHAT else ''}\n{text}\n{fence}"
    return f"{commit_message}\n\n{block}" if commit_message else block


def _own(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in _INTERNAL}


def _experiments(tags: dict[str, str]) -> dict[str, str]:
    experiment_ids = tags.get(_EXPERIMENTS_TAG, "").strip(",")
    return {"mlflow.prompt.experiment_ids": experiment_ids} if experiment_ids else {}


def _page(name: str, settings: MappingSettings, version: str | None = None) -> str:
    page = ui_page(settings, f"prompts/{url_part(name)}")
    return page if version is None else f"{page}{'&' if settings.workspace else '?'}promptVersion={url_part(version)}"
