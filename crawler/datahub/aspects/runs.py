"""Aspects of runs, which are data process instances."""

from typing import ClassVar

from crawler.datahub.aspects.aspect import Aspect, Edge, NamedValue, Record, TimeStamp


class DataProcessInstanceProperties(Aspect, frozen=True):
    """The aspect `dataProcessInstanceProperties`."""

    NAME: ClassVar[str] = "dataProcessInstanceProperties"

    name: str
    created: TimeStamp
    custom_properties: dict[str, str]
    external_url: str | None = None


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


class PartitionSpec(Record, frozen=True):
    """The part of the data that a run event is about."""

    partition: str
    type: str


class RunResult(Record, frozen=True):
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
