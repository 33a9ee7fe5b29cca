"""DataHub's aspects as msgspec structs, with the schema's field names (metadata-models, `*.pdl`).

A field without a default is always written, one that defaults to None only where it has a value. Times are ms since
epoch. Building and encoding one takes microseconds; acryl-datahub's own classes take a hundred times as long and
judge these in the tests.
"""

from functools import cache
from typing import ClassVar, cast

import msgspec

_encode = msgspec.json.Encoder().encode


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """A part of an aspect."""


class Aspect(_Record, frozen=True):
    """Base of all aspects."""

    NAME: ClassVar[str]
    """The aspect's name in DataHub's registry."""
    REPEATS: ClassVar[bool] = False
    """Whether many entities have the same one."""


class ForeignAspect(Aspect, frozen=True):
    """An aspect that others made, of which the JSON is known; `foreign_aspect` returns the class of one name."""

    json: msgspec.Raw


@cache
def foreign_aspect(name: str) -> type[ForeignAspect]:
    """Return the class of a foreign aspect, which has its name."""
    return cast(
        "type[ForeignAspect]",
        msgspec.defstruct(name, [], bases=(ForeignAspect,), namespace={"NAME": name}, frozen=True, gc=False),
    )


def encode_aspect(aspect: Aspect) -> bytes:
    """Return the JSON of an aspect."""
    return bytes(aspect.json) if isinstance(aspect, ForeignAspect) else _encode(aspect)


class TimeStamp(_Record, frozen=True):
    """A time in ms since epoch, with the user who acted then."""

    time: int
    actor: str | None = None


class Status(Aspect, frozen=True):
    """The aspect `status`."""

    NAME: ClassVar[str] = "status"
    REPEATS: ClassVar[bool] = True

    removed: bool
    lifecycle_last_updated: TimeStamp | None = None


class TagProperties(Aspect, frozen=True):
    """The aspect `tagProperties`."""

    NAME: ClassVar[str] = "tagProperties"

    name: str
    description: str
    color_hex: str


class ContainerProperties(Aspect, frozen=True):
    """The aspect `containerProperties`."""

    NAME: ClassVar[str] = "containerProperties"

    name: str
    custom_properties: dict[str, str]
    description: str | None = None
    external_url: str | None = None
    created: TimeStamp | None = None
    last_modified: TimeStamp | None = None


class DataPlatformInstance(Aspect, frozen=True):
    """The aspect `dataPlatformInstance`."""

    NAME: ClassVar[str] = "dataPlatformInstance"
    REPEATS: ClassVar[bool] = True

    platform: str
    instance: str | None = None


class SubTypes(Aspect, frozen=True):
    """The aspect `subTypes`."""

    NAME: ClassVar[str] = "subTypes"
    REPEATS: ClassVar[bool] = True

    type_names: list[str]


class BrowsePathEntry(_Record, frozen=True):
    """One step of a browse path."""

    id: str
    urn: str | None = None


class BrowsePathsV2(Aspect, frozen=True):
    """The aspect `browsePathsV2`."""

    NAME: ClassVar[str] = "browsePathsV2"

    path: list[BrowsePathEntry]


class PlatformResourceInfo(Aspect, frozen=True):
    """The aspect `platformResourceInfo`."""

    NAME: ClassVar[str] = "platformResourceInfo"

    resource_type: str
    primary_key: str


class DataProcessInstanceProperties(Aspect, frozen=True):
    """The aspect `dataProcessInstanceProperties`."""

    NAME: ClassVar[str] = "dataProcessInstanceProperties"

    name: str
    created: TimeStamp
    custom_properties: dict[str, str]
    external_url: str | None = None


class ContainerOf(Aspect, frozen=True):
    """The aspect `container`: where an entity belongs."""

    NAME: ClassVar[str] = "container"
    REPEATS: ClassVar[bool] = True

    container: str


class NamedValue(_Record, frozen=True):
    """MLHyperParam and MLMetric: a name and its value as text."""

    name: str
    value: str


class PastValue(NamedValue, frozen=True):
    """MLMetric of a point in a metric's history; `description` tells its step, for which there is no field."""

    description: str
    created_at: int | None = None


class MLTrainingRunProperties(Aspect, frozen=True):
    """The aspect `mlTrainingRunProperties`."""

    NAME: ClassVar[str] = "mlTrainingRunProperties"

    id: str
    custom_properties: dict[str, str]
    output_urls: list[str]
    hyper_params: list[NamedValue]
    training_metrics: list[NamedValue]


class Edge(_Record, frozen=True):
    """A reference to another entity, with properties of this one reference."""

    destination_urn: str
    properties: dict[str, str] | None = None


class DataProcessInstanceInput(Aspect, frozen=True):
    """The aspect `dataProcessInstanceInput`."""

    NAME: ClassVar[str] = "dataProcessInstanceInput"

    inputs: list[str]
    input_edges: list[Edge]


class DataProcessInstanceOutput(Aspect, frozen=True):
    """The aspect `dataProcessInstanceOutput`."""

    NAME: ClassVar[str] = "dataProcessInstanceOutput"

    outputs: list[str]
    output_edges: list[Edge]


class DataProcessInstanceRelationships(Aspect, frozen=True):
    """The aspect `dataProcessInstanceRelationships`."""

    NAME: ClassVar[str] = "dataProcessInstanceRelationships"

    parent_instance: str
    upstream_instances: list[str]


class PartitionSpec(_Record, frozen=True):
    """The part of the data that a run event is about."""

    partition: str
    type: str


class RunResult(_Record, frozen=True):
    """How a run ended, and the system that says so."""

    type: str
    native_result_type: str


class DataProcessInstanceRunEvent(Aspect, frozen=True):
    """A timeseries aspect: DataHub keeps one for each `timestamp_millis`."""

    NAME: ClassVar[str] = "dataProcessInstanceRunEvent"

    timestamp_millis: int
    status: str
    result: RunResult
    partition_spec: PartitionSpec
    duration_millis: int | None = None


class MetadataAttribution(_Record, frozen=True):
    """Who says something, and when (ms since epoch)."""

    time: int
    actor: str
    source_detail: dict[str, str]


class VersionTag(_Record, frozen=True):
    """The name of a version."""

    version_tag: str | None = None
    metadata_attribution: MetadataAttribution | None = None


class MLModelGroupProperties(Aspect, frozen=True):
    """The aspect `mlModelGroupProperties`."""

    NAME: ClassVar[str] = "mlModelGroupProperties"

    custom_properties: dict[str, str]
    description: str
    created: TimeStamp
    last_modified: TimeStamp
    version: VersionTag
    external_url: str | None = None


class MLModelProperties(Aspect, frozen=True):
    """The aspect `mlModelProperties`."""

    NAME: ClassVar[str] = "mlModelProperties"

    custom_properties: dict[str, str]
    description: str
    created: TimeStamp
    last_modified: TimeStamp
    tags: list[str]
    groups: list[str]
    training_jobs: list[str]
    external_url: str | None = None
    hyper_params: list[NamedValue] | None = None
    training_metrics: list[NamedValue] | None = None
    name: str | None = None
    downstream_jobs: list[str] | None = None


class BaseData(_Record, frozen=True):
    """A dataset that a model was trained or evaluated with."""

    dataset: str


class MLModelEvaluationData(Aspect, frozen=True):
    """The aspect `mlModelEvaluationData`."""

    NAME: ClassVar[str] = "mlModelEvaluationData"

    evaluation_data: list[BaseData]


class VersionProperties(Aspect, frozen=True):
    """`isLatest` is DataHub's to compute and must not be sent."""

    NAME: ClassVar[str] = "versionProperties"

    version_set: str
    version: VersionTag
    sort_id: str
    aliases: list[VersionTag]
    versioning_scheme: str


class TagAssociation(_Record, frozen=True):
    """A tag that an entity has."""

    tag: str


class GlobalTags(Aspect, frozen=True):
    """The aspect `globalTags`."""

    NAME: ClassVar[str] = "globalTags"

    tags: list[TagAssociation]


class SourceCodeUrl(_Record, frozen=True):
    """A page with the code of a model, and what the code does for it."""

    type: str
    source_code_url: str


class SourceCode(Aspect, frozen=True):
    """The aspect `sourceCode`."""

    NAME: ClassVar[str] = "sourceCode"

    source_code: list[SourceCodeUrl]


class Owner(_Record, frozen=True):
    """A user or a group that owns an entity; `type_urn` names an ownership type that is not DataHub's own."""

    owner: str
    type: str
    type_urn: str | None = None


class Ownership(Aspect, frozen=True):
    """The aspect `ownership`."""

    NAME: ClassVar[str] = "ownership"

    owners: list[Owner]


class Link(_Record, frozen=True):
    """A link of an entity to a page."""

    url: str
    description: str
    create_stamp: TimeStamp


class InstitutionalMemory(Aspect, frozen=True):
    """The aspect `institutionalMemory`."""

    NAME: ClassVar[str] = "institutionalMemory"

    elements: list[Link]


class DatasetProperties(Aspect, frozen=True):
    """The aspect `datasetProperties`."""

    NAME: ClassVar[str] = "datasetProperties"

    custom_properties: dict[str, str]
    tags: list[str]
    name: str | None = None
    external_url: str | None = None
    created: TimeStamp | None = None
    last_modified: TimeStamp | None = None


class SchemaFieldType(_Record, frozen=True):
    """A union of records: the one key is the record's full name, as in `com.linkedin.schema.NumberType`."""

    type: dict[str, dict[str, str]]


class SchemaField(_Record, frozen=True):
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


class Upstream(_Record, frozen=True):
    """A dataset that another one comes from."""

    dataset: str
    type: str
    audit_stamp: TimeStamp


class UpstreamLineage(Aspect, frozen=True):
    """The aspect `upstreamLineage`."""

    NAME: ClassVar[str] = "upstreamLineage"

    upstreams: list[Upstream]


NOT_REMOVED = Status(removed=False)
REMOVED = Status(removed=True)
