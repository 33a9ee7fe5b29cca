"""acryl-datahub's token providers sign in: by recipe, DATAHUB_AUTH_TYPE or a session of `datahub init --oauth`."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from datahub.emitter.token_provider import TokenProvider, TokenResult

from crawler.secrets.secret import Secret
from crawler.secrets.sources import read_secret
from crawler.settings.servers import ServerSettings
from tests.config.recipes import CANARY, datahub, loaded, recipe, refused, rest


class Tokens:
    """A server that gives a new token to whoever has the secret."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                tokens.asked.append({key: value for key, (value,) in form.items()})
                may = tokens.asked[-1].get("client_secret") in {None, CANARY}
                answer = {"access_token": f"token-{len(tokens.asked)}", "expires_in": 60} if may else {}
                self.send_response(200 if may else 401)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    made = Tokens()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Own(TokenProvider):  # type: ignore[misc]
    """Somebody's own."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def get_token(self) -> TokenResult:
        if self._config.get("fails"):
            raise RuntimeError(f"no: {self._config}")
        return TokenResult(self._config["given"])

    @classmethod
    def create(cls, config: dict[str, Any] | None) -> "Own":
        return cls(config or {})


OWN = f"{__name__}.Own"


def oidc(tokens: Tokens, secret: str = CANARY) -> dict[str, Any]:
    config = {"token_endpoint": tokens.url, "client_id": "crawler", "client_secret": secret, "scope": "gms"}
    return {"type": "oidc_client_credentials", "config": config}


def server_of(folder: Path, document: Any, env: dict[str, str] | None = None) -> ServerSettings:
    return datahub(loaded(folder, document, env)).server


def test_a_new_token_each_time(tokens: Tokens, tmp_path: Path) -> None:
    server = server_of(tmp_path, recipe(sink=rest(auth=oidc(tokens))))
    assert server.token == Secret("token-1")
    assert server.renewal is not None
    assert read_secret(server.renewal) == Secret("token-2")
    assert CANARY not in repr(server)
    assert tokens.asked[0] == {
        "grant_type": "client_credentials",
        "client_id": "crawler",
        "client_secret": CANARY,
        "scope": "gms",
    }


def test_of_datahub_api(tokens: Tokens, tmp_path: Path) -> None:
    tags = {"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"]}}
    api = {"server": "http://other", "auth": oidc(tokens)}
    graph = loaded(tmp_path, recipe(sink={"type": "file"}, transformers=[tags], datahub_api=api)).graph
    assert graph is not None
    assert graph.token == Secret("token-1")


def test_of_the_environment(tokens: Tokens, tmp_path: Path) -> None:
    env = {
        "DATAHUB_GMS_URL": "http://gms:8080",
        "DATAHUB_AUTH_TYPE": "oidc_client_credentials",
        "DATAHUB_AUTH_TOKEN_ENDPOINT": tokens.url,
        "DATAHUB_AUTH_CLIENT_ID": "crawler",
        "DATAHUB_AUTH_CLIENT_SECRET": CANARY,
        "DATAHUB_AUTH_AUDIENCE": "gms",
    }
    assert server_of(tmp_path, recipe(), env).token == Secret("token-1")
    assert server_of(tmp_path, recipe(sink=rest()), env).token == Secret("token-2")
    assert tokens.asked[0]["audience"] == "gms"
    # Nobody is asked where these are not sent.
    assert server_of(tmp_path, recipe(sink=rest(token="mine")), env).token == Secret("mine")
    assert server_of(tmp_path, recipe(sink=rest(server="http://other")), env).token is None
    assert len(tokens.asked) == 2


def expiring(at: float) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"exp": at})]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


def test_of_a_session_of_datahub_init(tokens: Tokens, tmp_path: Path) -> None:
    session = {"refresh_token": "r", "client_id": "cli", "token_endpoint": tokens.url}
    stored = {"gms": {"server": "http://gms", "token": expiring(time.time() + 1)}, "oauth": session}
    (tmp_path / ".datahubenv").write_text(yaml.safe_dump(stored))
    server = server_of(tmp_path, recipe())
    assert server.token == Secret("token-1")
    assert tokens.asked == [{"grant_type": "refresh_token", "refresh_token": "r", "client_id": "cli"}]
    assert yaml.safe_load((tmp_path / ".datahubenv").read_text())["gms"]["token"] == "token-1"


def test_one_of_ones_own(tmp_path: Path) -> None:
    assert server_of(tmp_path, recipe(sink=rest(auth={"type": OWN, "config": {"given": "t"}}))).token == Secret("t")


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ({"type": "something"}, "sink.config.auth: unknown type 'something'."),
        ({"type": "no.such:Class"}, "sink.config.auth: no.such:Class gives no token: ModuleNotFoundError: No module"),
        (
            {"type": "azure_entra", "config": {"tenant_id": "t", "client_secret": CANARY}},
            "sink.config.auth: azure_entra cannot be used: client_id: Field required; scope: Field required.",
        ),
        (
            {"type": "azure_entra", "config": {"tenant_id": "t", "client_id": "c", "scope": "s"}},
            "sink.config.auth: azure_entra gives no token: ConfigurationError: The azure_entra token provider requires",
        ),
        (
            {"type": OWN, "config": {"fails": True, "client_secret": CANARY, "url": f"http://ann:{CANARY}@a"}},
            f"sink.config.auth: {OWN} gives no token: RuntimeError: no: {{'client_secret': '***', 'fails'",
        ),
        ({"type": "static"}, "sink.config.auth: static lacks its token."),
    ],
)
def test_why_there_is_no_token(auth: dict[str, Any], told: str, tmp_path: Path) -> None:
    message = refused(tmp_path, recipe(sink=rest(auth=auth)))
    assert message.startswith(told)
    assert CANARY not in message


def test_a_server_that_refuses(tokens: Tokens, tmp_path: Path) -> None:
    told = refused(tmp_path, recipe(sink=rest(auth=oidc(tokens, "wr0ng-s3cr3t"))))
    assert "401" in told
    assert "wr0ng" not in told


def test_variables_that_are_missing_are_named(tmp_path: Path) -> None:
    env = {"DATAHUB_GMS_URL": "http://g", "DATAHUB_AUTH_TYPE": "azure_entra", "DATAHUB_AUTH_AZURE_SCOPE": "s"}
    told = "DATAHUB_AUTH_TYPE: azure_entra cannot be used: DATAHUB_AUTH_AZURE_TENANT_ID: Field required; "
    assert refused(tmp_path, recipe(), env).startswith(f"{told}DATAHUB_AUTH_AZURE_CLIENT_ID: Field required.")
