"""Settings from a recipe, the environment and flags: later ones win."""

import random
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from crawler.config.flags import Flags
from crawler.config.sections import NoOptions, Pipeline
from crawler.config.settings import DeliverySettings, FileSettings, Settings, SinkSettings
from crawler.config.sink import sink_settings
from crawler.config.source import mapping_settings, mlflow_settings, source_options
from crawler.config.strict import section
from crawler.config.unsupported import REFUSED_IN_FLAGS, REFUSED_IN_PIPELINE
from crawler.config.variables import expand
from crawler.errors import SettingsError

_NO_RUN_ID = "__DEFAULT_RUN_ID"


def load(recipe: Path | None, environment: Mapping[str, str], flags: Flags, *, home: Path | None = None) -> Settings:
    """The settings of one crawl. Raises SettingsError for what cannot be used, naming where it stands."""
    pipeline = _pipeline(recipe, environment)
    source = source_options(pipeline.source, environment, flags)
    mlflow = mlflow_settings(source)
    sink, notes = sink_settings(pipeline.sink, environment, flags, home or Path.home())
    if flags.state is not None:
        _require_lasting(sink, dry_run=flags.dry_run)
    return Settings(
        run_id=pipeline.run_id if pipeline.run_id and pipeline.run_id != _NO_RUN_ID else _new_run_id(),
        mlflow=mlflow,
        mapping=mapping_settings(source, mlflow.tracking.url),
        sink=sink,
        state=flags.state,
        notes=notes,
        **_shared(pipeline, flags),
    )


def load_delivery(
    recipe: Path | None, environment: Mapping[str, str], flags: Flags, *, home: Path | None = None
) -> DeliverySettings:
    """The settings of one replay, which reads no MLflow and always has a run id of its own. Raises SettingsError."""
    pipeline = _pipeline(recipe, environment)
    sink, nothing_configured = sink_settings(pipeline.sink, environment, flags, home or Path.home())
    if nothing_configured:
        raise SettingsError(
            "No DataHub is given to send the proposals to.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    return DeliverySettings(
        run_id=_new_run_id(),
        sink=sink,
        **_shared(pipeline, flags),
    )


def _shared(pipeline: Pipeline, flags: Flags) -> dict[str, Any]:
    """The settings that every delivery has, whatever it comes from."""
    shared: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "report": flags.report,
        "dead_letters": flags.dead_letters,
        "max_duration": _max_duration(flags),
        "dry_run": flags.dry_run,
        "validate": flags.validate,
    }
    return shared if flags.grace is None else shared | {"grace": flags.grace}


def _require_lasting(sink: SinkSettings, *, dry_run: bool) -> None:
    """Raises SettingsError where nothing of an earlier crawl stays, so that what it delivered may not be left out."""
    if dry_run:
        raise SettingsError("--state keeps what was delivered, and --dry-run delivers nothing.", "Leave out one.")
    if isinstance(sink, FileSettings):
        raise SettingsError(
            f"--state: the file {sink.path} is written anew each time, so a crawl into it cannot go on where another "
            "one ended.",
            "Leave out --state, or write to DataHub.",
        )


def _max_duration(flags: Flags) -> float | None:
    if flags.max_duration is not None and not flags.max_duration:
        raise SettingsError("--max-duration: in no time nothing is done.", "Leave it out for no limit.")
    return flags.max_duration


def _pipeline(recipe: Path | None, environment: Mapping[str, str]) -> Pipeline:
    if recipe is None:
        return Pipeline()
    from crawler.config.document import read_document  # noqa: PLC0415  only a recipe needs YAML

    pipeline = section(expand(read_document(recipe), environment), "", Pipeline, REFUSED_IN_PIPELINE)
    section(pipeline.flags, "flags", NoOptions, REFUSED_IN_FLAGS)
    return pipeline


def _new_run_id() -> str:
    """As the official connector names its runs, in local time."""
    now = datetime.now().astimezone().strftime("%Y_%m_%d-%H_%M_%S")
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))  # noqa: S311  a name, no secret
    return f"mlflow-{now}-{suffix}"
