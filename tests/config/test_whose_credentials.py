"""Which credentials a server is shown, and that no message shows them."""

from pathlib import Path

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.crawl import Settings
from crawler.settings.servers import Tls
from crawler.settings.sinks import RestSettings

CANARY = "c4n4ry-s3cr3t"
STORED = f"gms: {{server: 'http://stored:8080/', token: {CANARY}}}"


def loaded(folder: Path, recipe: str = "{}", env: dict[str, str] | None = None, **flags: str) -> Settings:
    path = folder / "recipe.yml"
    path.write_text(recipe)
    return load(path, {"MLFLOW_TRACKING_URI": "http://m"} | (env or {}), Flags(**flags), home=folder)  # type: ignore[arg-type]


def mlflow(options: str) -> str:
    return f"source: {{type: mlflow, config: {{{options}}}}}"


def token(settings: Settings) -> Secret | None:
    assert isinstance(settings.sink, RestSettings)
    return settings.sink.server.token


def test_a_stored_token_goes_to_its_server_only(tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text(STORED)
    assert token(loaded(tmp_path)) == Secret(CANARY)
    assert token(loaded(tmp_path, datahub_url="http://stored:8080")) == Secret(CANARY)
    assert token(loaded(tmp_path, datahub_url="http://other:8080")) is None
    assert token(loaded(tmp_path, env={"DATAHUB_GMS_URL": "http://other:8080"})) is None
    assert token(loaded(tmp_path, env={"DATAHUB_GMS_TOKEN": "t"}, datahub_url="http://other:8080")) == Secret("t")


def test_datahubenv_also_tells_how_to_connect(tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text(
        "gms: {server: 'https://gms', ca_certificate_path: /ca.pem, tcp_keepalive: false, auth: null}"
    )
    sink = loaded(tmp_path).sink
    assert isinstance(sink, RestSettings)
    assert sink.server.tls == Tls(ca_certificate=Path("/ca.pem"))


def test_client_certificates_come_from_the_environment_too(tmp_path: Path) -> None:
    env = {"DATAHUB_CLIENT_CERT_PATH": "/c.pem", "DATAHUB_CLIENT_KEY_PATH": "/k.pem", "DATAHUB_GMS_URL": "https://gms"}
    sink = loaded(tmp_path, env=env).sink
    assert isinstance(sink, RestSettings)
    assert sink.server.tls == Tls(client_certificate=Path("/c.pem"), client_key=Path("/k.pem"))


def test_empty_variables_are_options_left_out(tmp_path: Path) -> None:
    empty = "username: '${A:-}', password: '${B:-}', ca_certificate_path: '${C:-}', platform_instance: '${D:-}'"
    found = loaded(
        tmp_path, mlflow(empty) + "\nsink: {type: datahub-rest, config: {server: http://g, token: '${E:-}'}}"
    )
    server = found.mlflow.tracking
    assert (server.username, server.password, server.tls, found.mapping.platform_instance) == (None, None, Tls(), None)
    assert token(found) is None


@pytest.mark.parametrize("options", ["model_name_separator: '${A:-}'", "model_name_separator: ''"])
def test_an_empty_text_stays_where_it_has_a_meaning(options: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, mlflow(options)).mapping.model_name_separator == ""


@pytest.mark.parametrize("user_info", ["", f"u:{CANARY}@"])
def test_links_hold_no_user_info(user_info: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, mlflow(f"base_external_url: 'https://{user_info}ui/base/'"))
    assert found.mapping.ui_url == "https://ui/base/"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (mlflow(f"password:{CANARY}"), "source.config: unknown key 'password:…'. Put a space behind the colon."),
        (mlflow("username: u, password: 0123"), "source.config.password: expected a text in quotes, got int."),
        (mlflow("username: u, password: '${NOT_SET:?}'"), "source.config.password: the variable NOT_SET is not set."),
        (mlflow("ca_certificate_path: ~no-such-user/ca"), "source.config.ca_certificate_path: expected a path"),
        ("source: {type: mlflow, config: {1: 2}}", "source.config: unknown key 1. Known are: "),
    ],
)
def test_messages_name_the_place_and_hold_no_secret(recipe: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, recipe)
    assert message in str(caught.value)
    assert CANARY not in str(caught.value)
