"""Settings from flags, a recipe, the environment and files of the home folder: the first that names one counts."""

import os
import random
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from crawler.config.flags import Flags
from crawler.config.home_files import home_folder
from crawler.config.layers import RECIPE, Merged
from crawler.config.load_selection import require_no_trash
from crawler.config.pipeline_options import failure_log, labels, pipeline_options
from crawler.config.removal import load_removal
from crawler.config.sections.recipe import Pipeline
from crawler.config.sections.sink import DEFAULT_FILE
from crawler.config.sink import Sink, load_sink
from crawler.config.source import Source, load_source, mapping_settings
from crawler.config.strict import section
from crawler.config.unsupported import UNSUPPORTED_IN_PIPELINE
from crawler.config.variables import expand
from crawler.errors import SettingsError
from crawler.settings.crawl import DeliverySettings, Settings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.sinks import FileSettings, SinkSettings

Recipe = str | Path | Mapping[str, Any]


class Explained(msgspec.Struct, frozen=True):
    """Settings, and where they are from.

    Attributes:
        settings: the settings.
        options: the options of the recipe's sections by their path: their values, and where each is from.
        sink_type: the type of the sink, as a recipe names it.
        sink_origin: where the type is from.
        pipeline_origins: where `pipeline_name` and `run_id` are from.
    """

    settings: Settings
    options: Mapping[str, Merged[Any]]
    sink_type: str
    sink_origin: str
    pipeline_origins: Mapping[str, str]


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
        FileSettings(path=PosixPath('proposals.json'), nested_json=False, lines=False)

    Args:
        recipe: a recipe of `datahub ingest`: the path of a YAML or JSON file, or its content. In both, `${VAR}` is
            replaced by the variable of the environment.
        environment: environment variables, `os.environ` by default; the recipe wins over them.
        flags: flags of the command line; they win over the recipe.
        home: the folder that has `.datahubenv` and other files of the user, the user's home by default.

    Raises:
        SettingsError: something is missing or cannot be used; the message names the option.
    """
    return load_explained(recipe, environment, flags, home=home).settings


def load_explained(
    recipe: Recipe | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Flags = _NO_FLAGS,
    *,
    home: Path | None = None,
) -> Explained:
    """Load the settings of one crawl as `load()` does, and return them with where each is from."""
    environment = os.environ if environment is None else environment
    home = home or home_folder()
    diagnostics = Diagnostics()
    document = _document(recipe)
    pipeline = _pipeline(document, environment, diagnostics)
    source, sink, common = None, Sink(), {}
    with diagnostics:
        source = load_source(pipeline.source, environment, flags, home, diagnostics)
    with diagnostics:
        sink = load_sink(pipeline.sink, environment, flags, home, diagnostics)
    with diagnostics:
        common = _common(pipeline, flags, diagnostics)
    options = pipeline_options(pipeline, document, sink.settings, environment, flags, home, diagnostics)
    dead_letters = failure_log(pipeline.failure_log, diagnostics)
    if sink.settings is None and not flags.dry_run:
        diagnostics.note(_NOTHING_CONFIGURED)
    written = sink.settings or FileSettings(path=DEFAULT_FILE)
    with diagnostics:
        if flags.state is not None:
            _require_resumable(written, dry_run=flags.dry_run)
    removal = None
    with diagnostics:
        if source is not None:
            stateful = source.options.section.stateful_ingestion
            removal = load_removal(
                stateful, pipeline.pipeline_name, sink.settings, environment, flags, home, diagnostics
            )
            if removal is not None:
                require_no_trash(source.selection)
    diagnostics.raise_errors()
    assert source is not None and source.mlflow is not None  # noqa: S101, PT018  otherwise there was an error
    settings = Settings(
        run_id=pipeline.run_id if pipeline.run_id and pipeline.run_id != _NO_RUN_ID else _new_run_id(),
        mlflow=source.mlflow,
        selection=source.selection,
        mapping=mapping_settings(source, source.mlflow.tracking.url),
        sink=written,
        state=flags.state,
        removal=removal,
        changed_only=source.changed_only,
        notes=tuple(diagnostics.notes),
        **common | {"dead_letters": flags.dead_letters or dead_letters},
        **options,
    )
    return _explained(settings, pipeline, source, sink)


def _explained(settings: Settings, pipeline: Pipeline, source: Source, sink: Sink) -> Explained:
    own = ("pipeline_name", "run_id")
    named = [name for name in own if getattr(settings, name) == getattr(pipeline, name) is not None]
    return Explained(
        settings,
        options={"source.config": source.options, **sink.options},
        sink_type=sink.type,
        sink_origin=sink.origin,
        pipeline_origins=dict.fromkeys(named, RECIPE),
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
    home = home or home_folder()
    diagnostics = Diagnostics()
    pipeline = _pipeline(_document(recipe), environment, diagnostics)
    sink, common = Sink(), {}
    with diagnostics:
        sink = load_sink(pipeline.sink, environment, flags, home, diagnostics)
        if sink.settings is None:
            raise SettingsError(
                "No DataHub is given to send the proposals to.",
                "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
            )
    with diagnostics:
        common = _common(pipeline, flags, diagnostics)
    diagnostics.raise_errors()
    assert sink.settings is not None  # noqa: S101  otherwise there was an error
    return DeliverySettings(run_id=_new_run_id(), sink=sink.settings, notes=tuple(diagnostics.notes), **common)


def _common(pipeline: Pipeline, flags: Flags, diagnostics: Diagnostics) -> dict[str, Any]:
    """Return the fields that a crawl and a replay share, except for run id and sink."""
    if flags.max_duration is not None and not flags.max_duration:
        raise SettingsError("--max-duration: in no time nothing is done.", "Leave it out for no limit.")
    common: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "dead_letters": flags.dead_letters,
        "max_duration": flags.max_duration,
        "dry_run": flags.dry_run,
        "validate": flags.validate,
        **labels(pipeline, diagnostics),
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


def _document(recipe: Recipe | None) -> Mapping[Any, Any]:
    """Return a recipe as it was read, empty if there is none."""
    if isinstance(recipe, str | Path):
        from crawler.config.document import read_document  # noqa: PLC0415  only a file needs YAML

        return read_document(Path(recipe))
    return recipe or {}


def _pipeline(document: Mapping[Any, Any], environment: Mapping[str, str], diagnostics: Diagnostics) -> Pipeline:
    expanded = expand(document, environment, diagnostics)
    return section(expanded, "", Pipeline, UNSUPPORTED_IN_PIPELINE, diagnostics=diagnostics)


def _new_run_id() -> str:
    """Return a run id like those of the official connector, with the local time."""
    now = datetime.now().astimezone().strftime("%Y_%m_%d-%H_%M_%S")
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))  # noqa: S311  a name, no secret
    return f"mlflow-{now}-{suffix}"
