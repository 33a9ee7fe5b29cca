"""Who is told of a crawl: DataHub's Ingestion page, and files in the form of `datahub ingest`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from crawler.config.redacted_recipe import redacted_recipe
from crawler.config.sections.recipe import DatahubReporter, FileReporter, Pipeline, Reporter
from crawler.config.strict import choose, section
from crawler.config.unsupported import UNSUPPORTED_IN_DATAHUB_REPORTER
from crawler.errors import SettingsError
from crawler.settings.crawl import IngestionPageSettings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.sinks import RestSettings, SinkSettings

_KINDS = {"datahub": DatahubReporter, "file": FileReporter}
_NO_DATAHUB = "has no effect: nothing is written to DataHub, so its Ingestion page does not show the crawl."


class Reporting(msgspec.Struct):
    """What the recipe says of reports."""

    page: IngestionPageSettings | None = None
    files: tuple[Path, ...] = ()


def load_reporting(
    pipeline: Pipeline,
    document: Mapping[Any, Any],
    sink: SinkSettings | None,
    diagnostics: Diagnostics,
    *,
    by_default: bool,
) -> Reporting:
    """Return who is told. DataHub is told of a crawl with a `pipeline_name` that is written there, also unasked.

    `document` is the recipe as it was read. `by_default` False tells only whom the recipe names.
    """
    found = Reporting()
    is_datahub = isinstance(sink, RestSettings)
    if by_default and pipeline.pipeline_name and is_datahub:
        found.page = IngestionPageSettings(recipe=redacted_recipe(document))
    for index, options in enumerate(pipeline.reporting):
        path = f"reporting[{index}]"
        reporter = section(options, path, Reporter, diagnostics=diagnostics)
        with diagnostics:
            choose(reporter.type, _KINDS, path, diagnostics)
        if reporter.type == "datahub":
            page = _page(reporter, f"{path}.config", document, diagnostics)
            if is_datahub:
                found.page = page
            else:
                diagnostics.note(f"{path} {_NO_DATAHUB}")
        elif reporter.type == "file":
            with diagnostics:
                found.files += (_file(reporter, f"{path}.config", diagnostics),)
    return found


def _page(
    reporter: Reporter, path: str, document: Mapping[Any, Any], diagnostics: Diagnostics
) -> IngestionPageSettings:
    config = section(reporter.config, path, DatahubReporter, UNSUPPORTED_IN_DATAHUB_REPORTER, diagnostics=diagnostics)
    return IngestionPageSettings(
        recipe=redacted_recipe(document) if config.report_recipe else "",
        is_asked_for=True,
        is_required=reporter.required,
    )


def _file(reporter: Reporter, path: str, diagnostics: Diagnostics) -> Path:
    config = section(reporter.config, path, FileReporter, diagnostics=diagnostics)
    if config.filename is None:
        if diagnostics.has_error_at(f"{path}.filename"):
            return Path()
        raise SettingsError(f"{path}: there must be a key filename.", "Give the path of a file.")
    return config.filename
