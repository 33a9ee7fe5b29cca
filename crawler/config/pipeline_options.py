"""What a recipe says beside its source and sink: flags, transformers, reports, the file of what failed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.config.flags import Flags
from crawler.config.reporting import load_reporting
from crawler.config.sections.recipe import FailureLog, Pipeline, RecipeFlags
from crawler.config.sections.sink import FileSink
from crawler.config.sections.values import Options
from crawler.config.strict import section
from crawler.config.transformers import load_datahub_api, load_transformers
from crawler.config.unsupported import UNSUPPORTED_IN_FAILURE_LOG, UNSUPPORTED_IN_FLAGS
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.sinks import SinkSettings

FAILED_EVENTS = Path("failed_events.json")
"""Where `datahub ingest` keeps what failed, unless it is told otherwise."""


def labels(pipeline: Pipeline, diagnostics: Diagnostics) -> dict[str, Any]:
    """Return what all that is written carries, as fields of DeliverySettings."""
    flags = _flags(pipeline, diagnostics)
    return {"labels_run": flags.set_system_metadata, "labels_pipeline": flags.set_system_metadata_pipeline_name}


def pipeline_options(
    pipeline: Pipeline,
    document: Mapping[Any, Any],
    sink: SinkSettings | None,
    environment: Mapping[str, str],
    flags: Flags,
    home: Path | None,
    diagnostics: Diagnostics,
) -> dict[str, Any]:
    """Return what is for a crawl alone, as fields of Settings; `document` is the recipe as it was read."""
    wanted = _flags(pipeline, diagnostics)
    transformers = load_transformers(pipeline.transformers, diagnostics)
    graph = None if sink is None else sink.server
    with diagnostics:
        named = load_datahub_api(pipeline.datahub_api, environment, home, diagnostics)
        if named is not None and not transformers:
            diagnostics.note("datahub_api has no effect: only transformers read from DataHub.")
        graph = named or graph
    options = {
        "browse_paths": wanted.generate_browse_path_v2 and not wanted.generate_browse_path_v2_dry_run,
        "transformers": transformers,
        "graph": graph if transformers else None,
    }
    reporting = load_reporting(pipeline, document, sink, diagnostics, by_default=not flags.no_default_report)
    return options if flags.dry_run else options | {"ingestion_page": reporting.page, "report_files": reporting.files}


def failure_log(given: Options | None, diagnostics: Diagnostics) -> Path | None:
    """Return the file that a recipe keeps dead letters in, None if it names none."""
    log = section(given, "failure_log", FailureLog, diagnostics=diagnostics)
    path = "failure_log.log_config"
    file = section(log.log_config, path, FileSink, UNSUPPORTED_IN_FAILURE_LOG, diagnostics=diagnostics)
    if not log.enabled:
        return None
    return FAILED_EVENTS if log.log_config is None else file.filename


def _flags(pipeline: Pipeline, diagnostics: Diagnostics) -> RecipeFlags:
    return section(pipeline.flags, "flags", RecipeFlags, UNSUPPORTED_IN_FLAGS, diagnostics=diagnostics)
