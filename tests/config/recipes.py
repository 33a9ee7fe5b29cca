"""Recipes as tests write them, and what became of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import ExitCode, SettingsError
from crawler.settings.crawl import Settings
from crawler.settings.sinks import RestSettings

CANARY = "c4n4ry-s3cr3t"


def recipe(source: dict[str, Any] | None = None, sink: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A whole recipe, with a tracking server where `source` names none."""
    config = {"tracking_uri": "http://mlflow:5000", **(source or {})}
    return {"source": {"type": "mlflow", "config": config}, **({"sink": sink} if sink else {}), **more}


def rest(**config: Any) -> dict[str, Any]:
    """A sink of type datahub-rest."""
    return {"type": "datahub-rest", "config": {"server": "http://gms:8080", **config}}


def loaded(folder: Path, content: Any, env: dict[str, str] | None = None, **flags: Any) -> Settings:
    """The settings of a recipe (its text, bytes or content), in `folder` as home."""
    path = folder / "recipe.yml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load(path, env or {}, Flags(**flags), home=folder)


def refused(folder: Path, content: Any, env: dict[str, str] | None = None, **flags: Any) -> str:
    """The message with which the recipe is refused."""
    with pytest.raises(SettingsError) as caught:
        loaded(folder, content, env, **flags)
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


def datahub(found: Settings) -> RestSettings:
    """The settings of the rest sink."""
    assert isinstance(found.sink, RestSettings)
    return found.sink
