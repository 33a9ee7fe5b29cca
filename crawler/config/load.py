"""Settings from a recipe, the environment and flags: later ones win."""

import os
import random
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from crawler.config.flags import Flags
from crawler.config.sections import DEFAULT_FILE, NoOptions, Pipeline
from crawler.config.settings import DeliverySettings, FileSettings, Settings, SinkSettings
from crawler.config.sink import sink_settings
from crawler.config.source import mapping_settings, mlflow_settings, source_options
from crawler.config.strict import section
from crawler.config.unsupported import UNSUPPORTED_IN_FLAGS, UNSUPPORTED_IN_PIPELINE
from crawler.config.variables import expand
from crawler.errors import SettingsError

Recipe = str | Path | Mapping[str, Any]

_NO_FLAGS = Flags()
_NO_RUN_ID = "__DEFAULT_RUN_ID"
_NOTHING_CONFIGURED = f"No DataHub is configured, so the proposals are written to {DEFAULT_FILE}."


def load(
    recipe: Recipe | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Flags = _NO_FLAGS,
    *,
    home: Path | None = None,
) -> Settings:
    """Load the settings of one crawl.

    Example:
        >>> settings = load({
        ...     "source": {"type": "mlflow", "config": {"tracking_uri": "http://localhost:5000"}},
        ...     "sink": {"type": "file", "config": {"filename": "proposals.json"}},
        ... })
        >>> settings.sink
        FileSettings(path=PosixPath('proposals.json'), nested_json=False)

    Args:
        recipe: a recipe of `datahub ingest`: the path of a YAML or JSON file, or its content. In both, `${VAR}` is
            replaced by the variable of the environment.
        environment: environment variables, `os.environ` by default; they win over the recipe.
        flags: flags of the command line; they win over the environment.
        home: the folder that has `.datahubenv`, the user's home by default.

    Raises:
        SettingsError: something is missing or cannot be used; the message names the option.
    """
    environment = os.environ if environment is None else environment
    pipeline = _pipeline(recipe, environment)
    source = source_options(pipeline.source, environment, flags)
    mlflow = mlflow_settings(source)
    sink = sink_settings(pipeline.sink, environment, flags, home or Path.home())
    notes = () if sink or flags.dry_run else (_NOTHING_CONFIGURED,)
    sink = sink or FileSettings(path=DEFAULT_FILE)
    if flags.state is not None:
        _require_resumable(sink, dry_run=flags.dry_run)
    return Settings(
        run_id=pipeline.run_id if pipeline.run_id and pipeline.run_id != _NO_RUN_ID else _new_run_id(),
        mlflow=mlflow,
        mapping=mapping_settings(source, mlflow.tracking.url),
        sink=sink,
        state=flags.state,
        notes=notes,
        **_common(pipeline, flags),
    )


def load_delivery(
    recipe: Recipe | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Flags = _NO_FLAGS,
    *,
    home: Path | None = None,
) -> DeliverySettings:
    """Load the settings of one replay, which reads no MLflow and always has a run id of its own.

    Arguments and errors are those of `load()`; it is an error too if no sink is configured.
    """
    environment = os.environ if environment is None else environment
    pipeline = _pipeline(recipe, environment)
    sink = sink_settings(pipeline.sink, environment, flags, home or Path.home())
    if sink is None:
        raise SettingsError(
            "No DataHub is given to send the proposals to.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    return DeliverySettings(run_id=_new_run_id(), sink=sink, **_common(pipeline, flags))


def _common(pipeline: Pipeline, flags: Flags) -> dict[str, Any]:
    """Return the fields that a crawl and a replay share, except for run id and sink."""
    if flags.max_duration is not None and not flags.max_duration:
        raise SettingsError("--max-duration: in no time nothing is done.", "Leave it out for no limit.")
    common: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "dead_letters": flags.dead_letters,
        "max_duration": flags.max_duration,
        "dry_run": flags.dry_run,
        "validate": flags.validate,
    }
    return common if flags.grace is None else common | {"grace": flags.grace}


def _require_resumable(sink: SinkSettings, *, dry_run: bool) -> None:
    """Raise SettingsError if nothing of an earlier crawl remains: what it delivered must not be left out then."""
    if dry_run:
        raise SettingsError("--state keeps what was delivered, and --dry-run delivers nothing.", "Leave out one.")
    if not sink.is_resumable:
        raise SettingsError(
            f"--state: the file {sink.output_file} is written anew each time, so a crawl into it cannot be resumed.",
            "Leave out --state, or write to DataHub.",
        )


def _pipeline(recipe: Recipe | None, environment: Mapping[str, str]) -> Pipeline:
    if recipe is None:
        return Pipeline()
    if isinstance(recipe, str | Path):
        from crawler.config.document import read_document  # noqa: PLC0415  only a file needs YAML

        recipe = read_document(Path(recipe))
    pipeline = section(expand(recipe, environment), "", Pipeline, UNSUPPORTED_IN_PIPELINE)
    section(pipeline.flags, "flags", NoOptions, UNSUPPORTED_IN_FLAGS)
    return pipeline


def _new_run_id() -> str:
    """Return a run id like those of the official connector, with the local time."""
    now = datetime.now().astimezone().strftime("%Y_%m_%d-%H_%M_%S")
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))  # noqa: S311  a name, no secret
    return f"mlflow-{now}-{suffix}"
