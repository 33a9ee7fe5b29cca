"""Dataset input of a run → dataset on platform mlflow, the hosted dataset behind it, and an edge of the run."""

from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, Edge, TimeStamp
from crawler.datahub.aspects.datasets import (
    DatasetProperties,
    SchemaField,
    SchemaFieldType,
    SchemaMetadata,
    Upstream,
    UpstreamLineage,
)
from crawler.datahub.aspects.entities import NOT_REMOVED
from crawler.datahub.proposals import Entity
from crawler.mapping.platform import PLATFORM, platform_aspect
from crawler.mlflow.entities import Dataset, DatasetInput, as_dict
from crawler.settings.mapping import MappingSettings

MAX_PROPERTY_CHARACTERS = 4_096
"""Longer property values are left out of DataHub's search index (`SEARCH_DOCUMENT_MAX_VALUE_LENGTH`)."""

REMEMBERED_DATASETS = 256
REMEMBERED_CHARACTERS = 5_000
"""Of a schema; longer ones are mapped anew for each run, or the memory would not be bounded."""

_ENV = "PROD"
_UNKNOWN = TimeStamp(time=0, actor="urn:li:corpuser:unknown")
_IN_PLACE = frozenset({"local", "code"})
_KNOWN_PLATFORMS = frozenset(
    [
        "bigquery",
        "cassandra",
        "databricks",
        "delta-lake",
        "dbt",
        "feast",
        "file",
        "gcs",
        "hdfs",
        "hive",
        "mssql",
        "mysql",
        "oracle",
        "postgres",
        "redshift",
        "s3",
        "sagemaker",
        "snowflake",
        "streamlit",
    ]
)
_FIELD_TYPES = {
    "boolean": "BooleanType",
    "integer": "NumberType",
    "long": "NumberType",
    "float": "NumberType",
    "double": "NumberType",
    "string": "StringType",
    "binary": "BytesType",
    "datetime": "TimeType",
    "array": "ArrayType",
    "map": "MapType",
}

Column = tuple[str, str]


class DatasetUse(msgspec.Struct, frozen=True):
    """What one dataset input is mapped to."""

    edge: Edge | None
    """The run's edge to the dataset; None with a `failure`."""
    entities: list[Entity]
    variant: int = 0
    """A number that is the same for the same dataset: of one name there may be several, which share a URN."""
    cut: str | None = None
    """Why the text of the schema is not written as a whole."""
    left_out: str | None = None
    """Which columns are not written."""
    failure: str | None = None
    """Which source type stands for no platform of DataHub."""


class _Mapped(msgspec.Struct, frozen=True):
    """What a dataset is mapped to, whichever run uses it."""

    entities: list[Entity] = []
    cut: str | None = None
    left_out: str | None = None
    failure: str | None = None


class DatasetMapper:
    """Maps inputs of runs.

    Runs share their datasets, so those used last are remembered: a schema takes much longer to decode and map than all
    the rest of a run.
    """

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._remembered = lru_cache(REMEMBERED_DATASETS)(self._map)

    def use(self, dataset_input: DatasetInput) -> DatasetUse:
        """Return the datasets of the input, and the run's edge to it, which says which dataset of that name it is."""
        dataset = dataset_input.dataset
        short = len(dataset.schema or "") <= REMEMBERED_CHARACTERS
        map_ = self._remembered if short else self._map
        mapped = map_(dataset.name, dataset.source_type, dataset.schema)
        edge = Edge(mapped.entities[0].urn, edge_properties(dataset_input) or None) if mapped.entities else None
        # The process that goes on with a crawl must come to the same number, so it cannot be Python's hash.
        variant = crc32(f"{dataset.digest}\0{dataset.source_type}\0{dataset.source}\0{dataset.schema}".encode())
        return DatasetUse(edge, mapped.entities, variant, mapped.cut, mapped.left_out, mapped.failure)

    def _map(self, name: str, source_type: str, schema: str | None) -> _Mapped:
        dataset = Dataset(name, source_type, schema)
        in_place = dataset.source_type in _IN_PLACE
        platform = None if in_place else source_platform(dataset.source_type, self._settings)
        hosted = not in_place and self._settings.materialize_dataset_inputs
        if hosted and platform is None:
            return _Mapped(failure=f"{dataset.name}: source type {dataset.source_type}")
        listed = _columns(dataset.schema)
        columns = None if listed is None else _takeable(listed)
        upstream = urns.dataset(platform, dataset.name, _ENV) if platform else None
        if upstream and urns.problem(upstream):
            # Longer than the name on platform mlflow. Lineage to it would lead nowhere.
            upstream = None
        entities = [_entity(PLATFORM, dataset, columns, upstream)]
        if hosted and platform is not None:
            entities.append(_entity(platform, dataset, columns, None))
        left_out = len(listed or ()) - len(columns or ())
        return _Mapped(
            entities, _cut(dataset, columns), f"{dataset.name}: {left_out} of its columns" if left_out else None
        )


def edge_properties(dataset_input: DatasetInput) -> dict[str, str]:
    """Return the tags of this use, and what tells its dataset from others of the name."""
    dataset = dataset_input.dataset
    properties: dict[str, str] = {}
    if dataset.digest:
        properties["mlflow.data.digest"] = dataset.digest
    if dataset.source_type:
        properties["mlflow.data.source_type"] = dataset.source_type
    if dataset.source:
        properties["mlflow.data.source"] = dataset.source[:MAX_PROPERTY_CHARACTERS]
    return properties | as_dict(dataset_input.tags)


def dataset_urn(name: str) -> str:
    """Return the URN of the dataset of this name on platform mlflow."""
    return urns.dataset(PLATFORM, name, _ENV)


def source_platform(source_type: str, settings: MappingSettings) -> str | None:
    """Return DataHub's platform of an MLflow source type: the user's mapping, else one of the same name."""
    source_type = source_type.lower()
    if platform := settings.source_mapping_to_platform.get(source_type):
        return platform
    if source_type == "gs":
        return "gcs"
    return source_type if source_type in _KNOWN_PLATFORMS else None


def _entity(platform: str, dataset: Dataset, columns: list[Column] | None, upstream: str | None) -> Entity:
    platform_urn = urns.data_platform(platform)
    properties: dict[str, str] = {}
    if columns is None and dataset.schema is not None:
        properties["schema"] = dataset.schema[:MAX_PROPERTY_CHARACTERS]
    aspects: list[Aspect] = [
        platform_aspect(platform_urn),
        DatasetProperties(custom_properties=properties, tags=[]),
        NOT_REMOVED,
    ]
    if columns is not None:
        aspects.append(_schema(platform, platform_urn, columns))
    if upstream:
        aspects.append(UpstreamLineage(upstreams=[Upstream(dataset=upstream, type="COPY", audit_stamp=_UNKNOWN)]))
    return Entity("dataset", urns.dataset(platform, dataset.name, _ENV), tuple(aspects))


def _columns(schema: str | None) -> list[Column] | None:
    """Return the names and types of a column schema; None for a tensor's, an unknown or a broken one."""
    if schema is None:
        return None
    try:
        decoded: Any = msgspec.json.decode(schema)
        columns = decoded["mlflow_colspec"]
        return msgspec.convert([(column["name"], column["type"]) for column in columns], list[Column])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError, KeyError, TypeError):
        return None


def _takeable(columns: list[Column]) -> list[Column]:
    """Return the columns with a name, the first of each name: DataHub takes no others, which pandas has."""
    first: dict[str, Column] = {}
    for column in columns:
        if column[0]:
            first.setdefault(column[0], column)
    return list(first.values())


def _schema(platform: str, platform_urn: str, columns: list[Column]) -> SchemaMetadata:
    return SchemaMetadata(
        schema_name="",
        platform=platform_urn,
        version=0,
        hash="",
        platform_schema={"com.linkedin.schema.Schemaless": {}},
        fields=[_field(name, native_type, platform) for name, native_type in columns],
        created=_UNKNOWN,
        last_modified=_UNKNOWN,
    )


def _field(name: str, native_type: str, platform: str) -> SchemaField:
    # DataHub knows OBJECT as a type of Snowflake only.
    kind = "RecordType" if (platform, native_type) == ("snowflake", "object") else _FIELD_TYPES.get(native_type)
    return SchemaField(
        field_path=name,
        type=SchemaFieldType(type={f"com.linkedin.schema.{kind or 'NullType'}": {}}),
        native_data_type=native_type,
        nullable=False,
        recursive=False,
        is_part_of_key=False,
    )


def _cut(dataset: Dataset, columns: list[Column] | None) -> str | None:
    if columns is None and dataset.schema is not None and len(dataset.schema) > MAX_PROPERTY_CHARACTERS:
        return f"{dataset.name}: schema of {len(dataset.schema)} characters"
    return None
