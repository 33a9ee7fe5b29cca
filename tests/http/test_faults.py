"""What a caller is told when a connection breaks, over raw sockets; and that what may pass is tried again."""

import asyncio
import socket
from itertools import count

import aiohttp
import pytest

from crawler.errors import Unreachable
from crawler.http.traffic import Traffic
from crawler.secrets.secret import Secret
from tests.http.conftest import Connect, Connection, ServeRaw

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
CUT = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 80\r\n\r\n{"a": 1'
CUT_CHUNK = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"a": 1'


def _replies(*replies: bytes) -> Connection:
    """A connection that reads a request and writes these bytes in turn, the last one for ever."""
    turn = count()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(replies[min(next(turn), len(replies) - 1)])
        await writer.drain()

    return connection


@pytest.mark.parametrize("cut", [CUT, CUT_CHUNK])
async def test_a_truncated_body_is_read_again(
    serve_raw: ServeRaw, connect: Connect, traffic: Traffic, cut: bytes
) -> None:
    server = await connect(await serve_raw(_replies(cut, WHOLE)))
    assert (await server.get("/x")).body == b'{"a": 1}'
    assert (traffic.requests, traffic.retries) == (2, 1)


async def test_a_body_that_stays_truncated(serve_raw: ServeRaw, connect: Connect, traffic: Traffic) -> None:
    server = await connect(await serve_raw(_replies(CUT)), attempts=3)
    with pytest.raises(Unreachable, match="broke off in the middle of its answer"):
        await server.get("/x")
    assert (traffic.requests, traffic.retries, traffic.in_flight) == (3, 2, 0)


async def test_a_server_that_closes_the_connection(serve_raw: ServeRaw, connect: Connect, traffic: Traffic) -> None:
    server = await connect(await serve_raw(_replies(b"")), attempts=2)
    with pytest.raises(Unreachable, match="closed the connection without an answer") as caught:
        await server.post("/x", b"{}")
    assert "https://" in caught.value.hint
    assert traffic.requests == 2


async def test_a_server_that_closes_the_connection_once(
    serve_raw: ServeRaw, connect: Connect, traffic: Traffic
) -> None:
    server = await connect(await serve_raw(_replies(b"", WHOLE)))
    assert (await server.post("/x", b"{}")).status == 200
    assert traffic.retries == 1


async def test_something_that_speaks_no_http(serve_raw: ServeRaw, connect: Connect, traffic: Traffic) -> None:
    server = await connect(await serve_raw(_replies(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")), token=Secret("t0p-s3cret"))
    with pytest.raises(Unreachable, match="answers, but not in HTTP") as caught:
        await server.get("/x")
    assert "Is the port right?" in str(caught.value)
    assert traffic.requests == 1
    # The error of aiohttp has the request's headers in its repr.
    assert caught.value.__cause__ is None


async def test_nothing_listens(connect: Connect, traffic: Traffic) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await connect(f"http://127.0.0.1:{port}", attempts=3)
    with pytest.raises(Unreachable, match=f"Nothing listens at 127.0.0.1:{port}") as caught:
        await server.get("/x")
    assert "Is the server running and the port right?" in str(caught.value)
    assert (traffic.requests, traffic.retries) == (3, 2)


async def test_an_unknown_host(connect: Connect) -> None:
    server = await connect("http://no-such-host.invalid:5000", attempts=2)
    with pytest.raises(Unreachable, match=r"host name of MLflow, no-such-host\.invalid:5000, is unknown"):
        await server.get("/x")


async def test_no_answer_in_time(serve_raw: ServeRaw, connect: Connect, traffic: Traffic) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await connect(await serve_raw(hang), timeout=0.05, attempts=2)
    with pytest.raises(Unreachable, match=r"gave no whole answer within 0\.05 s"):
        await server.get("/x")
    assert (traffic.requests, traffic.in_flight) == (2, 0)


async def test_an_answer_that_stalls_half_way(serve_raw: ServeRaw, connect: Connect) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CUT)
        await asyncio.Event().wait()

    server = await connect(await serve_raw(stall), timeout=0.05, attempts=1)
    with pytest.raises(Unreachable, match="gave no whole answer"):
        await server.get("/x")


async def test_no_connection_in_time(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        raise TimeoutError

    server = await connect("http://127.0.0.1:9", attempts=1)
    monkeypatch.setattr(aiohttp.TCPConnector, "connect", never)
    with pytest.raises(Unreachable, match=r"No connection to MLflow at 127\.0\.0\.1:9 within 15 s"):
        await server.get("/x")
