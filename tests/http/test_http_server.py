"""What a server gets to see and what its caller gets back, over real sockets."""

import asyncio
import base64
import gzip
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler import __version__
from crawler.errors import CredentialsRefused, RequestRefused, WrongServer
from crawler.http import Response, Server
from crawler.http.traffic import Traffic
from crawler.secrets.secret import Secret
from crawler.settings.servers import ServerSettings
from tests.http.conftest import Connect, Handler, Naps, Serve, ServeRaw


async def _json(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path})


async def _echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "url": str(request.rel_url),
            "query": list(request.query.items()),
            "headers": {name.title(): value for name, value in request.headers.items()},
            "body": base64.b64encode(body).decode(),
        }
    )


def _answers(*statuses: int, headers: dict[str, str] | None = None) -> Handler:
    """A handler that gives these statuses one after the other, then 200."""
    left = list(statuses)

    async def handler(_: web.Request) -> web.Response:
        status = left.pop(0) if left else 200
        return web.json_response({"message": f"number {status}"}, status=status, headers=headers)

    return handler


def _decoded(response: Response) -> Any:
    return json.loads(response.body)


async def test_a_base_path_of_several_segments_is_kept(serve: Serve, connect: Connect) -> None:
    server = await connect(f"{await serve(_json)}/ml/flow/")
    response = await server.get("/api/2.0/mlflow/experiments/search")
    assert response.status == 200
    assert response.body == b'{"path": "/ml/flow/api/2.0/mlflow/experiments/search"}'
    assert response.headers["content-type"].startswith("application/json")


async def test_query_characters_are_encoded(serve: Serve, connect: Connect) -> None:
    server = await connect(await serve(_echo))
    awkward = "tags.`a&b` = 'c+d=é %2F#?'"
    seen = _decoded(await server.get("/x", [("filter", awkward), ("id", "1"), ("id", "2")]))
    assert seen["query"] == [["filter", awkward], ["id", "1"], ["id", "2"]]


async def test_a_query_in_the_path_is_kept(serve: Serve, connect: Connect) -> None:
    server = await connect(await serve(_echo))
    seen = _decoded(await server.post("/aspects?action=ingestProposalBatch", b"{}"))
    assert seen["url"] == "/aspects?action=ingestProposalBatch"


async def test_headers_of_every_request(serve: Serve, connect: Connect) -> None:
    server = await connect(await serve(_echo), headers={"X-Tenant": Secret("blue")})
    headers = (_decoded(await server.get("/x")))["headers"]
    assert headers["User-Agent"] == f"mlflow-datahub-crawler/{__version__}"
    assert headers["Accept"] == "application/json"
    assert headers["X-Tenant"] == "blue"
    assert "Authorization" not in headers
    assert "Cookie" not in headers


async def test_a_posted_body_goes_out_as_it_is(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    server = await connect(await serve(_echo), counts="sent")
    body = gzip.compress(b'{"a": 1}')
    # The double gunzips, as servers do, so this shows that nothing was compressed twice.
    seen = _decoded(await server.post("/x", body, {"Content-Encoding": "gzip", "X-One": "1"}))
    assert base64.b64decode(seen["body"]) == b'{"a": 1}'
    assert seen["headers"]["Content-Type"] == "application/json"
    assert seen["headers"]["Content-Length"] == str(len(body))
    assert seen["headers"]["X-One"] == "1"
    assert traffic.bytes == len(body)


async def test_answers_may_come_compressed(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    async def answer(request: web.Request) -> web.Response:
        response = web.json_response({"asked": request.headers["Accept-Encoding"], "rows": ["x"] * 1_000})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    server = await connect(await serve(answer))
    body = json.loads((await server.get("/x")).body)
    assert "gzip" in body["asked"]
    assert len(body["rows"]) == 1_000


async def test_a_body_of_megabytes_is_sent_without_complaint(serve: Serve, connect: Connect) -> None:
    async def size(request: web.Request) -> web.Response:
        return web.json_response(sum([len(chunk) async for chunk in request.content.iter_any()]))

    server = await connect(await serve(size))
    assert (await server.post("/x", b"x" * 3_000_000)).body == b"3000000"


async def test_received_bytes_are_counted(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    server = await connect(await serve(_json))
    response = await server.get("/x")
    assert (traffic.bytes, traffic.requests, traffic.retries) == (len(response.body), 1, 0)
    assert traffic.in_flight == 0


@pytest.mark.parametrize("body", [b"", b"  ", b"2.20.4"])
async def test_what_is_no_page_is_handed_over_even_if_labelled_html(
    serve: Serve, connect: Connect, body: bytes
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html")

    server = await connect(await serve(handler))
    assert (await server.get("/version")).body == body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "text/html"),
        (b"\n  <html></html>", "application/json"),
        (b"\xef\xbb\xbf<html></html>", "text/plain"),
        (b"Welcome! <b>Log in</b>", "text/html"),
    ],
)
async def test_a_web_page_is_the_wrong_server(serve: Serve, connect: Connect, body: bytes, content_type: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    url = await serve(handler)
    server = await connect(url)
    with pytest.raises(WrongServer, match="answered with a web page, not JSON") as caught:
        await server.get("/x", {"token": "hidden"})
    assert f"Is {url} the address of MLflow, or of a proxy's login page?" in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_retries_are_counted_and_told(
    serve: Serve, connect: Connect, traffic: Traffic, naps: Naps, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "crawler.http")
    server = await connect(await serve(_answers(503, 500)), attempts=8)
    assert (await server.get("/x")).status == 200
    assert (traffic.requests, traffic.retries) == (3, 2)
    assert [round(nap, 1) for nap in naps] == [float(line.split(" s ")[0].split()[-1]) for line in _lines(caplog)]
    assert [line.split(" s ")[1] for line in _lines(caplog)] == [
        "(attempt 2 of 8): status 503",
        "(attempt 3 of 8): status 500",
    ]


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "crawler.http"]


async def test_retry_after_is_waited_for(serve: Serve, connect: Connect, naps: Naps) -> None:
    server = await connect(await serve(_answers(429, headers={"Retry-After": "7"})))
    await server.get("/x")
    assert naps == [7.0]


async def test_a_lasting_5xx_is_refused_with_the_servers_words(
    serve: Serve, connect: Connect, traffic: Traffic
) -> None:
    server = await connect(await serve(_answers(*[503] * 9)), attempts=3)
    with pytest.raises(RequestRefused, match='answered 503: "number 503"') as caught:
        await server.get("/x")
    assert (caught.value.status, caught.value.answer) == (503, "number 503")
    assert (traffic.requests, traffic.retries) == (3, 2)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 501, 505])
async def test_other_refusals_are_not_retried(serve: Serve, connect: Connect, traffic: Traffic, status: int) -> None:
    server = await connect(await serve(_answers(status)))
    with pytest.raises(RequestRefused) as caught:
        await server.get("/x")
    assert (caught.value.status, traffic.requests) == (status, 1)


async def test_the_same_body_is_sent_again(serve: Serve, connect: Connect) -> None:
    bodies = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.json_response({}, status=500 if len(bodies) < 3 else 200)

    server = await connect(await serve(handler))
    await server.post("/x", b'{"a": 1}')
    assert bodies == [b'{"a": 1}'] * 3


async def test_a_redirect_is_not_followed(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("https://me:pw-in-url@other.example:8443/ml/api/x?ticket=hidden#part")

    server = await connect(await serve(elsewhere), token=Secret("s3cret"))
    with pytest.raises(WrongServer) as caught:
        await server.get("/api/x")
    message = str(caught.value)
    assert "redirects (302) to https://other.example:8443/ml/api/x." in message
    assert "Set the URL of MLflow to https://other.example:8443/ml " in message
    assert not any(secret in message for secret in ("pw-in-url", "hidden", "s3cret"))
    assert traffic.requests == 1


@pytest.mark.parametrize("location", ["/login?next=%2F", "https://sso.example/start", "https://x.example/oauth2/go"])
async def test_a_redirect_to_a_login_page_says_so(serve: Serve, connect: Connect, location: str) -> None:
    async def login(_: web.Request) -> web.Response:
        raise web.HTTPSeeOther(location)

    server = await connect(await serve(login))
    with pytest.raises(WrongServer, match="a proxy wants a login"):
        await server.get("/api/x")


@pytest.mark.parametrize("location", ["", "http://[", "mailto:a"])
async def test_a_redirect_to_nowhere_is_an_error_too(serve: Serve, connect: Connect, location: str) -> None:
    async def nowhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    server = await connect(await serve(nowhere))
    with pytest.raises(WrongServer, match=r"redirects \(302\)"):
        await server.get("/api/x")


async def test_basic_credentials_are_utf8(serve: Serve, connect: Connect) -> None:
    server = await connect(await serve(_echo), username="jürgen", password=Secret("pä:ss"))
    headers = (_decoded(await server.get("/x")))["headers"]
    assert headers["Authorization"] == "Basic " + base64.b64encode("jürgen:pä:ss".encode()).decode()


async def test_a_token_comes_before_a_user_name(serve: Serve, connect: Connect) -> None:
    server = await connect(await serve(_echo), token=Secret("t0ken\n"), username="u", password=Secret("password"))
    assert (_decoded(await server.get("/x")))["headers"]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "no credentials"),
        ({"token": Secret("t0p-s3cret")}, "a token"),
        ({"username": "ann", "password": Secret("t0p-s3cret")}, "user name 'ann'"),
        ({"headers": {"authorization": Secret("Bearer t0p-s3cret")}}, "the Authorization header"),
    ],
)
async def test_401_names_the_credentials_but_not_the_secret(
    serve: Serve, connect: Connect, traffic: Traffic, settings: dict[str, Any], shown: str
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        echo = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return web.json_response({"message": f"bad {echo}"}, status=401)

    server = await connect(await serve(refuse), **settings)
    with pytest.raises(CredentialsRefused, match=f"it was sent {shown}") as caught:
        await server.get("/x")
    assert "Check user name and password or token." in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert base64.b64encode(b"ann:t0p-s3cret").decode() not in str(caught.value)
    assert traffic.requests == 1


async def test_user_info_of_the_url_authenticates_and_never_shows(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = []

    async def refuse(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(status=500 if len(seen) == 1 else 401, text=f"no: {request.headers['Authorization']}")

    plain = await serve(refuse)
    server = await connect(plain.replace("://", "://some-user:p%40ss-word@"))
    with pytest.raises(CredentialsRefused) as caught:
        await server.get("/x")
    assert seen[-1] == "Basic " + base64.b64encode(b"some-user:p@ss-word").decode()
    assert server.url == plain
    shown = [str(caught.value), repr(caught.value), caplog.text, repr(server), server.url]
    shown.append(server._classifier._redact("some-user p@ss-word p%40ss-word " + seen[-1]))
    for secret in ("some-user", "p@ss-word", "p%40ss-word", seen[-1].split()[1]):
        assert not any(secret in text for text in shown)


async def test_settings_come_before_user_info_of_the_url(serve: Serve, connect: Connect) -> None:
    url = (await serve(_echo)).replace("://", "://someone:displaced@")
    server = await connect(url, username="ann", password=Secret("pass"))
    headers = (_decoded(await server.get("/x")))["headers"]
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"ann:pass").decode()
    assert server._classifier._redact("displaced") == "***"


async def test_netrc_adds_no_credentials(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    url = await serve(_echo)
    anonymous = await connect(url)
    assert "Authorization" not in (_decoded(await anonymous.get("/x")))["headers"]
    known = await connect(url, token=Secret("t0ken"))
    assert (_decoded(await known.get("/x")))["headers"]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(("keep_alive", "connections"), [(True, 1), (False, 4)])
async def test_connections_are_kept_or_not(serve: Serve, connect: Connect, keep_alive: bool, connections: int) -> None:
    seen = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.add(request.transport.get_extra_info("peername"))
        return web.json_response({})

    server = await connect(await serve(handler), keep_alive=keep_alive)
    for _ in range(4):
        await server.get("/x")
    assert len(seen) == connections


async def test_no_more_requests_in_flight_than_allowed(serve: Serve, connect: Connect, traffic: Traffic) -> None:
    running, most, told = 0, 0, 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal running, most, told
        running += 1
        most, told = max(most, running), max(told, traffic.in_flight)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return web.json_response({})

    server = await connect(await serve(handler), concurrency=3)
    await asyncio.gather(*(server.get("/x") for _ in range(30)))
    assert (most, told) == (3, 3)
    assert (traffic.in_flight, traffic.requests) == (0, 30)


async def test_a_request_that_waits_for_its_retry_leaves_its_slot(serve: Serve, traffic: Traffic) -> None:
    async def handler(request: web.Request) -> web.Response:
        busy = request.path == "/busy" and not other_done.is_set()
        return web.json_response({}, status=503 if busy else 200)

    async def sleep(_: float) -> None:
        await other_done.wait()

    other_done = asyncio.Event()
    settings = ServerSettings(url=await serve(handler), concurrency=1)
    async with asyncio.timeout(60), Server("MLflow", settings, traffic, sleep=sleep) as server:
        waiting = asyncio.create_task(server.get("/busy"))
        await server.get("/free")
        other_done.set()
        assert (await waiting).status == 200


async def test_requests_per_second_pace_every_attempt(serve: Serve, connect: Connect, naps: Naps) -> None:
    server = await connect(
        await serve(_answers(503, headers={"Retry-After": "0"})), requests_per_second=0.1, concurrency=4
    )
    await asyncio.gather(*(server.get("/x") for _ in range(3)))
    # Four attempts: the first starts at once, the others 10 s apart; time itself hardly passes here, and the pause
    # before the retry is below a second.
    paced = sorted(nap for nap in naps if nap > 1)
    assert paced == pytest.approx([10, 20, 30], abs=1)
    assert all(later > earlier for earlier, later in pairwise(paced))


async def test_cancelling_passes_through(serve_raw: ServeRaw, connect: Connect, traffic: Traffic, naps: Naps) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    asked = asyncio.Event()
    server = await connect(await serve_raw(hang))
    task = asyncio.create_task(server.get("/x"))
    await asked.wait()
    assert traffic.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (traffic.in_flight, traffic.retries, naps) == (0, 0, [])
