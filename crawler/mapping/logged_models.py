"""Logged model → model of subtype Logged Model."""

import re
from collections.abc import Container, Iterable, Sequence
from math import nan

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, NamedValue, TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED, ContainerOf, SubTypes
from crawler.datahub.aspects.models import BaseData, MLModelEvaluationData, MLModelProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import dataset_urn
from crawler.mapping.experiments import NOTE_TAG
from crawler.mapping.metric_values import python_texts
from crawler.mapping.platform import PLATFORM, platform_instance, ui_page, url_part
from crawler.mapping.runs import run_urn
from crawler.mapping.times import known_time
from crawler.mlflow.entities import LoggedModel, MetricPoint, as_dict
from crawler.settings.mapping import MappingSettings

REGISTERED_VERSIONS = "registered_versions"
LOGGED_MODEL_SUBTYPE = "Logged Model"
_SUBTYPE = SubTypes(type_names=[LOGGED_MODEL_SUBTYPE])
_STATUS_PREFIX = "LOGGED_MODEL_"
_SOURCE = re.compile(r"models:/(m-[0-9a-f]{32})")
_URN = re.compile(r"urn:li:mlModel:\(urn:li:dataPlatform:mlflow,m-[0-9a-f]{32},[^,]*\)")

PointKey = tuple[str, str, float, float]
"""A point of a metric: its run's id, its name, timestamp and step."""


class Registered(msgspec.Struct, frozen=True):
    """A model version that was registered from a logged model."""

    name: str
    version: str


def logged_model_urn(model_id: str, settings: MappingSettings) -> str:
    """Return urn:li:mlModel:(mlflow,m-…,env), by the id: names of logged models are not unique."""
    return urns.ml_model(PLATFORM, model_id, settings.env)


def is_logged_model(urn: str) -> bool:
    """Return whether a URN has the form of a logged model's. A model version's could have, too, if somebody tried."""
    return _URN.fullmatch(urn) is not None


def source_model_id(source: str) -> str | None:
    """Return the id of the logged model that a version's source names, None for any other source."""
    match = _SOURCE.fullmatch(source)
    return match[1] if match else None


def latest_points(points: Iterable[MetricPoint]) -> list[MetricPoint]:
    """Return the latest point of each metric: that of the highest step, of these the last one, then the greatest."""
    latest: dict[str, MetricPoint] = {}
    for point in points:
        known = latest.get(point.key)
        if known is None or _rank(point) > _rank(known):
            latest[point.key] = point
    return list(latest.values())


def point_key(run_id: str, point: MetricPoint) -> PointKey:
    """Return what tells a point from all others."""
    return run_id, point.key, point.timestamp, point.step


def logged_model_entity(
    model: LoggedModel,
    container: str | None,
    versions: Sequence[Registered],
    nans: Container[PointKey],
    settings: MappingSettings,
) -> Entity:
    """Map a logged model to a model.

    `container` is its experiment's, `versions` are those that were registered from it, `nans` points that MLflow lists
    as 0.0 and that are NaN.
    """
    measured_by: dict[str, None] = {}
    names: dict[str, None] = {}
    source = model.info.source_run_id
    # The points are many: what is told by all of them is gathered in one pass.
    for point in model.data.metrics:
        if point.run_id != source:
            measured_by[point.run_id] = None
        if point.dataset_name:
            names[point.dataset_name] = None
    measured_by.pop("", None)
    aspects: list[Aspect] = [
        _properties(model, versions, [*measured_by], nans, settings),
        _SUBTYPE,
        platform_instance(settings),
        NOT_REMOVED,
    ]
    if container is not None:
        aspects.append(ContainerOf(container=container))
    datasets = [urn for name in names if not urns.problem(urn := dataset_urn(name))]
    if datasets:
        aspects.append(MLModelEvaluationData(evaluation_data=[BaseData(dataset=urn) for urn in datasets]))
    return Entity("mlModel", logged_model_urn(model.info.model_id, settings), tuple(aspects))


def _properties(
    model: LoggedModel,
    versions: Sequence[Registered],
    measured_by: Sequence[str],
    nans: Container[PointKey],
    settings: MappingSettings,
) -> MLModelProperties:
    info = model.info
    tags = as_dict(info.tags)
    description = tags.pop(NOTE_TAG, "")
    source = info.source_run_id
    page = f"experiments/{url_part(info.experiment_id)}/models/{url_part(info.model_id)}"
    return MLModelProperties(
        # A tag of the same name is its user's word.
        custom_properties=_known(model, versions) | tags,
        description=description,
        created=TimeStamp(known_time(info.creation_timestamp_ms) or 0),
        last_modified=TimeStamp(known_time(info.last_updated_timestamp_ms) or 0),
        tags=[],
        groups=[],
        training_jobs=[run_urn(source)] if source else [],
        external_url=ui_page(settings, page),
        hyper_params=[NamedValue(param.key, param.value) for param in model.data.params] or None,
        training_metrics=_metrics(latest_points(model.data.metrics), nans) or None,
        name=info.name or info.model_id,
        downstream_jobs=[run_urn(run_id) for run_id in measured_by] or None,
    )


def _known(model: LoggedModel, versions: Sequence[Registered]) -> dict[str, str]:
    """Return what no field of a model in DataHub is for, as far as it is known."""
    info = model.info
    properties = {
        "model_id": info.model_id,
        "model_type": info.model_type,
        "status": info.status.removeprefix(_STATUS_PREFIX),
        "status_message": info.status_message,
        "artifact_uri": info.artifact_uri,
        REGISTERED_VERSIONS: msgspec.json.encode(versions).decode() if versions else "",
    }
    return {name: value for name, value in properties.items() if value}


def _metrics(points: Sequence[MetricPoint], nans: Container[PointKey]) -> list[NamedValue]:
    values = [nan if not point.value and point_key(point.run_id, point) in nans else point.value for point in points]
    texts = python_texts(values)
    return [NamedValue(point.key, text) for point, text in zip(points, texts, strict=True)]


def _rank(point: MetricPoint) -> tuple[float, float, float]:
    return point.step, point.timestamp, point.value
