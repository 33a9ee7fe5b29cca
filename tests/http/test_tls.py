"""Certificates, good and bad, on real handshakes: verified unless told otherwise, and named when refused."""

from pathlib import Path

import pytest
from aiohttp import web

from crawler.errors import SettingsError, Unreachable
from crawler.http.tls import tls_context
from crawler.http.traffic import Traffic
from crawler.settings.servers import Tls
from tests.http.conftest import Certify, Connect, Serve


async def _hello(_: web.Request) -> web.Response:
    return web.json_response({})


async def test_a_ca_file_makes_a_certificate_trusted(serve: Serve, connect: Connect, certify: Certify) -> None:
    certificate = certify()
    url = await serve(_hello, certificate.server_context())
    server = await connect(url, tls=Tls(ca_certificate=certificate.file))
    assert (await server.get("/x")).status == 200


async def test_verification_can_be_turned_off(serve: Serve, connect: Connect, certify: Certify) -> None:
    url = await serve(_hello, certify("other.example", ends=-1).server_context())
    server = await connect(url, tls=Tls(verify=False))
    assert (await server.get("/x")).status == 200


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"ends": -1}, "has expired"),
        ({"starts": 5}, "is not valid yet"),
        ({"name": "other.example"}, "is for another host name"),
        ({"name": "10.0.0.1"}, "is for another host name"),
    ],
)
async def test_a_bad_certificate_is_named_and_not_tried_again(
    serve: Serve, connect: Connect, certify: Certify, made: dict[str, int] | dict[str, str], said: str
) -> None:
    certificate = certify(**made)
    url = await serve(_hello, certificate.server_context())
    server = await connect(url, tls=Tls(ca_certificate=certificate.file))
    with pytest.raises(Unreachable, match=said) as caught:
        await server.get("/x")
    assert url.removeprefix("https://") in str(caught.value)
    assert "disable_ssl_verification: true" in str(caught.value)


async def test_a_self_signed_certificate_names_the_ca_setting(
    serve: Serve, connect: Connect, certify: Certify, traffic: Traffic
) -> None:
    server = await connect(await serve(_hello, certify().server_context()))
    with pytest.raises(Unreachable, match=r"is self-signed .*ca_certificate"):
        await server.get("/x")
    assert (traffic.requests, traffic.retries) == (1, 0)


async def test_a_certificate_of_another_ca(serve: Serve, connect: Connect, certify: Certify) -> None:
    url = await serve(_hello, certify().server_context())
    server = await connect(url, tls=Tls(ca_certificate=certify("127.0.0.2").file))
    with pytest.raises(Unreachable, match=r"self-signed|unknown here"):
        await server.get("/x")


async def test_a_client_certificate_is_shown(serve: Serve, connect: Connect, certify: Certify) -> None:
    ours, theirs = certify("crawler.example"), certify()
    url = await serve(_hello, theirs.server_context(wanted_from_client=ours.file))
    tls = Tls(ca_certificate=theirs.file, client_certificate=ours.file, client_key=ours.key)
    server = await connect(url, tls=tls)
    assert (await server.get("/x")).status == 200


async def test_a_client_certificate_that_is_missing(serve: Serve, connect: Connect, certify: Certify) -> None:
    ours, theirs = certify("crawler.example"), certify()
    url = await serve(_hello, theirs.server_context(wanted_from_client=ours.file))
    server = await connect(url, tls=Tls(ca_certificate=theirs.file), attempts=2)
    with pytest.raises(Unreachable, match="client certificate"):
        await server.get("/x")


async def test_https_to_a_plain_server(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    url = await serve(_hello)
    server = await connect(url.replace("http://", "https://"))
    with pytest.raises(Unreachable, match="does not speak TLS") as caught:
        await server.get("/x")
    assert "write http://" in str(caught.value)
    assert traffic.requests == 1


async def test_http_to_a_tls_server(serve: Serve, connect: Connect, certify: Certify) -> None:
    url = await serve(_hello, certify().server_context())
    server = await connect(url.replace("https://", "http://"), attempts=2)
    with pytest.raises(Unreachable, match="write https://"):
        await server.get("/x")


async def test_a_ca_file_that_is_missing_or_broken(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"CA certificate for MLflow, .*gone\.pem, .*no such file"):
        await connect("https://127.0.0.1", tls=Tls(ca_certificate=tmp_path / "gone.pem"))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"broken\.pem, cannot be used") as caught:
        await connect("https://127.0.0.1", tls=Tls(ca_certificate=broken))
    assert "PEM" in str(caught.value)


def test_a_folder_of_ca_files_will_do(tmp_path: Path) -> None:
    assert tls_context("MLflow", Tls(ca_certificate=tmp_path)).get_ca_certs() == []


async def test_a_client_key_that_does_not_fit(connect: Connect, certify: Certify) -> None:
    one, other = certify("one.example"), certify("other.example")
    tls = Tls(client_certificate=one.file, client_key=other.key)
    with pytest.raises(SettingsError, match=r"client certificate for MLflow, .*mismatch"):
        await connect("https://127.0.0.1", tls=tls)


async def test_an_encrypted_client_key_does_not_ask_at_the_terminal(connect: Connect, certify: Certify) -> None:
    certificate = certify("one.example", password=b"password")
    tls = Tls(client_certificate=certificate.file, client_key=certificate.key)
    with pytest.raises(SettingsError, match="unencrypted key"):
        await connect("https://127.0.0.1", tls=tls)
