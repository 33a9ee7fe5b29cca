"""Settings from a recipe, the environment and flags: later ones win."""

import random
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from crawler.recipe.flags import Flags
from crawler.recipe.refusals import REFUSED_IN_FLAGS, REFUSED_IN_PIPELINE
from crawler.recipe.sections import NoOptions, Pipeline
from crawler.recipe.sink import sink_settings
from crawler.recipe.source import mapping_settings, mlflow_settings, source_options
from crawler.recipe.strict import section
from crawler.recipe.variables import expand
from crawler.settings import Settings

_NO_RUN_ID = "__DEFAULT_RUN_ID"


def load(recipe: Path | None, environment: Mapping[str, str], flags: Flags, *, home: Path | None = None) -> Settings:
    """The settings of one crawl. Raises SettingsError for what cannot be used, naming where it stands."""
    pipeline = _pipeline(recipe, environment)
    source = source_options(pipeline.source, environment, flags)
    mlflow = mlflow_settings(source)
    sink, notes = sink_settings(pipeline.sink, environment, flags, home or Path.home())
    return Settings(
        run_id=pipeline.run_id if pipeline.run_id and pipeline.run_id != _NO_RUN_ID else _new_run_id(),
        pipeline_name=pipeline.pipeline_name,
        mlflow=mlflow,
        mapping=mapping_settings(source, mlflow.tracking.url),
        sink=sink,
        report=flags.report,
        dry_run=flags.dry_run,
        validate=flags.validate,
        notes=notes,
    )


def _pipeline(recipe: Path | None, environment: Mapping[str, str]) -> Pipeline:
    if recipe is None:
        return Pipeline()
    from crawler.recipe.document import read_document  # noqa: PLC0415  only a recipe needs YAML

    pipeline = section(expand(read_document(recipe), environment), "", Pipeline, REFUSED_IN_PIPELINE)
    section(pipeline.flags, "flags", NoOptions, REFUSED_IN_FLAGS)
    return pipeline


def _new_run_id() -> str:
    """As the official connector names its runs, in local time."""
    now = datetime.now().astimezone().strftime("%Y_%m_%d-%H_%M_%S")
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))  # noqa: S311  a name, no secret
    return f"mlflow-{now}-{suffix}"
