"""Aspects of datasets: schema and lineage."""

from typing import ClassVar

from crawler.datahub.aspects.aspect import Aspect, Record, TimeStamp


class DatasetProperties(Aspect, frozen=True):
    """The aspect `datasetProperties`."""

    NAME: ClassVar[str] = "datasetProperties"

    custom_properties: dict[str, str]
    tags: list[str]
    name: str | None = None
    external_url: str | None = None
    created: TimeStamp | None = None
    last_modified: TimeStamp | None = None


class SchemaFieldType(Record, frozen=True):
    """A union of records: the one key is the record's full name, as in `com.linkedin.schema.NumberType`."""

    type: dict[str, dict[str, str]]


class SchemaField(Record, frozen=True):
    """One column of a dataset."""

    field_path: str
    type: SchemaFieldType
    native_data_type: str
    nullable: bool
    recursive: bool
    is_part_of_key: bool


class SchemaMetadata(Aspect, frozen=True):
    """The aspect `schemaMetadata`."""

    NAME: ClassVar[str] = "schemaMetadata"

    schema_name: str
    platform: str
    version: int
    hash: str
    platform_schema: dict[str, dict[str, str]]
    fields: list[SchemaField]
    created: TimeStamp
    last_modified: TimeStamp


class Upstream(Record, frozen=True):
    """A dataset that another one comes from."""

    dataset: str
    type: str
    audit_stamp: TimeStamp


class UpstreamLineage(Aspect, frozen=True):
    """The aspect `upstreamLineage`."""

    NAME: ClassVar[str] = "upstreamLineage"

    upstreams: list[Upstream]
