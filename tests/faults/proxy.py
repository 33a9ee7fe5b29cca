"""A TCP proxy that does to connections what bad networks do; its faults are named as toxiproxy names them."""

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

CHUNK = 16_384


class Toxic(NamedTuple):
    """What happens to one connection; times in seconds. Counted are the bytes that the server sends.

    `latency`: each chunk comes so much later. `bandwidth`: bytes a second. `slicer`: bytes a chunk at most.
    `slow_close`: the end comes so much later. `limit_data`: the connection ends after so many bytes. `reset_peer`: it
    is reset then.
    """

    latency: float = 0.0
    bandwidth: float | None = None
    slicer: int = CHUNK
    slow_close: float = 0.0
    limit_data: int | None = None
    reset_peer: int | None = None


class FaultProxy:
    """Stands before a server: `async with FaultProxy(url) as proxy: … proxy.url`. `toxic` is asked for each connection.

    While `down` nobody listens.
    """

    def __init__(self, url: str, toxic: Callable[[], Toxic] = Toxic) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._toxic = toxic
        self._port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def up(self) -> None:
        """Listens, again at the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuses connections from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        up = asyncio.create_task(_pass_on(reader, there_writer, Toxic()))
        try:
            await _pass_on(there_reader, writer, self._toxic())
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            up.cancel()
            await asyncio.wait({up})
            there_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxic: Toxic) -> None:
    """One direction of a connection, to its end or to the fault."""
    left = min((limit for limit in (toxic.limit_data, toxic.reset_peer) if limit is not None), default=None)
    try:
        while chunk := await reader.read(toxic.slicer):
            await asyncio.sleep(toxic.latency + (len(chunk) / toxic.bandwidth if toxic.bandwidth else 0.0))
            writer.write(chunk[:left])
            await writer.drain()
            left = None if left is None else left - len(chunk)
            if left is not None and left <= 0:
                break
        await asyncio.sleep(toxic.slow_close)
    except OSError:
        pass
    finally:
        if toxic.reset_peer is not None:
            _reset(writer)
        else:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST rather than FIN: what was not read yet is lost on the way."""
    there = writer.get_extra_info("socket")
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
