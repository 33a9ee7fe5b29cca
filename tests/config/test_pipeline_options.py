"""What a recipe says beside source and sink: transformers, the DataHub that they read, reports, flags, failure_log."""

import json
from pathlib import Path
from typing import Any

import pytest
from datahub.configuration.common import redact_raw_config

from crawler.config.flags import Flags
from crawler.config.load import load_delivery
from crawler.config.redacted_recipe import redacted_recipe
from crawler.secrets.secret import Secret
from crawler.settings.crawl import IngestionPageSettings, TransformerSettings
from tests.config.recipes import CANARY, loaded, recipe, rest

TAGS = {"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"]}}
API = {"server": "http://api:8080", "token": CANARY, "timeout_sec": 3, "pool_maxsize": 4}


def test_transformers_keep_their_order_and_options(tmp_path: Path) -> None:
    own = {"type": "my.module:Mine"}
    found = loaded(tmp_path, recipe(transformers=[TAGS, own]))
    assert found.transformers == (
        TransformerSettings(type="simple_add_dataset_tags", config={"tag_urns": ["urn:li:tag:a"]}),
        TransformerSettings(type="my.module:Mine"),
    )


def test_options_of_transformers_are_not_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe(transformers=[{"type": "a.B", "config": {"key": CANARY}}]))
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("sink", "api", "server"),
    [
        (rest(), None, "http://gms:8080"),
        (rest(), API, "http://api:8080"),
        ({"type": "file"}, API, "http://api:8080"),
        ({"type": "file"}, None, None),
    ],
)
def test_transformers_read_from_datahub_api_or_the_sink(
    sink: dict[str, Any], api: dict[str, Any] | None, server: str | None, tmp_path: Path
) -> None:
    graph = loaded(tmp_path, recipe(sink=sink, transformers=[TAGS], datahub_api=api)).graph
    assert (graph and graph.url) == server
    if graph is not None and api is not None:
        assert (graph.token, graph.timeout) == (Secret(CANARY), 3)


def test_datahub_api_may_be_that_of_the_environment(tmp_path: Path) -> None:
    env = {"DATAHUB_GMS_URL": "http://env:8080", "DATAHUB_GMS_TOKEN": CANARY}
    named = recipe(sink={"type": "file"}, transformers=[TAGS], datahub_api={"server": "__from_env__"})
    graph = loaded(tmp_path, named, env).graph
    assert graph is not None
    assert (graph.url, graph.token) == ("http://env:8080", Secret(CANARY))
    other = recipe(sink={"type": "file"}, transformers=[TAGS], datahub_api={"server": "http://other"})
    graph = loaded(tmp_path, other, env).graph
    assert graph is not None
    assert (graph.url, graph.token) == ("http://other", None)


def test_without_transformers_nothing_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe(sink=rest(), datahub_api={"server": "http://api", "token": CANARY}))
    assert found.graph is None
    assert found.notes == ("datahub_api has no effect: only transformers read from DataHub.",)


def test_the_ingestion_page_is_told_of_a_pipeline_that_is_written_to_datahub(tmp_path: Path) -> None:
    named = recipe(sink=rest(), pipeline_name="p")
    page = loaded(tmp_path, named).ingestion_page
    assert page is not None
    assert json.loads(page.recipe) == named
    assert not page.is_asked_for
    assert loaded(tmp_path, named, no_default_report=True).ingestion_page is None
    assert loaded(tmp_path, named, dry_run=True).ingestion_page is None
    assert loaded(tmp_path, recipe(sink=rest())).ingestion_page is None
    assert loaded(tmp_path, recipe(sink={"type": "file"}, pipeline_name="p")).ingestion_page is None


def test_a_reporter_tells_how(tmp_path: Path) -> None:
    quiet = {"type": "datahub", "config": {"report_recipe": False}, "required": True}
    found = loaded(tmp_path, recipe(sink=rest(), reporting=[quiet]), no_default_report=True)
    assert found.ingestion_page == IngestionPageSettings(recipe="", is_asked_for=True, is_required=True)
    found = loaded(tmp_path, recipe(sink={"type": "file"}, reporting=[quiet]))
    assert (found.ingestion_page, found.notes) == (
        None,
        ("reporting[0] has no effect: nothing is written to DataHub, so its Ingestion page does not show the crawl.",),
    )


def test_reports_go_to_files(tmp_path: Path) -> None:
    files = [{"type": "file", "config": {"filename": name, "format": "json"}} for name in ("a.json", "~/b.json")]
    assert loaded(tmp_path, recipe(reporting=files)).report_files == (Path("a.json"), Path("~/b.json").expanduser())
    assert loaded(tmp_path, recipe(reporting=files), dry_run=True).report_files == ()


@pytest.mark.parametrize(
    ("log", "path"),
    [
        (None, None),
        ({"enabled": False, "log_config": {"filename": "x.json"}}, None),
        ({"enabled": True}, "failed_events.json"),
        ({"enabled": True, "log_config": {"filename": "x.json"}}, "x.json"),
    ],
)
def test_the_failure_log_is_the_file_of_dead_letters(
    log: dict[str, Any] | None, path: str | None, tmp_path: Path
) -> None:
    named = recipe(sink=rest(), failure_log=log)
    assert loaded(tmp_path, named).dead_letters == (path and Path(path))
    assert loaded(tmp_path, named, dead_letters=Path("flag")).dead_letters == Path("flag")
    # A replay may be of that very file.
    assert load_delivery(named, {}, home=tmp_path).dead_letters is None


@pytest.mark.parametrize(
    ("flags", "browse_paths", "labels"),
    [
        ({}, True, (True, True)),
        ({"generate_browse_path_v2": False}, False, (True, True)),
        ({"generate_browse_path_v2_dry_run": True}, False, (True, True)),
        ({"set_system_metadata": False}, True, (False, True)),
        ({"set_system_metadata_pipeline_name": "false"}, True, (True, False)),
    ],
)
def test_flags_that_change_what_is_written(
    flags: dict[str, Any], browse_paths: bool, labels: tuple[bool, bool], tmp_path: Path
) -> None:
    found = loaded(tmp_path, recipe(flags=flags))
    assert (found.browse_paths, (found.labels_run, found.labels_pipeline)) == (browse_paths, labels)
    again = load_delivery(recipe(sink=rest(), flags=flags), {}, Flags(), home=tmp_path)
    assert (again.labels_run, again.labels_pipeline) == labels


SECRETS: dict[str, Any] = {
    "source": {
        "type": "mlflow",
        "config": {
            "tracking_uri": f"https://ann:{CANARY}@mlflow/base",
            "password": CANARY,
            "password_command": f"vault --token {CANARY}",
            "extra_headers": {"Authorization": f"Bearer {CANARY}", "X-Team": "${TEAM}"},
        },
    },
    "sink": {"type": "datahub-rest", "config": {"server": "http://gms", "token": "${DATAHUB_TOKEN}", "flag": True}},
    "datahub_api": {"server": "http://gms", "auth": {"type": "oidc", "config": {"client_secret": f"${CANARY}"}}},
    "recording": {"password": f"${{PASSWORD:-{CANARY}}}"},
    "transformers": [{"type": "x", "config": {"api_key": CANARY, "values": [1, None, {"a_token": []}]}}],
}


def test_a_recipe_is_shown_without_its_secrets() -> None:
    text = redacted_recipe(SECRETS)
    assert CANARY not in text
    shown = json.loads(text)
    assert shown["source"]["config"]["tracking_uri"] == "https://mlflow/base"
    assert shown["source"]["config"]["extra_headers"] == {"Authorization": "********", "X-Team": "${TEAM}"}
    assert shown["sink"]["config"] == {"server": "http://gms", "token": "${DATAHUB_TOKEN}", "flag": True}
    assert shown["transformers"][0]["config"] == {"api_key": "********", "values": [1, None, {"a_token": []}]}


def test_nothing_is_shown_that_datahub_hides() -> None:
    shown, official = json.loads(redacted_recipe(SECRETS)), redact_raw_config(SECRETS)

    def compare(ours: Any, theirs: Any) -> None:
        if isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            for key, value in theirs.items():
                compare(ours[key], value)
        elif theirs == "********":
            assert ours == theirs
        elif isinstance(theirs, list):
            for mine, other in zip(ours, theirs, strict=True):
                compare(mine, other)

    compare(shown, official)
