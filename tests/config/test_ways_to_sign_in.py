"""Ways to sign in that are not supported are named, where they are meant; and what is not sent is told."""

from pathlib import Path
from typing import Any

import pytest

from crawler.secrets.secret import Secret
from tests.config.recipes import CANARY, datahub, loaded, recipe, refused, rest

SIGV4 = {"MLFLOW_TRACKING_AWS_SIGV4": "true"}
PLUGIN = {"MLFLOW_TRACKING_AUTH": "corporate"}
NO_SERVER: dict[str, Any] = {"source": {"type": "mlflow"}}


@pytest.mark.parametrize("document", [NO_SERVER, recipe()])
@pytest.mark.parametrize("env", [SIGV4, PLUGIN, SIGV4 | {"MLFLOW_TRACKING_TOKEN": "t"}])
def test_mlflows_other_ways(document: Any, env: dict[str, str], tmp_path: Path) -> None:
    name = next(iter(env))
    told = refused(tmp_path, document, env | {"MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    assert told.startswith(f"{name}: ")
    assert "not supported" in told
    assert f"Unset {name}, or give" in told


@pytest.mark.parametrize(
    ("source", "env"),
    [
        ({"token": "t"}, SIGV4),
        ({"username": "ann", "password": "pw"}, PLUGIN),
        ({"extra_headers": {"Authorization": "Key 1"}}, PLUGIN),
        ({}, SIGV4 | {"MLFLOW_TRACKING_URI": "http://other"}),
        ({}, {"MLFLOW_TRACKING_AWS_SIGV4": "false"}),
        ({}, {"MLFLOW_TRACKING_AUTH": ""}),
    ],
)
def test_they_are_not_meant_where_the_recipe_says_how_or_names_another_server(
    source: dict[str, Any], env: dict[str, str], tmp_path: Path
) -> None:
    assert loaded(tmp_path, recipe(source), env).mlflow.tracking.url == "http://mlflow:5000"


def test_pat_needs_a_token(tmp_path: Path) -> None:
    told = refused(tmp_path, recipe(), {"DATAHUB_GMS_URL": "http://gms", "DATAHUB_AUTH_TYPE": "pat"})
    assert told.startswith("DATAHUB_AUTH_TYPE: pat lacks its token.")
    assert "DATAHUB_AUTH_TOKEN_FILE" in told
    assert datahub(loaded(tmp_path, recipe(sink=rest(token="t")), {"DATAHUB_AUTH_TYPE": "pat"})).server.token == Secret(
        "t"
    )


def test_a_token_file_of_the_environment_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(CANARY)
    env = {"DATAHUB_GMS_URL": "http://g", "DATAHUB_AUTH_TYPE": "pat", "DATAHUB_AUTH_TOKEN_FILE": str(tmp_path / "t")}
    server = datahub(loaded(tmp_path, recipe(), env)).server
    assert server.token == Secret(CANARY)
    assert server.renewal is not None
    assert server.renewal.option == "DATAHUB_AUTH_TOKEN_FILE"


@pytest.mark.parametrize(
    ("document", "env", "flags", "note"),
    [
        (
            recipe(),
            {"MLFLOW_TRACKING_URI": "http://other", "MLFLOW_TRACKING_TOKEN": CANARY},
            {},
            "MLFLOW_TRACKING_TOKEN is not sent to http://mlflow:5000: it is for another server.",
        ),
        (
            recipe({"token": CANARY}),
            {},
            {"mlflow_uri": "http://other"},
            "source.config.token is not sent to http://other: it is for another server.",
        ),
        (
            recipe(sink=rest(token=CANARY)),
            {},
            {"datahub_url": "http://other"},
            "sink.config.token is not sent to http://other: it is for another server.",
        ),
        (
            recipe(sink=rest()),
            {"DATAHUB_GMS_URL": "http://gms:8080", "DATAHUB_GMS_TOKEN": CANARY},
            {},
            "DATAHUB_GMS_TOKEN is not sent to the recipe's DataHub, as in `datahub ingest`: ",
        ),
    ],
)
def test_what_is_not_sent_is_told(
    document: Any, env: dict[str, str], flags: dict[str, Any], note: str, tmp_path: Path
) -> None:
    found = loaded(tmp_path, document, env, **flags)
    assert [each for each in found.notes if each.startswith(note)]
    assert (found.mlflow.tracking.token, CANARY in str(found.notes)) == (None, False)


def test_headers_of_a_recipe_are_for_its_server(tmp_path: Path) -> None:
    document = recipe({"extra_headers": {"X": CANARY}}, rest(extra_headers={"Y": CANARY}))
    found = loaded(tmp_path, document, mlflow_uri="http://other", datahub_url="http://other")
    assert (found.mlflow.tracking.headers, datahub(found).server.headers) == ({}, {})
    found = loaded(tmp_path, document, mlflow_uri="http://mlflow:5000/", datahub_url="http://gms:8080")
    assert (set(found.mlflow.tracking.headers), set(datahub(found).server.headers)) == ({"X"}, {"Y"})


def test_a_token_goes_where_a_flag_leads_if_nobody_names_another_server(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_TOKEN": "m", "DATAHUB_GMS_TOKEN": "d"}
    found = loaded(tmp_path, NO_SERVER, env, mlflow_uri="http://flag", datahub_url="http://flag")
    assert (found.mlflow.tracking.token, datahub(found).server.token) == (Secret("m"), Secret("d"))
