"""Evaluation dataset → dataset on platform mlflow, known by its id: several may have one name."""

from typing import Any

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.datasets import DatasetProperties, SchemaField, SchemaFieldType, SchemaMetadata
from crawler.datahub.aspects.entities import NOT_REMOVED, SubTypes
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import MAX_PROPERTY_CHARACTERS
from crawler.mapping.platform import PLATFORM, PLATFORM_URN, platform_instance, ui_page, url_part
from crawler.mapping.times import known_time
from crawler.mlflow.entities import EvaluationDataset
from crawler.settings.mapping import MappingSettings

EVALUATION_DATASET_SUBTYPE = "Evaluation Dataset"
EVALUATION_SOURCE = "mlflow_evaluation_dataset"
"""The source type of a run's input that is an evaluation dataset."""

_ENV = "PROD"
"""Of all datasets, as in the official connector."""
_UNKNOWN = "urn:li:corpuser:unknown"
_PARTS = ("inputs", "outputs", "expectations")
"""Of a record, and of the schema."""
_FIELD_TYPES = {
    "boolean": "BooleanType",
    "integer": "NumberType",
    "float": "NumberType",
    "string": "StringType",
    "array": "ArrayType",
    "object": "RecordType",
}


class _Source(msgspec.Struct, frozen=True):
    dataset_id: str


class _Profile(msgspec.Struct, frozen=True):
    num_records: int | None = None


_NOT_AS_EXPECTED = (msgspec.MsgspecError, UnicodeError, RecursionError)


def evaluation_dataset_urn(dataset_id: str) -> str:
    """Return urn:li:dataset:(mlflow,id,PROD)."""
    return urns.dataset(PLATFORM, dataset_id, _ENV)


def evaluation_dataset_id(source: str) -> str | None:
    """Return the id of the evaluation dataset that is the `source` of a run's input; None where it names none."""
    try:
        return msgspec.json.decode(source, type=_Source).dataset_id
    except _NOT_AS_EXPECTED:
        return None


def evaluation_dataset_entity(
    dataset: EvaluationDataset, experiments: dict[str, str], settings: MappingSettings
) -> Entity:
    """Map an evaluation dataset; `experiments` are the names of those that it belongs to, by id."""
    columns = _columns(dataset.schema)
    page = next((f"experiments/{url_part(each)}/datasets" for each in experiments), None)
    aspects: list[Aspect] = [
        platform_instance(settings),
        DatasetProperties(
            custom_properties=_properties(dataset, experiments, has_columns=columns is not None),
            tags=[],
            name=dataset.name or None,
            external_url=page and ui_page(settings, page),
            created=_time_stamp(dataset.created_time),
            last_modified=_time_stamp(dataset.last_update_time),
        ),
        SubTypes(type_names=[EVALUATION_DATASET_SUBTYPE]),
        NOT_REMOVED,
    ]
    if columns:
        aspects.append(_schema(columns, dataset))
    return Entity("dataset", evaluation_dataset_urn(dataset.dataset_id), tuple(aspects))


def _properties(dataset: EvaluationDataset, experiments: dict[str, str], *, has_columns: bool) -> dict[str, str]:
    records = _records(dataset.profile)
    known = {
        "mlflow.dataset.id": dataset.dataset_id,
        "mlflow.dataset.digest": dataset.digest,
        "mlflow.dataset.records": "" if records is None else str(records),
        "mlflow.dataset.experiments": ", ".join(experiments.values()),
        "mlflow.dataset.created_by": dataset.created_by,
        "mlflow.dataset.last_updated_by": dataset.last_updated_by,
        "mlflow.dataset.schema": "" if has_columns else dataset.schema[:MAX_PROPERTY_CHARACTERS],
    }
    return _tags(dataset.tags) | {name: value for name, value in known.items() if value}


def _tags(text: str) -> dict[str, str]:
    """Return the tags of a dataset, a JSON text; values that are no text are written as JSON."""
    try:
        tags = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
        return {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in tags.items()
        }
    except _NOT_AS_EXPECTED:
        return {}


def _records(profile: str) -> int | None:
    try:
        return msgspec.json.decode(profile, type=_Profile).num_records if profile else None
    except _NOT_AS_EXPECTED:
        return None


def _columns(schema: str) -> dict[str, str] | None:
    """Return the types of what records hold, by `inputs.question`; None for a schema of another form.

    What a record's outputs are, if they are no fields, is a column of its own.
    """
    try:
        parts = msgspec.json.decode(schema, type=dict[str, dict[str, str] | str]) if schema else {}
    except _NOT_AS_EXPECTED:
        return None
    columns: dict[str, str] = {}
    for part in _PARTS:
        fields = parts.get(part, {})
        if isinstance(fields, str):
            columns[part] = fields
        else:
            columns |= {f"{part}.{name}": kind for name, kind in fields.items() if name}
    return columns


def _schema(columns: dict[str, str], dataset: EvaluationDataset) -> SchemaMetadata:
    return SchemaMetadata(
        schema_name="",
        platform=PLATFORM_URN,
        version=0,
        hash="",
        platform_schema={"com.linkedin.schema.Schemaless": {}},
        fields=[
            SchemaField(
                field_path=path,
                type=SchemaFieldType(type={f"com.linkedin.schema.{_FIELD_TYPES.get(kind, 'NullType')}": {}}),
                native_data_type=kind,
                nullable=True,
                recursive=False,
                is_part_of_key=False,
            )
            for path, kind in columns.items()
        ],
        created=TimeStamp(known_time(dataset.created_time) or 0, _UNKNOWN),
        last_modified=TimeStamp(known_time(dataset.last_update_time) or 0, _UNKNOWN),
    )


def _time_stamp(time: int | None) -> TimeStamp | None:
    time = known_time(time)
    return None if time is None else TimeStamp(time)
