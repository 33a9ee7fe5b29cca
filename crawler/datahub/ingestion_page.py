"""What DataHub's Ingestion page shows of a crawl: a source, its runs and how they ended. Pure.

URNs and values are those of acryl-datahub's `DatahubIngestionRunSummaryProvider`, so that a pipeline is one source,
whichever of the two runs it. Only the platform differs, which the official one leaves unknown.
"""

from typing import ClassVar

import msgspec

from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.urns import data_platform, guid

SOURCE_TYPE = "mlflow"
LONGEST_REPORT = 800_000
"""Characters; the end of a longer report is shown."""
_EXECUTOR = "__datahub_cli_"
_EXECUTION = "urn:li:dataHubExecutionRequest:"


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A part of an aspect."""


class SourceConfig(_Part, frozen=True):
    """How a source is run: the recipe as JSON, and by which version."""

    recipe: str
    version: str
    executor_id: str


class IngestionSourceInfo(Aspect, frozen=True):
    """The aspect `dataHubIngestionSourceInfo`."""

    NAME: ClassVar[str] = "dataHubIngestionSourceInfo"

    name: str
    type: str
    platform: str
    config: SourceConfig


class ExecutionSource(_Part, frozen=True):
    """The source of a run."""

    type: str
    ingestion_source: str


class ExecutionRequestInput(Aspect, frozen=True):
    """The aspect `dataHubExecutionRequestInput`: a run was begun. Times are ms since epoch."""

    NAME: ClassVar[str] = "dataHubExecutionRequestInput"

    task: str
    args: dict[str, str]
    executor_id: str
    requested_at: int
    source: ExecutionSource


class StructuredReport(_Part, frozen=True):
    """A report that the page can take apart."""

    type: str
    serialized_value: str
    content_type: str


class ExecutionRequestResult(Aspect, frozen=True):
    """The aspect `dataHubExecutionRequestResult`: a run has ended. `duration_ms` is in ms."""

    NAME: ClassVar[str] = "dataHubExecutionRequestResult"

    status: str
    start_time_ms: int
    duration_ms: int
    report: str
    structured_report: StructuredReport


class Pipeline(msgspec.Struct, frozen=True):
    """What a source of the page is known by."""

    name: str | None
    platform_instance: str | None = None

    @property
    def urn(self) -> str:
        """The URN of the source."""
        key = {"type": SOURCE_TYPE}
        if self.name:
            key["pipeline_name"] = self.name
        if self.platform_instance is not None:
            key["platform_instance"] = self.platform_instance
        return f"urn:li:dataHubIngestionSource:cli-{guid(**key)}"

    @property
    def title(self) -> str:
        """How the page calls it."""
        instance = "" if self.platform_instance is None else f" ({self.platform_instance})"
        return f"[CLI] {SOURCE_TYPE}{instance}{f' [{self.name}]' if self.name else ''}"


def is_managed(run_id: str) -> bool:
    """Return whether an executor of DataHub runs this: it has told the page of source and run itself."""
    return run_id.startswith(_EXECUTION)


def execution_urn(run_id: str) -> str:
    """Return the URN of a run."""
    return run_id if is_managed(run_id) else f"{_EXECUTION}{run_id}"


def source_info(pipeline: Pipeline, recipe: str, version: str) -> IngestionSourceInfo:
    """Return what the page shows of a source; `recipe` is JSON without secrets."""
    return IngestionSourceInfo(
        pipeline.title, SOURCE_TYPE, data_platform(SOURCE_TYPE), SourceConfig(recipe, version, _EXECUTOR)
    )


def run_begun(pipeline: Pipeline, recipe: str, version: str, at: int) -> ExecutionRequestInput:
    """Return what the page shows of a run that was begun at a time, in ms since epoch."""
    return ExecutionRequestInput(
        "CLI Ingestion",
        {"recipe": recipe, "version": version},
        _EXECUTOR,
        at,
        ExecutionSource("CLI_INGESTION_SOURCE", pipeline.urn),
    )


def run_ended(status: str, began_at: int, duration_ms: int, report: str, structured: str) -> ExecutionRequestResult:
    """Return what the page shows of a run that has ended; `structured` is its report as JSON."""
    return ExecutionRequestResult(
        status,
        began_at,
        duration_ms,
        report[-LONGEST_REPORT:],
        StructuredReport("CLI_INGEST", structured, "application/json"),
    )
