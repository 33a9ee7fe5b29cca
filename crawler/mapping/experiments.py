"""Experiment → container."""

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED, BrowsePathEntry, BrowsePathsV2, ContainerProperties, SubTypes
from crawler.datahub.proposals import Entity
from crawler.mapping.links import link_to_mlflow
from crawler.mapping.owners import ownership
from crawler.mapping.platform import (
    IN_TRASH,
    PLATFORM_URN,
    platform_instance,
    platform_instance_urn,
    ui_page,
    url_part,
)
from crawler.mapping.times import known_time
from crawler.mlflow.entities import Experiment, as_dict
from crawler.settings.mapping import MappingSettings

NOTE_TAG = "mlflow.note.content"
TRACES_PROPERTY = "mlflow.traces"
"""How many traces an experiment has, if any; MLflow has no tag of this name."""
_SUBTYPE = SubTypes(type_names=["ML Experiment"])


def container_urn(experiment: Experiment, settings: MappingSettings) -> str:
    """Return urn:li:container:guid. DataHub's key of an experiment is its name."""
    return urns.container(urns.guid(**_key(experiment, settings)))


def experiment_entity(urn: str, experiment: Experiment, settings: MappingSettings, traces: int = 0) -> Entity:
    """Map an experiment with so many `traces` to a container.

    It has the aspects that DataHub's ingestion adds to every container.
    """
    aspects: list[Aspect] = [
        _properties(experiment, settings, traces),
        platform_instance(settings),
        _SUBTYPE,
        BrowsePathsV2(path=_browse_path(settings)),
        NOT_REMOVED,
    ]
    if owned := ownership(settings.owner, as_dict(experiment.tags)):
        aspects.append(owned)
    if settings.link_to_mlflow:
        aspects.append(link_to_mlflow(_page(experiment, settings), experiment.creation_time))
    return Entity("container", urn, tuple(aspects))


def _properties(experiment: Experiment, settings: MappingSettings, traces: int) -> ContainerProperties:
    tags = as_dict(experiment.tags)
    description = tags.pop(NOTE_TAG, None)
    lifecycle = IN_TRASH if experiment.lifecycle_stage == "deleted" else {}
    counted = {TRACES_PROPERTY: str(traces)} if traces else {}
    artifacts = {"artifacts_location": experiment.artifact_location}
    return ContainerProperties(
        name=experiment.name,
        description=description,
        custom_properties=_key(experiment, settings) | tags | counted | artifacts | lifecycle,
        external_url=_page(experiment, settings),
        created=_time_stamp(experiment.creation_time),
        last_modified=_time_stamp(experiment.last_update_time),
    )


def _page(experiment: Experiment, settings: MappingSettings) -> str:
    return ui_page(settings, f"experiments/{url_part(experiment.experiment_id)}")


def _key(experiment: Experiment, settings: MappingSettings) -> dict[str, str]:
    """Return what tells the experiment from all others, as the official connector has it, and its workspace."""
    key = {"platform": PLATFORM_URN, "id": experiment.name}
    if settings.platform_instance:
        key["instance"] = settings.platform_instance
    if settings.workspace and settings.name_prefix:
        # Not as a prefix: names of experiments may have a slash.
        key["workspace"] = settings.workspace
    return key


def _time_stamp(time: int | None) -> TimeStamp | None:
    time = known_time(time)
    return None if time is None else TimeStamp(time)


def _browse_path(settings: MappingSettings) -> list[BrowsePathEntry]:
    instance = platform_instance_urn(settings)
    return [BrowsePathEntry(id=instance, urn=instance)] if instance else []
