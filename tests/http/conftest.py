"""Servers on the loopback: an aiohttp one for behaviour, raw sockets for faults, certificates for TLS."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Literal, Protocol
from unittest import mock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crawler.http import Response, Server
from crawler.http.exchange import Request
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings
from tests.simulation.network import SEAM

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeRaw = Callable[[Connection], Awaitable[str]]


class Serve(Protocol):
    """What the fixture `serve` gives."""

    async def __call__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> str: ...


class Connect(Protocol):
    """What the fixture `connect` gives; `settings` are those of ServerSettings, and `keep_alive`."""

    async def __call__(
        self, url: str, name: str = "MLflow", counts: Literal["received", "sent"] = "received", **settings: Any
    ) -> Server: ...


class Certify(Protocol):
    """What the fixture `certify` gives."""

    def __call__(
        self, name: str = "127.0.0.1", *, starts: int = -10, ends: int = 10, password: bytes | None = None
    ) -> "Certificate": ...


class Naps(list[float]):
    """A sleep that returns at once and remembers how long it was to be."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(handler)` answers every request with `handler` and returns http://127.0.0.1:port."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler, tls: ssl.SSLContext | None = None) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            server = TestServer(app, scheme="https" if tls else "http")
            await server.start_server(ssl=tls)
            stack.push_async_callback(server.close)
            return str(server.make_url("")).rstrip("/")

        yield start


@pytest.fixture
async def serve_raw() -> AsyncIterator[ServeRaw]:
    """`await serve_raw(connection)` hands each accepted connection over and closes it afterwards."""
    async with AsyncExitStack() as stack:

        async def start(connection: Connection) -> str:
            tasks: set[asyncio.Task[None]] = set()

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                tasks.add(task)
                try:
                    await connection(reader, writer)
                finally:
                    writer.close()
                    with suppress(ConnectionError):
                        await writer.wait_closed()

            async def stop() -> None:
                listener.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await listener.wait_closed()

            listener = await asyncio.start_server(accept, "127.0.0.1", 0)
            stack.push_async_callback(stop)
            return f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

        yield start


@pytest.fixture
async def connect(naps: Naps, traffic: Traffic) -> AsyncIterator[Connect]:
    """`await connect(url, token=…)` opens a Server that never really sleeps, and waits for no outage."""
    async with AsyncExitStack() as stack:

        async def open_server(
            url: str, name: str = "MLflow", counts: Literal["received", "sent"] = "received", **settings: Any
        ) -> Server:
            keep_alive = settings.pop("keep_alive", True)
            server = Server(
                name,
                ServerSettings(url=url, **{"patience": 0.0, **settings}),
                traffic,
                keep_alive=keep_alive,
                counts=counts,
                sleep=naps,
            )
            return await stack.enter_async_context(server)

        yield open_server


def answered_by(send: Callable[[Request], Awaitable[Response]]) -> AbstractContextManager[object]:
    """Within the context, what a Server sends is answered by `send` instead of over a socket."""
    return mock.patch(SEAM, return_value=mock.MagicMock(send=send))


def no_tls() -> aiohttp.ClientError:
    """What comes of a handshake with a server that speaks plain HTTP."""
    error, cause = aiohttp.ClientConnectionError(), ssl.SSLError(1, "words of OpenSSL")
    cause.reason = "WRONG_VERSION_NUMBER"
    error.__cause__ = cause
    return error


class Certificate:
    """A self-signed certificate and its key, as files and as a server's context."""

    def __init__(self, folder: Path, name: str, *, starts: int, ends: int, password: bytes | None) -> None:
        self.file, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        self.file.write_bytes(_self_signed(key, name, starts, ends).public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
            )
        )

    def server_context(self, wanted_from_client: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=wanted_from_client)
        context.load_cert_chain(self.file, self.key)
        if wanted_from_client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, starts: int, ends: int) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    general: x509.GeneralName = x509.DNSName(name)
    with suppress(ValueError):
        general = x509.IPAddress(ipaddress.ip_address(name))
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=starts))
        .not_valid_after(now + dt.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture
def certify(tmp_path: Path) -> Certify:
    """`certify("127.0.0.1", ends=-1)` makes an expired certificate; days count from today."""

    def make(
        name: str = "127.0.0.1", *, starts: int = -10, ends: int = 10, password: bytes | None = None
    ) -> Certificate:
        return Certificate(tmp_path, name, starts=starts, ends=ends, password=password)

    return make
