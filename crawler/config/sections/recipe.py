"""A recipe as a whole, with what it has beside the options of its source and its sink."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.sections.values import Options


class Pipeline(msgspec.Struct, kw_only=True, frozen=True):
    """A whole recipe (`PipelineConfig`)."""

    source: Options = {}
    """The MLflow server to read."""
    sink: Options | None = None
    """Where to write: DataHub, a file or DataHub Lite."""
    pipeline_name: str | None = None
    """The name of the pipeline in the system metadata of all that is written."""
    run_id: str | None = None
    """The run id in the same place, by which DataHub rolls a crawl back; a new one for each crawl by default."""
    datahub_api: Options | None = None
    """The DataHub that transformers read from, see below; the sink's by default."""
    transformers: list[Options] = []
    """The transformers that change what is written, in this order; see below."""
    reporting: list[Options] = []
    """Who is told of each crawl: DataHub's Ingestion page (by default, with a `pipeline_name`), and files."""
    failure_log: Options | None = None
    """Where proposals are kept that DataHub did not take, as `--dead-letters` says it; see below."""
    flags: Options | None = None
    """What may be left out, see below."""


class Typed(msgspec.Struct, kw_only=True, frozen=True):
    """`source` and `sink`: a type, and the options of that type."""

    type: str = ""
    """Required: `mlflow` for the source; `datahub-rest`, `file`, `console` or `datahub-lite` for the sink."""
    config: Options = {}
    """The options of that type, see below."""


class NoOptions(msgspec.Struct, kw_only=True, frozen=True):
    """A section without any option."""


class Transformer(msgspec.Struct, kw_only=True, frozen=True):
    """One of `transformers`: a type, and the options of that type."""

    type: str = ""
    """Required: the name of a transformer, such as `simple_add_dataset_tags`, or `package.module:Class`."""
    config: Options = {}
    """The options of that type, as acryl-datahub's documentation has them."""


class Reporter(msgspec.Struct, kw_only=True, frozen=True):
    """One of `reporting` (`ReporterConfig`)."""

    type: str = ""
    """Required: `datahub` for the Ingestion page, or `file`."""
    config: Options = {}
    """The options of that type, see below."""
    required: bool = False
    """Do not crawl where the Ingestion page cannot be told."""


class DatahubReporter(msgspec.Struct, kw_only=True, frozen=True):
    """`reporting[].config` of datahub (`DatahubIngestionRunSummaryProviderConfig`)."""

    report_recipe: bool = True
    """Show the recipe there, without its secrets."""


class FileReporter(msgspec.Struct, kw_only=True, frozen=True):
    """`reporting[].config` of file (`FileReporterConfig`)."""

    filename: Path | None = None
    """Required: the file that the report is written to, in the form of `datahub ingest`; `--report` has our own."""
    format: Literal["json"] = "json"
    """The form of the file."""


class FailureLog(msgspec.Struct, kw_only=True, frozen=True):
    """`failure_log` (`FailureLoggingConfig`)."""

    enabled: bool = False
    """Keep them in the file of `log_config`. Where it is false they are kept in a file of the run, as always."""
    log_config: Options | None = None
    """The file: its `filename`, `failed_events.json` by default. Proposals are added to it, one a line."""


class RecipeFlags(msgspec.Struct, kw_only=True, frozen=True):
    """`flags` (`FlagsConfig`)."""

    generate_browse_path_v2: bool = True
    """Write the browse paths of containers."""
    generate_browse_path_v2_dry_run: bool = False
    """Leave them out, which is all that it comes to."""
    set_system_metadata: bool = True
    """Write the run id and the name of the pipeline with all else; without them a crawl cannot be rolled back."""
    set_system_metadata_pipeline_name: bool = True
    """Write the name of the pipeline with all else."""
