"""Model version → model."""

from collections.abc import Sequence

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED, GlobalTags, TagAssociation
from crawler.datahub.aspects.models import MLModelProperties, VersionProperties, VersionTag
from crawler.datahub.proposals import Entity
from crawler.mapping.links import link_to_mlflow
from crawler.mapping.logged_models import source_model_id
from crawler.mapping.model_files import model_file_properties
from crawler.mapping.owners import USER_TAG, ownership
from crawler.mapping.platform import PLATFORM, instance_guid, platform_instance, ui_page, url_part
from crawler.mapping.registered_models import group_of, version_tag
from crawler.mapping.runs import hyper_params, run_urn, training_metrics
from crawler.mapping.source_code import source_code, source_properties
from crawler.mapping.stages import stage_tag_urn
from crawler.mapping.times import known_time
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import ModelVersion, Run, as_dict
from crawler.mlflow.model_file import HISTORY_TAG, ModelFile, find_in_history
from crawler.settings.mapping import MappingSettings

SORT_ID_DIGITS = 10
LOGGED_MODEL_ID = "logged_model_id"


def model_urn(name: str, version: str, settings: MappingSettings) -> str:
    """Return urn:li:mlModel:(mlflow,name_version,env)."""
    name = f"{settings.name_prefix}{name}{settings.model_name_separator}{version}"
    return urns.ml_model(PLATFORM, name, settings.env)


def model_version_entity(
    version: ModelVersion,
    run: Run | None,
    aliases: Sequence[str],
    settings: MappingSettings,
    note: bytes = b"",
    file: ModelFile | None = None,
) -> Entity:
    """Map a model version to a model, with its run's params, metrics and source where there is a run, and with a note.

    `file` is its MLmodel, where that was read; otherwise its run may have an extract. Versions of one model have one
    ordering key: DataHub keeps which is the latest, and two writers would race for it.
    """
    tags, run_tags = as_dict(version.tags), as_dict(run.data.tags) if run else {}
    aspects: list[Aspect] = [
        _properties(version, tags, run, run_tags, file or _extract(version, run_tags), aliases, settings),
        version_properties(version, aliases, settings),
        platform_instance(settings),
        NOT_REMOVED,
    ]
    if stage_tag := stage_tag_urn(version.current_stage):
        aspects.append(GlobalTags(tags=[TagAssociation(tag=stage_tag)]))
    if source := source_code(run_tags):
        aspects.append(source)
    if owned := ownership(settings.owner, _with_user(tags, version.user_id), _with_user(run_tags, _user(run))):
        aspects.append(owned)
    if settings.link_to_mlflow:
        aspects.append(link_to_mlflow(_page(version, settings), version.creation_timestamp))
    urn = model_urn(version.name, version.version, settings)
    return Entity("mlModel", urn, tuple(aspects), ordering_key=version.name, note=note)


def extract_of(version: ModelVersion, run: Run) -> ModelFile | None:
    """Return what a version's run keeps of its MLmodel; None where that is nothing."""
    return _extract(version, as_dict(run.data.tags))


def _extract(version: ModelVersion, run_tags: dict[str, str]) -> ModelFile | None:
    history = run_tags.get(HISTORY_TAG)
    return find_in_history(history, version.source) if history else None


def _properties(
    version: ModelVersion,
    tags: dict[str, str],
    run: Run | None,
    run_tags: dict[str, str],
    file: ModelFile | None,
    aliases: Sequence[str],
    settings: MappingSettings,
) -> MLModelProperties:
    of_file = {} if file is None else model_file_properties(file)
    model_id = source_model_id(version.source)
    logged = {LOGGED_MODEL_ID: model_id} if model_id else {}
    return MLModelProperties(
        custom_properties=source_properties(run_tags) | of_file | logged | tags,
        description=version.description,
        created=TimeStamp(
            known_time(version.creation_timestamp) or 0, user_urn(version.user_id) if version.user_id else None
        ),
        last_modified=TimeStamp(known_time(version.last_updated_timestamp) or 0),
        tags=[f"{key}:{value}" for key, value in tags.items()] + _more_tags(version, aliases, settings),
        groups=group_of(version.name, settings),
        training_jobs=[run_urn(run.info.run_id)] if run else [],
        external_url=_page(version, settings),
        hyper_params=hyper_params(run) if run else None,
        training_metrics=training_metrics(run) if run else None,
    )


def _more_tags(version: ModelVersion, aliases: Sequence[str], settings: MappingSettings) -> list[str]:
    """Return what a group's page shows as tags of this version beside its own, as far as that is wanted."""
    wanted = settings.model_tags
    stage = [version.current_stage] if "stage" in wanted and version.current_stage not in {None, "", "None"} else []
    return [f"stage:{each}" for each in stage] + [f"alias:{each}" for each in aliases if "alias" in wanted]


def _page(version: ModelVersion, settings: MappingSettings) -> str:
    return ui_page(settings, f"models/{url_part(version.name)}/versions/{url_part(version.version)}")


def _user(run: Run | None) -> str:
    return run.info.user_id if run else ""


def _with_user(tags: dict[str, str], user: str) -> dict[str, str]:
    """Return tags with that of MLflow's user, who may be known without one."""
    return {USER_TAG: user, **tags} if user else tags


def version_properties(version: ModelVersion, aliases: Sequence[str], settings: MappingSettings) -> VersionProperties:
    """Return the place of a version among those of its model."""
    return VersionProperties(
        version_set=urns.version_set(
            instance_guid(settings, platform=PLATFORM, name=settings.name_prefix + version.name)
        ),
        version=version_tag(version.version, version.creation_timestamp),
        sort_id=version.version.zfill(SORT_ID_DIGITS),
        aliases=[VersionTag(version_tag=alias) for alias in aliases],
        versioning_scheme="LEXICOGRAPHIC_STRING",
    )
