"""Registered model → model group."""

from urllib.parse import quote

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED
from crawler.datahub.aspects.models import MetadataAttribution, MLModelGroupProperties, VersionTag
from crawler.datahub.proposals import Entity
from crawler.mapping.links import link_to_mlflow
from crawler.mapping.owners import ownership
from crawler.mapping.platform import ACTOR, PLATFORM, platform_instance, ui_page
from crawler.mapping.times import known_time
from crawler.mlflow.entities import RegisteredModel, as_dict
from crawler.settings.mapping import MappingSettings


def model_group_urn(name: str, settings: MappingSettings) -> str:
    """Return urn:li:mlModelGroup:(mlflow,name,env)."""
    return urns.ml_model_group(PLATFORM, settings.name_prefix + name, settings.env)


def registered_model_entity(model: RegisteredModel, newest: str | None, settings: MappingSettings) -> Entity:
    """Map a registered model to a model group (aspect mlModelGroupProperties), whose version is the `newest`."""
    tags, page = as_dict(model.tags), ui_page(settings, f"models/{quote(model.name, safe='')}")
    properties = MLModelGroupProperties(
        custom_properties=tags,
        description=model.description,
        created=TimeStamp(known_time(model.creation_timestamp) or 0),
        last_modified=TimeStamp(known_time(model.last_updated_timestamp) or 0),
        version=version_tag(newest, model.last_updated_timestamp),
        external_url=page,
    )
    aspects: list[Aspect] = [properties, platform_instance(settings), NOT_REMOVED]
    if owned := ownership(settings.owner, tags):
        aspects.append(owned)
    if settings.link_to_mlflow:
        aspects.append(link_to_mlflow(page, model.creation_timestamp))
    return Entity("mlModelGroup", model_group_urn(model.name, settings), tuple(aspects))


def group_of(name: str, settings: MappingSettings) -> list[str]:
    """Return the URN of a version's group; nothing where it is too long: a group's is longer than its versions'."""
    group = model_group_urn(name, settings)
    return [] if urns.problem(group) else [group]


def version_tag(version: str | None, time: int) -> VersionTag:
    """Return a version's name as DataHub's VersionTag; `time` in ms since epoch."""
    return VersionTag(
        version_tag=version,
        metadata_attribution=MetadataAttribution(time=known_time(time) or 0, actor=ACTOR, source_detail={}),
    )
