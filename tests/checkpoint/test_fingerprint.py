"""What two crawls must share: which workspaces are read, where not all are; what an older release kept goes on."""

from pathlib import Path
from typing import Any

import pytest

from crawler.checkpoint.fingerprint import ends_of, fingerprint, source_of
from crawler.config.settings import Settings
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
    ("options", "name", "chooses_runs"),
    [
        ({"workspace": "team-a"}, "the workspace", True),
        ({"workspace_pattern": {"allow": ["team-a"]}}, "workspace_pattern", True),
        ({"workspace_identity": "prefix"}, "workspace_identity", False),
    ],
)
def test_workspaces_are_part_of_it(options: dict[str, Any], name: str, chooses_runs: bool, tmp_path: Path) -> None:
    found = fingerprint(settings(tmp_path, **options))
    assert found.keys() == OF_AN_OLDER_RELEASE | {name}
    assert (name in source_of(found), name in ends_of(found)) == (chooses_runs, chooses_runs)
