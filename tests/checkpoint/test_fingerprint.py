"""What two crawls must share: which workspaces are read, where not all are; what an older release kept goes on."""

from pathlib import Path
from typing import Any

import pytest

from crawler.checkpoint.fingerprint import ends_of, fingerprint, source_of
from crawler.settings.crawl import Settings
from tests.config.recipes import loaded, recipe, rest

OF_AN_OLDER_RELEASE = {
    "MLflow's URL",
    "the registry's URL",
    "the sink",
    "env",
    "keep_url_credentials",
    "materialize_dataset_inputs",
    "model_name_separator",
    "platform_instance",
    "source_mapping_to_platform",
    "ui_url",
}


def settings(folder: Path, **options: Any) -> Settings:
    return loaded(folder, recipe(options, rest()))


def test_a_state_of_an_older_release_is_one_of_these_settings(tmp_path: Path) -> None:
    assert fingerprint(settings(tmp_path)).keys() == OF_AN_OLDER_RELEASE


@pytest.mark.parametrize(
    ("options", "name", "chooses_runs", "names_ends"),
    [
        ({"workspace": "team-a"}, "the workspace", True, True),
        ({"workspace_pattern": {"allow": ["team-a"]}}, "source.config.workspace_pattern.allow", True, True),
        ({"workspace_identity": "prefix"}, "workspace_identity", False, False),
        ({"owner": {"tags": ["owner"]}}, "owner", False, False),
        ({"model_tags": ["stage"]}, "model_tags", False, False),
        ({"link_to_mlflow": True}, "link_to_mlflow", False, False),
        ({"include": {"signatures": True}}, "source.config.include.signatures", True, False),
        ({"metric_history": "all"}, "source.config.metric_history", True, False),
        ({"include": {"logged_models": False}}, "source.config.include.logged_models", True, False),
    ],
)
def test_an_option_counts_where_it_is_given(
    options: dict[str, Any], name: str, chooses_runs: bool, names_ends: bool, tmp_path: Path
) -> None:
    found = fingerprint(settings(tmp_path, **options))
    # The state of an older release knows nothing of it, and goes on.
    assert found.keys() == OF_AN_OLDER_RELEASE | {name}
    assert (name in source_of(found), name in ends_of(found)) == (chooses_runs, names_ends)
