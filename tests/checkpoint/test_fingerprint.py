"""What makes a crawl another one to a state: an option that changes what is written, where it is given."""

from pathlib import Path
from typing import Any

import pytest

from crawler.checkpoint.fingerprint import fingerprint
from tests.config.recipes import loaded, recipe


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"owner": {"tags": ["owner"]}}, "owner"),
        ({"model_tags": ["stage"]}, "model_tags"),
        ({"link_to_mlflow": True}, "link_to_mlflow"),
        ({"include": {"signatures": True}}, "include.signatures"),
    ],
)
def test_an_option_counts_where_it_is_given(tmp_path: Path, option: dict[str, Any], name: str) -> None:
    before, now = (fingerprint(loaded(tmp_path, recipe(options))) for options in ({}, option))
    # The state of an older release knows nothing of it, and goes on.
    assert name not in before
    del now[name]
    assert now == before
