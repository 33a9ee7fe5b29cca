"""What stands before a server is named as what it is, and where it answers once in the server's place, it may pass."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from crawler.datahub.client import GmsClient
from crawler.datahub.wire.protocol import WriteRequest
from crawler.errors import CrawlerError, RequestRefused, WrongServer
from tests.http.conftest import Connect, Naps, Serve, ServeRaw

Answer = Callable[[], web.Response]


def _redirect() -> web.Response:
    return web.Response(status=308, headers={"Location": "https://mlflow.example.com/path"})


def _login() -> web.Response:
    return web.Response(text="<html><body><h1>Sign in to continue</h1></body></html>", content_type="text/html")


def _firewall() -> web.Response:
    return web.Response(status=403, text="<html><h1>Request blocked: rule 942100</h1></html>", content_type="text/html")


def _proxy() -> web.Response:
    return web.Response(status=407, text="Proxy Authentication Required")


def _encoded() -> web.Response:
    return web.Response(body=b"\x1b\x00", headers={"Content-Encoding": "snappy"}, content_type="application/json")


IN_FRONT: dict[str, tuple[Answer, str]] = {
    "redirect": (_redirect, r"redirects \(308\) to https://mlflow\.example\.com"),
    "login": (_login, r"web page, not JSON: \"Sign in to continue\".* That looks like a login page"),
    "firewall": (_firewall, r"answered 403 with a web page: \"Request blocked: rule 942100\".* Perhaps a firewall"),
    "proxy": (_proxy, r"answered 407.* The proxy wants credentials"),
    "encoding": (_encoded, r"answered in the content encoding snappy, which nobody asked for"),
}
each = pytest.mark.parametrize("kind", IN_FRONT)


@each
async def test_at_the_first_request_it_is_named_at_once(kind: str, serve: Serve, connect: Connect, naps: Naps) -> None:
    answer, words = IN_FRONT[kind]
    seen = 0

    async def handle(_request: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        return answer()

    server = await connect(await serve(handle))
    with pytest.raises((WrongServer, RequestRefused), match=words):
        await server.get("/path")
    assert (seen, naps) == (1, [])


@each
async def test_gms_behind_it_is_not_said_to_be_no_gms(kind: str, serve: Serve, connect: Connect) -> None:
    answer, words = IN_FRONT[kind]

    async def handle(_request: web.Request) -> web.Response:
        return answer()

    server = await connect(await serve(handle), name="DataHub")
    with pytest.raises(CrawlerError, match=words) as caught:
        await GmsClient(server).version()
    assert "/config that says so" not in str(caught.value)


@each
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_once_in_the_middle_it_is_tried_again(
    kind: str, method: str, serve: Serve, connect: Connect, naps: Naps
) -> None:
    answer, _ = IN_FRONT[kind]
    answers = [web.json_response({"rows": []}), answer(), web.json_response({"rows": [1]})]

    async def handle(_request: web.Request) -> web.Response:
        return answers.pop(0)

    server = await connect(await serve(handle))
    await server.get("/path")
    response = await (server.get("/path") if method == "GET" else server.post("/path", b"{}"))
    assert response.body == b'{"rows": [1]}'
    assert len(naps) == 1


async def test_where_it_stays_it_is_waited_for_and_then_named(serve: Serve, connect: Connect) -> None:
    answers = [web.json_response({})]

    async def handle(_request: web.Request) -> web.Response:
        return answers.pop(0) if answers else _login()

    server = await connect(await serve(handle), patience=0.0)
    await server.get("/path")
    with pytest.raises(WrongServer, match="Sign in to continue"):
        await server.get("/path")


async def test_a_refusal_of_one_batch_by_a_firewall_is_of_this_batch(serve: Serve, connect: Connect) -> None:
    async def handle(request: web.Request) -> web.Response:
        return _login() if b"DROP TABLE" in await request.read() else web.json_response({"noCode": "true"})

    server = await connect(await serve(handle), name="DataHub")
    client = GmsClient(server)
    await client.version()
    good = WriteRequest("/aspects", b"[]")
    bad = client.write(WriteRequest("/aspects", b'["DROP TABLE"]'))

    async def others() -> None:
        while True:
            await client.write(good)

    beside = asyncio.create_task(others())
    with pytest.raises(RequestRefused, match="Sign in to continue") as caught:
        await bad
    beside.cancel()
    assert caught.value.status == 502


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_an_encoding_that_was_not_asked_for(encoding: str, serve_raw: ServeRaw, connect: Connect) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 4\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + b"\x28\xb5\x2f\xfd")
        await writer.drain()

    server = await connect(await serve_raw(answer))
    with pytest.raises(WrongServer, match=f"content encoding {encoding}, which nobody asked for"):
        await server.get("/path")
