"""`config schema` prints what the loader takes: all that the docs show and tests load, and nothing that is refused."""

import json
import re
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from crawler.cli.main import main
from crawler.config.recipe_schema import recipe_schema
from crawler.config.sections.recipe import Pipeline
from tests.config.recipes import loaded, recipe, rest
from tests.config.test_options_land import MLFLOW, REST
from tests.config.test_selection import REFUSED
from tests.config.test_wrong_values import WRONG

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(recipe_schema())
BLOCKS = [
    (f"{path.name} {number}", yaml.safe_load(block))
    for path in sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL))
]
ONLY_LOADED = (
    "source.config: min_threads is 17",
    "sink.config: min_threads is 3",
    "source.config: workspace and workspace_pattern",
    "source.config: username and password must be set together",
    "source.config.lifecycle cannot be",
    "transformers[0].type: unknown type",
    "transformers[0].config.is_container",
    "source.config.stateful_ingestion.enabled: there is no pipeline_name",
    "source.config.workspace_pattern.deny: '(' is no regular",
)
"""What the loader finds out from several keys, or from what is installed; JSON has no numbers that are none."""
_MOMENTS = ("36526d", "2026-02-30")
"""They look like moments, and are none."""


def errors(document: Any) -> list[str]:
    """What is wrong with a recipe, read from YAML: JSON has no dates."""
    return [each.message for each in VALIDATOR.iter_errors(json.loads(json.dumps(document, default=str)))]


def test_it_is_a_schema_and_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(recipe_schema())
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == recipe_schema()


@pytest.mark.parametrize("shown", [shown for _, shown in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_what_the_docs_show_is_valid(shown: dict[str, Any]) -> None:
    is_whole = shown.keys() <= set(Pipeline.__struct_fields__)
    assert errors(shown if is_whole else recipe(shown)) == []


@pytest.mark.parametrize("option", MLFLOW)
def test_each_option_of_mlflow_is_valid(option: str) -> None:
    assert errors(recipe({option: MLFLOW[option][0]})) == []


@pytest.mark.parametrize("option", REST)
def test_each_option_of_datahub_is_valid(option: str) -> None:
    assert errors(recipe(sink=rest(**{option: REST[option][0]}))) == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"source": None, "sink": None},
        recipe({"page_size": "${SIZE}", "password": None, "username": "", "runs_since": "30d", "env": "${ENV:-PROD}"}),
        recipe({"changed_only": "true", "disable_ssl_verification": 1, "timeout_sec": "1.5", "verify_every": 90}),
        recipe(
            {"stateful_ingestion": {"enabled": True, "state_provider": {"type": "file", "config": {"filename": "c"}}}}
        ),
        recipe(sink={"type": "console"}, flags={"progress_report_max_infos": 5}, recording={"enabled": False}),
        recipe(
            sink={"type": "datahub-lite", "config": {"type": "duckdb", "config": {"file": "f", "read_only": False}}}
        ),
        recipe(transformers=[{"type": "my.Own", "config": {"a": [1]}}], datahub_api={"server": "http://gms"}),
        recipe(transformers=[{"type": "my.Own"}], datahub_api={"server": "__from_env__"}),
    ],
    ids=str,
)
def test_what_the_loader_takes_is_valid(document: Any, tmp_path: Path) -> None:
    assert errors(document) == []
    if document.get("source"):
        loaded(tmp_path, document | {"pipeline_name": "p"}, {"SIZE": "5", "DATAHUB_GMS_URL": "http://gms"})


@pytest.mark.parametrize(("document", "message"), [*WRONG, *REFUSED], ids=lambda each: str(each)[:60])
def test_what_the_loader_refuses_is_not(document: Any, message: str) -> None:
    only_loaded = message.startswith(ONLY_LOADED) or "regular expression" in message or _has_odd_value(document)
    assert only_loaded == (errors(document) == [])


def _has_odd_value(document: Any) -> bool:
    config = document["source"].get("config", {}) if isinstance(document["source"], dict) else {}
    return config.get("runs_since") in _MOMENTS or isnan(config.get("timeout_sec", 1))
