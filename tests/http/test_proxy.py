"""The proxies that the environment names."""

import asyncio
import base64
import itertools

import pytest
import requests
from aiohttp import web

from crawler.errors import RequestRefused, SettingsError, Unreachable
from crawler.http.proxy import proxy_for
from crawler.secrets.secret import Secret
from crawler.settings.urls import parse_address
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


URLS = [
    *("http://127.0.0.1:5000", "http://127.9.9.9", "http://127.1", "https://10.1.2.3:8443/x", "http://localhost:5000"),
    *("http://mlflow.example:5000", "http://Mlflow.Example", "https://example", "http://xexample", "http://h.:80"),
    *("http://[::1]:5000", "http://[fd00::5]"),
]
EXCEPTED = [
    *("", "*", "127.0.0.0/8", "127.0.0.1", "127.0.0.1:5000", "10.0.0.0/8, localhost", "10.1.2.3/24", "127.1", "a,*"),
    *("127.0.0.1/0", "127.0.0.0/33", "0.0.0.0/0", "127.0.0.0/255.0.0.0", "127.0.0.1/x", "/8", "  ", ",", "."),
    *(".example", "example", "mlflow.example:5000", "MLFLOW.EXAMPLE", "example.", "example:80", "h", "::1", "fd00::5"),
]
PROXIES = [
    {"http_proxy": "http://p:1", "https_proxy": "http://q:1"},
    {"all_proxy": "http://p:1"},
    {"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://r:1"},
    {"HTTP_PROXY": "http://r:1", "http_proxy": ""},
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_the_variables_mean_what_they_mean_to_requests(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxies, excepted in itertools.product(PROXIES, EXCEPTED):
        with monkeypatch.context() as patch:
            for name, value in {**proxies, variable: excepted}.items():
                patch.setenv(name, value)
            theirs = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
            assert proxy_for(parse_address(url, "", "")) == theirs, (proxies, excepted)


@pytest.mark.parametrize("excepted", ["fd00::/8", "[fd00::5]", "x, fd00::0/16"])
def test_networks_of_ipv6_are_excepted(excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", excepted)
    assert proxy_for(parse_address("http://[fd00::5]:5000", "", "")) is None
    assert proxy_for(parse_address("http://[fe00::5]:5000", "", "")) == "http://p:1"


async def test_a_server_of_an_excepted_network_is_asked_directly(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the proxy would be sent has the token in it."""

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({})

    async def proxy(_: web.Request) -> web.Response:
        raise AssertionError("the proxy was asked")

    monkeypatch.setenv("all_proxy", await serve(proxy))
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    assert (await (await connect(await serve(hello), token=Secret("t0ken"))).get("/x")).status == 200
