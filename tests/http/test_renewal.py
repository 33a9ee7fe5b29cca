"""A secret that is kept elsewhere changes while requests are under way."""

import asyncio
import base64
import sys
from pathlib import Path

import pytest
from aiohttp import web

from crawler.errors import CredentialsRefused
from crawler.http.traffic import Traffic
from crawler.secrets.secret import Secret, SecretSource, TokenProvider
from tests.http.conftest import Connect, Handler, Serve


class Guarded:
    """A server that takes one Authorization header, and remembers those that it was sent."""

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted
        self.seen: list[str | None] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization")
        self.seen.append(sent)
        if sent == self.accepted:
            return web.json_response({})
        return web.json_response({"message": f"not {sent}"}, status=401)


def put(path: Path, text: str) -> None:
    path.write_text(text)


def remove(path: Path) -> None:
    path.unlink()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old\n")
    return path


async def test_a_token_that_changed_is_read_again_and_the_request_repeated(
    serve: Serve, connect: Connect, kept: Path, traffic: Traffic
) -> None:
    gms = Guarded("Bearer old")
    renewal = SecretSource(option="sink.config.token_file", file=kept)
    server = await connect(await serve(gms.answer), token=Secret("old"), renewal=renewal)
    await server.get("/x")
    gms.accepted = "Bearer new-t0ken"
    put(kept, "new-t0ken\n")
    assert (await server.post("/x", b"{}")).status == 200
    assert (await server.get("/x")).status == 200
    assert gms.seen == ["Bearer old", "Bearer old", "Bearer new-t0ken", "Bearer new-t0ken"]
    assert traffic.requests == 4
    # The new one is as secret as the old one.
    gms.accepted = "nothing"
    with pytest.raises(CredentialsRefused) as caught:
        await server.get("/x")
    assert "new-t0ken" not in str(caught.value)


async def test_it_may_change_more_than_once(serve: Serve, connect: Connect, kept: Path) -> None:
    gms = Guarded("Bearer old")
    renewal = SecretSource(option="token_file", file=kept)
    server = await connect(await serve(gms.answer), token=Secret("old"), renewal=renewal)
    for token in ("second", "third"):
        put(kept, token)
        gms.accepted = f"Bearer {token}"
        assert (await server.get("/x")).status == 200


async def test_a_provider_is_asked_again(serve: Serve, connect: Connect) -> None:
    gms = Guarded("Bearer new")
    provider = TokenProvider(type="tests.config.test_token_providers.Own", config=Secret('{"given": "new"}'))
    renewal = SecretSource(option="sink.config.auth", provider=provider)
    server = await connect(await serve(gms.answer), token=Secret("old"), renewal=renewal)
    assert (await server.get("/x")).status == 200
    assert gms.seen == ["Bearer old", "Bearer new"]


async def test_many_refusals_read_it_once(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    reads = tmp_path / "reads"
    script = f"open({str(reads)!r}, 'a').write('x'); print('new')"
    gms = Guarded("Bearer new")
    renewal = SecretSource(option="token_command", command=f'{sys.executable} -c "{script}"')
    arrived = 0
    together = asyncio.Event()

    async def all_at_once(request: web.Request) -> web.StreamResponse:
        nonlocal arrived
        if request.headers["Authorization"] == "Bearer old":
            arrived += 1
            if arrived == 8:
                together.set()
            await together.wait()
        return await gms.answer(request)

    server = await connect(await serve(all_at_once), token=Secret("old"), renewal=renewal, min_concurrency=8)
    answers = await asyncio.gather(*(server.get(f"/{number}") for number in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert reads.read_text() == "x"
    assert gms.seen == ["Bearer old"] * 8 + ["Bearer new"] * 8


async def test_one_that_is_still_the_same_ends_it_and_is_read_once(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    reads = tmp_path / "reads"
    script = f"open({str(reads)!r}, 'a').write('x'); print('old')"
    renewal = SecretSource(option="token_command", command=f'{sys.executable} -c "{script}"')
    server = await connect(await serve(Guarded("Bearer other").answer), token=Secret("old"), renewal=renewal)
    for _ in range(2):
        with pytest.raises(CredentialsRefused, match="refuses the credentials"):
            await server.get("/x")
    assert reads.read_text() == "x"


async def test_one_that_cannot_be_read_any_more_is_told(
    serve: Serve, connect: Connect, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renewal = SecretSource(option="sink.config.token_file", file=kept)
    server = await connect(await serve(Guarded("Bearer other").answer), token=Secret("old"), renewal=renewal)
    remove(kept)
    with pytest.raises(CredentialsRefused):
        await server.get("/x")
    assert "cannot be read again. sink.config.token_file: the file cannot be read" in caplog.text


async def test_a_password_too(serve: Serve, connect: Connect, kept: Path) -> None:
    gms = Guarded("Basic " + base64.b64encode(b"ann:new").decode())
    renewal = SecretSource(option="source.config.password_file", file=kept)
    server = await connect(await serve(gms.answer), username="ann", password=Secret("old"), renewal=renewal)
    put(kept, "new")
    assert (await server.get("/x")).status == 200


@pytest.mark.parametrize("status", [403, 500])
async def test_nothing_else_reads_it_again(status: int, serve: Serve, connect: Connect, kept: Path) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    handler: Handler = refuse
    renewal = SecretSource(option="token_file", file=kept)
    server = await connect(await serve(handler), token=Secret("old"), renewal=renewal, attempts=1, patience=0.0)
    remove(kept)
    with pytest.raises(Exception, match=str(status)):
        await server.get("/x")
