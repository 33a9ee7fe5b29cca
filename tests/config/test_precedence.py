"""What wins over what: defaults < ~/.datahubenv < environment < recipe < flags; and which sink is meant."""

from pathlib import Path
from typing import Any

import pytest

from crawler.secrets.secret import Secret
from crawler.settings.patterns import ALL
from crawler.settings.sinks import Endpoint, FileSettings, LiteSettings, RestSettings
from tests.config.recipes import datahub, loaded, recipe, refused, rest

STORED = "gms: {server: 'http://stored', token: stored-token, timeout_sec: 9, unknown-to-us: 1}"
GMS = {"DATAHUB_GMS_URL": "http://env"}
NOTE = "No DataHub is configured, so the proposals are written to mlflow-datahub.json."
A_FILE = {"type": "file", "config": {"filename": "a.json", "legacy_nested_json_string": True}}
A_LITE = {"type": "datahub-lite", "config": {"type": "duckdb", "config": {"file": "a.db"}}}


def test_later_layers_win_at_datahub(tmp_path: Path) -> None:
    def server(sink: Any = None, env: dict[str, str] | None = None, **flags: Any) -> tuple[str, str | None, float]:
        found = datahub(loaded(tmp_path, recipe(sink=sink), env, **flags)).server
        return found.url, found.token.reveal() if found.token else None, found.timeout

    (tmp_path / ".datahubenv").write_text(STORED)
    assert server() == ("http://stored", "stored-token", 9)
    assert server({"type": "datahub-rest"}) == ("http://stored", "stored-token", 9)
    assert server({"type": "datahub-rest", "config": {"timeout_sec": 5}}) == ("http://stored", "stored-token", 5)
    assert server({"type": "datahub-rest", "config": {"token": "mine"}}) == ("http://stored", "mine", 9)
    assert server(rest()) == ("http://gms:8080", None, 60)
    assert server(rest(token="r"), GMS) == ("http://gms:8080", "r", 60)
    assert server(rest(token="r"), GMS | {"DATAHUB_GMS_TOKEN": "e"}) == ("http://gms:8080", "r", 60)
    assert server({"type": "datahub-rest"}, GMS | {"DATAHUB_GMS_TOKEN": "e"}) == ("http://env", "e", 60)
    assert server({"type": "datahub-rest", "config": {"token": "r"}}, GMS) == ("http://env", "r", 60)
    assert server(rest(token="r"), GMS, datahub_url="http://flag:3/") == ("http://flag:3", None, 60)
    assert server(rest(token="r"), GMS, datahub_url="http://gms:8080/") == ("http://gms:8080", "r", 60)
    assert server(rest(timeout_sec=None)) == ("http://gms:8080", None, 60)


def test_later_layers_win_at_mlflow(tmp_path: Path) -> None:
    def url(env: dict[str, str] | None = None, **flags: Any) -> str:
        return loaded(tmp_path, recipe(), env, **flags).mlflow.tracking.url

    env = {"MLFLOW_TRACKING_URI": "http://env"}
    assert url() == "http://mlflow:5000"
    assert url(env) == "http://mlflow:5000"
    assert url(env, mlflow_uri="http://flag") == "http://flag"
    assert loaded(tmp_path, {"source": {"type": "mlflow"}}, env).mlflow.tracking.url == "http://env"
    assert url({"MLFLOW_TRACKING_URI": ""}) == "http://mlflow:5000"


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "9"}, "http://h:9"),
        ({"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "9", "DATAHUB_GMS_PROTOCOL": "https"}, "https://h:9"),
        ({"DATAHUB_GMS_HOST": "h"}, "http://h:8080"),
        ({"DATAHUB_GMS_HOST": "https://h/api"}, "https://h/api"),
        (GMS | {"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "9"}, "http://h:9"),
        (GMS | {"DATAHUB_GMS_HOST": "h"}, "http://env"),
        # Kubernetes sets this for every service named datahub-gms.
        (GMS | {"DATAHUB_GMS_PORT": "tcp://10.0.0.1:8080"}, "http://env"),
        ({"DATAHUB_GMS_PORT": "tcp://10.0.0.1:8080"}, "http://stored"),
    ],
)
def test_the_parts_of_datahubs_address(env: dict[str, str], url: str, tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text(STORED)
    assert datahub(loaded(tmp_path, recipe(), env)).server.url == url


def test_the_endpoint_of_the_environment_is_a_default(tmp_path: Path) -> None:
    def endpoint(config: dict[str, Any], env: dict[str, str], **flags: Any) -> Endpoint:
        return datahub(loaded(tmp_path, recipe(sink=rest(**config)), env, **flags)).endpoint

    env = {"DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT": "openapi"}
    assert endpoint({}, {}) is Endpoint.RESTLI
    assert endpoint({}, env) is Endpoint.OPENAPI
    assert endpoint({"endpoint": "RESTLI"}, env) is Endpoint.RESTLI
    assert endpoint({"endpoint": "RESTLI"}, {}, endpoint=Endpoint.OPENAPI) is Endpoint.OPENAPI
    wrong = {"DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT": "graphql"}
    message = refused(tmp_path, recipe(sink=rest()), wrong)
    assert message.startswith("DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT: DataHub has no endpoint 'graphql'. Set RESTLI")


def test_flags_win_over_numbers(tmp_path: Path) -> None:
    numbers = {"page_size": 7, "max_threads": 7, "requests_per_second": 7}
    flags: dict[str, Any] = {
        "page_size": 1,
        "mlflow_concurrency": 2,
        "mlflow_rps": 3.0,
        "datahub_concurrency": 4,
        "batch_size": 5,
    }
    found = loaded(tmp_path, recipe(numbers, rest(max_threads=7, max_per_batch=7)), **flags)
    tracking = found.mlflow.tracking
    assert (found.mlflow.page_size, tracking.concurrency, tracking.requests_per_second) == (1, 2, 3.0)
    assert (datahub(found).server.concurrency, datahub(found).batch_size) == (4, 5)


def test_flags_that_a_recipe_has_no_word_for(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe(sink=rest()), dead_letters=Path("d.jsonl"), dry_run=True, validate=True)
    assert (found.dead_letters, found.dry_run, found.validate) == (Path("d.jsonl"), True, True)


SINKS: list[tuple[Any, dict[str, Any], Any]] = [
    (A_FILE, {}, FileSettings(path=Path("a.json"), nested_json=True)),
    (A_FILE, {"output": Path("b.json")}, FileSettings(path=Path("b.json"), nested_json=True)),
    (A_FILE, {"sink": "lite", "output": Path("b.db")}, LiteSettings(path=Path("b.db"))),
    (A_FILE, {"sink": "rest"}, RestSettings),
    (A_FILE, {"datahub_url": "http://flag"}, RestSettings),
    (A_LITE, {}, LiteSettings(path=Path("a.db"), kind="duckdb")),
    (A_LITE, {"output": Path("b.db")}, LiteSettings(path=Path("b.db"), kind="duckdb")),
    (A_LITE, {"sink": "file"}, FileSettings(path=Path("mlflow-datahub.json"))),
    (rest(), {}, RestSettings),
    (rest(), {"output": Path("b.json")}, FileSettings(path=Path("b.json"))),
    (rest(), {"output": Path("-")}, FileSettings(path=Path("-"))),
    (None, {}, RestSettings),
    (None, {"sink": "file"}, FileSettings(path=Path("mlflow-datahub.json"))),
    (None, {"output": Path("b.json")}, FileSettings(path=Path("b.json"))),
    (None, {"sink": "lite", "output": Path("b.db")}, LiteSettings(path=Path("b.db"))),
    ({"type": "console"}, {"sink": "file"}, FileSettings(path=Path("mlflow-datahub.json"))),
    ({"type": "file"}, {}, FileSettings(path=Path("mlflow-datahub.json"))),
    ({"type": "console"}, {}, FileSettings(path=Path("-"), lines=True)),
]


@pytest.mark.parametrize(("sink", "flags", "expected"), SINKS)
def test_which_sink(sink: Any, flags: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    """With DATAHUB_GMS_URL set all the while: it gives an address, and is no wish to write there."""
    found = loaded(tmp_path, recipe(sink=sink), GMS, **flags)
    if expected is RestSettings:
        in_recipe = "http://gms:8080" if sink == rest() else "http://env"
        assert datahub(found).server.url == flags.get("datahub_url", in_recipe)
    else:
        assert found.sink == expected
    assert found.notes == ()


def test_the_default_catalog_is_datahubs_own(tmp_path: Path) -> None:
    expected = LiteSettings(path=tmp_path / ".datahub/lite/datahub.db")
    assert loaded(tmp_path, recipe(), sink="lite").sink == expected
    assert loaded(tmp_path, recipe(sink={"type": "datahub-lite"})).sink == expected


@pytest.mark.parametrize("env", [{}, {"DATAHUB_SKIP_CONFIG": "true"}, {"DATAHUB_GMS_TOKEN": "alone"}])
def test_nothing_configured_is_a_file_and_a_note(env: dict[str, str], tmp_path: Path) -> None:
    if env.get("DATAHUB_SKIP_CONFIG"):
        (tmp_path / ".datahubenv").write_text(STORED)
    found = loaded(tmp_path, recipe(), env)
    assert (found.sink, found.notes) == (FileSettings(path=Path("mlflow-datahub.json")), (NOTE,))
    assert loaded(tmp_path, recipe(), env, dry_run=True).notes == ()


@pytest.mark.parametrize("sink", [{"type": "datahub-rest"}, rest(server=None), rest(server="__from_env__")])
def test_rest_without_a_server(sink: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, recipe(sink=sink)).startswith("No DataHub server is given. Use --datahub-url,")
    assert datahub(loaded(tmp_path, recipe(sink=sink), GMS)).server.url == "http://env"


def test_from_env_does_not_look_into_datahubenv(tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text(STORED)
    assert "No DataHub server is given" in refused(tmp_path, recipe(sink=rest(server="__from_env__")))


@pytest.mark.parametrize(
    "flags",
    [
        {"datahub_url": "http://gms", "output": Path("x.json")},
        {"datahub_url": "http://gms", "sink": "file"},
        {"datahub_url": "http://gms", "sink": "lite"},
        {"sink": "rest", "output": Path("x.json")},
    ],
)
def test_two_places_to_write_to_are_refused(flags: dict[str, Any], tmp_path: Path) -> None:
    told = refused(tmp_path, recipe(sink=rest()), **flags)
    assert "two places" in told or "--output has no meaning" in told


@pytest.mark.parametrize("content", ["gms: [", "gms: 1", "- 1", "", "gms: {server: 1}", "gms: {token: [x]}"])
def test_a_broken_datahubenv_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text(content)
    assert ".datahubenv" in refused(tmp_path, recipe())
    assert datahub(loaded(tmp_path, recipe(), GMS)).server.token is None
    assert datahub(loaded(tmp_path, recipe(sink=rest(token="t")))).server.token == Secret("t")


def test_the_first_place_that_chooses_workspaces_counts(tmp_path: Path) -> None:
    by_pattern = recipe({"workspace_pattern": {"allow": ["team"]}})
    of_environment = {"MLFLOW_WORKSPACE": "team-b"}
    found = loaded(tmp_path, by_pattern, of_environment)
    assert (found.mlflow.workspace, found.selection.workspace_pattern.allow) == (None, ("team",))
    found = loaded(tmp_path, by_pattern, of_environment, workspace="team-c")
    assert (found.mlflow.workspace, found.selection.workspace_pattern) == ("team-c", ALL)
