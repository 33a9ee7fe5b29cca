"""Model version → model."""

from collections.abc import Sequence

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.aspects import (
    NOT_REMOVED,
    Aspect,
    GlobalTags,
    MLModelProperties,
    TagAssociation,
    TimeStamp,
    VersionProperties,
    VersionTag,
)
from crawler.datahub.proposals import Entity
from crawler.mapping.platform import PLATFORM, instance_guid, platform_instance, ui_page, url_part
from crawler.mapping.registered_models import group_of, version_tag
from crawler.mapping.runs import hyper_params, run_urn, training_metrics
from crawler.mapping.stages import stage_tag_urn
from crawler.mapping.times import known_time
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import ModelVersion, Run, as_dict

SORT_ID_DIGITS = 10


def model_urn(name: str, version: str, settings: MappingSettings) -> str:
    """Return urn:li:mlModel:(mlflow,name_version,env)."""
    return urns.ml_model(PLATFORM, f"{name}{settings.model_name_separator}{version}", settings.env)


def model_version_entity(
    version: ModelVersion, run: Run | None, aliases: Sequence[str], settings: MappingSettings, note: bytes = b""
) -> Entity:
    """Map a model version to a model, with its run's params and metrics where there is a run, and with a note.

    Versions of one model have one ordering key: DataHub keeps which is the latest, and two writers would race for it.
    """
    aspects: list[Aspect] = [
        _properties(version, run, settings),
        version_properties(version, aliases, settings),
        platform_instance(settings),
        NOT_REMOVED,
    ]
    if stage_tag := stage_tag_urn(version.current_stage):
        aspects.append(GlobalTags(tags=[TagAssociation(tag=stage_tag)]))
    urn = model_urn(version.name, version.version, settings)
    return Entity("mlModel", urn, tuple(aspects), ordering_key=version.name, note=note)


def _properties(version: ModelVersion, run: Run | None, settings: MappingSettings) -> MLModelProperties:
    tags = as_dict(version.tags)
    return MLModelProperties(
        custom_properties=tags,
        description=version.description,
        created=TimeStamp(
            known_time(version.creation_timestamp) or 0, user_urn(version.user_id) if version.user_id else None
        ),
        last_modified=TimeStamp(known_time(version.last_updated_timestamp) or 0),
        tags=[f"{key}:{value}" for key, value in tags.items()],
        groups=group_of(version.name, settings),
        training_jobs=[run_urn(run.info.run_id)] if run else [],
        external_url=ui_page(settings, f"models/{url_part(version.name)}/versions/{url_part(version.version)}"),
        hyper_params=hyper_params(run) if run else None,
        training_metrics=training_metrics(run) if run else None,
    )


def version_properties(version: ModelVersion, aliases: Sequence[str], settings: MappingSettings) -> VersionProperties:
    """Return the place of a version among those of its model."""
    return VersionProperties(
        version_set=urns.version_set(instance_guid(settings, platform=PLATFORM, name=version.name)),
        version=version_tag(version.version, version.creation_timestamp),
        sort_id=version.version.zfill(SORT_ID_DIGITS),
        aliases=[VersionTag(version_tag=alias) for alias in aliases],
        versioning_scheme="LEXICOGRAPHIC_STRING",
    )
