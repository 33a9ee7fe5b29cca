"""The same recipe and variables, by DataHub's own classes and by us: the same server, the same Authorization header."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from datahub.cli import config_utils
from datahub.ingestion.sink.datahub_rest import DatahubRestSink, DatahubRestSinkConfig

from crawler.errors import SettingsError
from crawler.http.credentials import credentials_of, request_headers
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import parse_address
from tests.config.recipes import datahub, loaded, recipe

Recipe = dict[str, Any] | None
A, B = "http://a.example:8080", "http://b.example:8080"
NETRC = "machine a.example login net password rc\n"
SINKS: dict[str, Recipe] = {
    "none": None,
    "from env": {"server": "__from_env__"},
    "from env, token": {"server": "__from_env__", "token": "recipe"},
    "server": {"server": A},
    "server, token": {"server": A, "token": "recipe"},
    "server with user": {"server": "http://ann:pw@a.example:8080"},
    "server with user, token": {"server": "http://ann:pw@a.example:8080", "token": "recipe"},
    "server, header": {"server": A, "extra_headers": {"Authorization": "Key 1"}},
    "server, static": {"server": A, "auth": {"type": "static", "config": {"token": "recipe"}}},
    "server, pat": {"server": A, "auth": {"type": "pat", "config": {"token": "recipe"}}},
}
VARIABLES: dict[str, dict[str, str]] = {
    "nothing": {},
    "the same": {"DATAHUB_GMS_URL": A},
    "another": {"DATAHUB_GMS_URL": B},
    "host and port": {"DATAHUB_GMS_HOST": "b.example", "DATAHUB_GMS_PORT": "8080", "DATAHUB_GMS_URL": A},
    "token": {"DATAHUB_GMS_TOKEN": "env"},
    "the same, token": {"DATAHUB_GMS_URL": A + "/", "DATAHUB_GMS_TOKEN": "env"},
    "another, token": {"DATAHUB_GMS_URL": B, "DATAHUB_GMS_TOKEN": "env"},
    "the same, pat": {"DATAHUB_GMS_URL": A, "DATAHUB_GMS_TOKEN": "env", "DATAHUB_AUTH_TYPE": "pat"},
    "another, pat": {"DATAHUB_GMS_URL": B, "DATAHUB_GMS_TOKEN": "env", "DATAHUB_AUTH_TYPE": "pat"},
    "pat": {"DATAHUB_GMS_TOKEN": "env", "DATAHUB_AUTH_TYPE": "pat"},
    "the same, pat of a file": {"DATAHUB_GMS_URL": A, "DATAHUB_AUTH_TYPE": "pat", "DATAHUB_AUTH_TOKEN_FILE": "FILE"},
    "the same, k8s": {"DATAHUB_GMS_URL": A, "DATAHUB_AUTH_TYPE": "k8s_oidc", "DATAHUB_AUTH_TOKEN_FILE": "FILE"},
    "system": {"DATAHUB_SYSTEM_CLIENT_ID": "sys", "DATAHUB_SYSTEM_CLIENT_SECRET": "s3"},
    "the same, system": {
        "DATAHUB_GMS_URL": A,
        "DATAHUB_SYSTEM_CLIENT_ID": "sys",
        "DATAHUB_SYSTEM_CLIENT_SECRET": "s3",
    },
    "the same, token, system": {
        "DATAHUB_GMS_URL": A,
        "DATAHUB_GMS_TOKEN": "env",
        "DATAHUB_SYSTEM_CLIENT_ID": "sys",
        "DATAHUB_SYSTEM_CLIENT_SECRET": "s3",
    },
    "skip": {"DATAHUB_SKIP_CONFIG": "true"},
}
STORED = {"nothing": None, "token": {"server": B, "token": "stored"}, "server": {"server": B}}
OWN_SIGN_IN = {"server with user", "server, header"}
"""Where DataHub's sink sends the token of DATAHUB_AUTH_TYPE although the recipe says otherwise how to sign in."""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without anything, for both sides."""
    for name in list(os.environ):
        if name.startswith(("DATAHUB_", "NETRC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config_utils, "DATAHUB_CONFIG_PATH", str(tmp_path / ".datahubenv"))
    (tmp_path / "token").write_text("of-file\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_the_same_server_and_credentials(sink: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, stored in itertools.product(VARIABLES, STORED):
        environment = {key: value.replace("FILE", str(home / "token")) for key, value in VARIABLES[name].items()}
        ours, theirs = both(sink, environment, stored, home, monkeypatch)
        if sink in OWN_SIGN_IN and name.startswith("the same") and "DATAHUB_AUTH_TYPE" in environment:
            assert theirs != ours == both(sink, {}, stored, home, monkeypatch)[1], f"{name}; {stored}"
        else:
            assert ours == theirs, f"{name}; {stored}"


SYSTEM = {"DATAHUB_SYSTEM_CLIENT_ID": "sys", "DATAHUB_SYSTEM_CLIENT_SECRET": "s3"}


def test_the_system_client_is_not_for_another_server_than_the_environments(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here DataHub's sink would send it, to whichever server the recipe names."""
    ours, theirs = both("server", SYSTEM | {"DATAHUB_GMS_URL": B}, "nothing", home, monkeypatch)
    assert (ours, theirs) == ((f"{A}/config", None), (f"{A}/config", "Basic sys:s3"))


@pytest.mark.parametrize("content", [NETRC, "default login net password rc", "machine other login a password b", "?"])
@pytest.mark.parametrize("file", [".netrc", "_netrc", "elsewhere"])
def test_netrc_is_for_servers_without_other_credentials(
    file: str, content: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / file
    path.write_text(content)
    path.chmod(0o600)
    environment = {"NETRC": str(path)} if file == "elsewhere" else {}
    for sink in ("server", "none", "from env"):
        ours, theirs = both(sink, environment | {"DATAHUB_GMS_URL": A}, "nothing", home, monkeypatch)
        assert ours == theirs
    ours, _ = both("server, token", environment, "nothing", home, monkeypatch)
    assert ours == (f"{A}/config", "Bearer recipe"), "here requests would send that of ~/.netrc"


Request = tuple[str, str | None] | None


def both(
    sink: str, environment: dict[str, str], stored: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Request, Request]:
    """Our request and DataHub's."""
    (home / ".datahubenv").unlink(missing_ok=True)
    if STORED[stored] is not None:
        (home / ".datahubenv").write_text(yaml.safe_dump({"gms": STORED[stored]}))
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return our_request(home, SINKS[sink], environment), official_request(SINKS[sink])


def official_request(config: Recipe) -> Request:
    """The URL and the Authorization header of a request that DataHub's own sink sends; None if it does not start."""
    try:
        if config is None:
            loaded_config = config_utils.load_client_config()
            settings = DatahubRestSinkConfig(**loaded_config.model_dump())
        else:
            settings = DatahubRestSinkConfig.model_validate(config)
        emitter = DatahubRestSink.make_emitter(settings)
    except (Exception, SystemExit):  # noqa: BLE001  whatever it is: it does not start
        return None
    sent = emitter._session.prepare_request(requests.Request("GET", f"{emitter._gms_server}/config"))
    authorization = sent.headers.get("Authorization")
    url = parse_address(str(sent.url), "", "")
    return url.url, authorization if authorization is None else str(authorization)


def our_request(home: Path, config: Recipe, environment: Mapping[str, str]) -> Request:
    """The same of ours."""
    sink = None if config is None else {"type": "datahub-rest", "config": config}
    try:
        found = loaded(home, recipe(sink=sink), dict(environment))
        server = datahub(found).server
    except (SettingsError, AssertionError):
        return None
    return f"{server.url}/config", authorization_of(server)


def authorization_of(server: ServerSettings) -> str | None:
    """What a server is sent."""
    credentials = credentials_of(server, parse_address(server.url, "", ""))
    return request_headers("DataHub", server, credentials).get("Authorization")
