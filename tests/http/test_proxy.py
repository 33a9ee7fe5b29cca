"""The proxies that the environment names."""

import asyncio
import base64

import pytest
from aiohttp import web

from crawler.config.settings import Secret
from crawler.errors import RequestRefused, SettingsError, Unreachable
from tests.http.conftest import Connect, Serve, ServeRaw


async def test_a_proxy_is_used_with_its_own_credentials(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    async def proxy(request: web.Request) -> web.Response:
        seen.update(request.headers, target=request.raw_path)
        return web.json_response({})

    monkeypatch.setenv("http_proxy", (await serve(proxy)).replace("://", "://who:pr0xy-pw@"))
    server = await connect("http://mlflow.example:5000/ml", token=Secret("t0ken"))
    await server.get("/x")
    assert seen["target"] == "http://mlflow.example:5000/ml/x"
    assert seen["Authorization"] == "Bearer t0ken"
    assert seen["Proxy-Authorization"] == "Basic " + base64.b64encode(b"who:pr0xy-pw").decode()
    assert server._classifier._redact("who pr0xy-pw") == "who ***"


async def test_a_proxy_that_wants_a_login(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async def proxy(_: web.Request) -> web.Response:
        return web.Response(status=407)

    monkeypatch.setenv("http_proxy", await serve(proxy))
    server = await connect("http://mlflow.example:5000")
    with pytest.raises(RequestRefused, match=r"407.*The proxy wants credentials"):
        await server.get("/x")


async def test_a_proxy_that_does_not_tunnel(
    serve_raw: ServeRaw, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    url = await serve_raw(proxy)
    monkeypatch.setenv("https_proxy", url.replace("://", "://who:pr0xy-pw@"))
    server = await connect("https://mlflow.example")
    with pytest.raises(Unreachable, match=r"does not connect to MLflow at mlflow\.example:443: status 403") as caught:
        await server.get("/x")
    assert url.removeprefix("http://") in str(caught.value)
    assert "pr0xy-pw" not in str(caught.value)


async def test_a_proxy_where_nothing_listens(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    server = await connect("http://mlflow.example:5000", attempts=1)
    with pytest.raises(Unreachable, match=r"Nothing listens at 127\.0\.0\.1:1, the address of the proxy for MLflow"):
        await server.get("/x")


async def test_no_proxy_excepts_a_host(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.json_response({})

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert (await (await connect(await serve(hello))).get("/x")).status == 200


async def test_a_proxy_of_another_kind(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://u:pr0xy-pw@127.0.0.1:1080")
    with pytest.raises(SettingsError, match="Only HTTP proxies work") as caught:
        await connect("http://mlflow.example")
    assert "pr0xy-pw" not in str(caught.value)
