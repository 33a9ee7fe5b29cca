"""Which certificates are trusted: the recipe's, the client's variable, those of requests, of OpenSSL."""

import ssl
from pathlib import Path

import pytest
from aiohttp import web

from crawler.errors import Unreachable
from crawler.http.tls import tls_context
from crawler.settings.servers import Tls
from tests.config.recipes import datahub, loaded, recipe, rest
from tests.http.conftest import Certify, Connect, Serve, certify, connect, naps, serve, traffic

__all__ = ["certify", "connect", "naps", "serve", "traffic"]

HTTPS = {"tracking_uri": "https://mlflow"}
VARIABLES = ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]


@pytest.mark.parametrize("first", range(3))
def test_the_first_variable_counts(first: int, tmp_path: Path) -> None:
    env = {name: f"/{name}" for name in VARIABLES[first:]} | {"SSL_CERT_FILE": "/ssl"}
    found = loaded(tmp_path, recipe(HTTPS, rest(server="https://gms")), env)
    assert found.mlflow.tracking.tls.ca_certificate == Path(f"/{VARIABLES[first]}")
    for_all = [name for name in VARIABLES[first:] if not name.startswith("MLFLOW")]
    assert datahub(found).server.tls.ca_certificate == Path(f"/{for_all[0]}")


def test_the_recipe_counts_before_them(tmp_path: Path) -> None:
    env = dict.fromkeys(VARIABLES, "/variable")
    found = loaded(tmp_path, recipe(HTTPS | {"ca_certificate_path": "/mine"}), env)
    assert found.mlflow.tracking.tls == Tls(ca_certificate=Path("/mine"))
    found = loaded(tmp_path, recipe(HTTPS | {"disable_ssl_verification": True}), env)
    assert found.mlflow.tracking.tls == Tls(verify=False)


def test_a_plain_server_needs_none(tmp_path: Path) -> None:
    env = {"REQUESTS_CA_BUNDLE": "/not/there", "CURL_CA_BUNDLE": "/not/there"}
    assert loaded(tmp_path, recipe(), env).mlflow.tracking.tls == Tls()


async def test_a_server_is_trusted_by_requests_variable(
    tmp_path: Path, serve: Serve, connect: Connect, certify: Certify
) -> None:
    certificate = certify()

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({})

    url = await serve(hello, certificate.server_context())
    env = {"REQUESTS_CA_BUNDLE": str(certificate.file)}
    server = await connect(url, tls=loaded(tmp_path, recipe({"tracking_uri": url}), env).mlflow.tracking.tls)
    assert (await server.get("/x")).status == 200
    server = await connect(url, tls=loaded(tmp_path, recipe({"tracking_uri": url})).mlflow.tracking.tls)
    with pytest.raises(Unreachable, match="is self-signed"):
        await server.get("/x")


def test_ssl_cert_file_replaces_the_systems(certify: Certify, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certify()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    monkeypatch.setenv("SSL_CERT_DIR", "/not/there")
    trusted = tls_context("MLflow", Tls()).get_ca_certs(binary_form=True)
    assert trusted == [ssl.PEM_cert_to_DER_cert(certificate.file.read_text())]
