"""Aspects of models and model groups, with their versions."""

from typing import ClassVar

from crawler.datahub.aspects.aspect import Aspect, NamedValue, Record, TimeStamp


class MetadataAttribution(Record, frozen=True):
    """Who says something, and when (ms since epoch)."""

    time: int
    actor: str
    source_detail: dict[str, str]


class VersionTag(Record, frozen=True):
    """The name of a version."""

    version_tag: str | None = None
    metadata_attribution: MetadataAttribution | None = None


class VersionProperties(Aspect, frozen=True):
    """`isLatest` is DataHub's to compute and must not be sent."""

    NAME: ClassVar[str] = "versionProperties"

    version_set: str
    version: VersionTag
    sort_id: str
    aliases: list[VersionTag]
    versioning_scheme: str


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


class BaseData(Record, frozen=True):
    """A dataset that a model was trained or evaluated with."""

    dataset: str


class MLModelEvaluationData(Aspect, frozen=True):
    """The aspect `mlModelEvaluationData`."""

    NAME: ClassVar[str] = "mlModelEvaluationData"

    evaluation_data: list[BaseData]


class SourceCodeUrl(Record, frozen=True):
    """A page with the code of a model, and what the code does for it."""

    type: str
    source_code_url: str


class SourceCode(Aspect, frozen=True):
    """The aspect `sourceCode`."""

    NAME: ClassVar[str] = "sourceCode"

    source_code: list[SourceCodeUrl]
