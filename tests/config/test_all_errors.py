"""All errors of a recipe come at once, each once, without those that only follow from others."""

from pathlib import Path
from typing import Any

import pytest

from tests.config.recipes import recipe, refused, rest


def told(folder: Path, document: Any, env: dict[str, str] | None = None, **flags: Any) -> list[str]:
    """The errors of a recipe."""
    first, *errors = refused(folder, document, env, **flags).split("\n")
    assert first == f"{len(errors)} settings are wrong:"
    return errors


def test_a_common_recipe_takes_one_round(tmp_path: Path) -> None:
    source = {
        "tracking_uri": "databricks",
        "usernam": "ann",
        "page_size": 0,
        "env": "NOWHERE",
        "password": "${NOT_SET}",
        "stateful_ingestion": {"enabled": True},
    }
    sink = rest(token="a", token_file="b", max_per_batch="many", servr="x")
    document = recipe(
        source, sink, transformers=[{"type": "x"}], flags={"auto_resolve_lineage_urns": {"enabled": True}}
    )
    errors = told(tmp_path, document | {"sinc": 1}, max_duration=0, state=Path("s"), dry_run=True)
    beginnings = [
        "source.config.password: the variable NOT_SET is not set.",
        "transformers[0].type: unknown type 'x'.",
        "unknown key 'sinc'. Did you mean 'sink'?",
        "flags.auto_resolve_lineage_urns: URNs are not fitted",
        "source.config: unknown key 'usernam'. Did you mean 'username'?",
        "source.config.page_size: expected int >= 1.",
        "source.config.stateful_ingestion.enabled: there is no pipeline_name",
        "source.config.env: DataHub knows no 'NOWHERE'.",
        "tracking_uri: signing in by a profile of Databricks is not supported.",
        "sink.config: unknown key 'servr'. Did you mean 'server'?",
        "sink.config.max_per_batch: expected int, got str.",
        "sink.config.token and sink.config.token_file give the same secret twice.",
        "--max-duration: in no time nothing is done.",
        "--state keeps what was delivered, and --dry-run delivers nothing.",
    ]
    for beginning in beginnings:
        assert sum(error.startswith(f"- {beginning}") for error in errors) == 1, beginning
    assert len(errors) == len(beginnings)


@pytest.mark.parametrize(
    ("document", "only"),
    [
        (recipe({"username": "u", "password": "${NOT_SET}"}), "source.config.password: the variable"),
        (recipe({"tracking_uri": "${NOT_SET}"}), "source.config.tracking_uri: the variable"),
        (recipe({"tracking_uri": ["x"]}), "source.config.tracking_uri: expected str"),
        ({"source": {"type": "mlflow", "config": {"tracking_url": "http://m"}}}, "source.config: unknown key"),
        ({"source": {"typ": "mlflow"}}, "source: unknown key 'typ'. Did you mean 'type'?"),
        (recipe(sink={"type": "datahub-rest", "config": {"servr": "http://g"}}), "sink.config: unknown key 'servr'"),
        (recipe(sink=rest(server=1)), "sink.config.server: expected str"),
    ],
)
def test_what_only_follows_is_not_told(document: Any, only: str, tmp_path: Path) -> None:
    message = refused(tmp_path, document)
    assert message.startswith(only)
    assert "\n" not in message
