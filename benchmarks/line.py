"""A slow line in front of a server: a TCP proxy that delays each direction and holds it to a bandwidth.

`python -m benchmarks.line HOST:PORT --round-trip SECONDS [--megabits N]`; its URL is the first line of its output. A
connection costs one round trip before its first byte, as TCP's handshake does. All connections share the bandwidth of a
direction. Slow start, loss and jitter are left out.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

CHUNK = 65_536
CHUNKS_UNDER_WAY = 256


class Direction:
    """One way of the line: bytes leave one after another at the bandwidth and arrive `delay` seconds later."""

    def __init__(self, delay: float, bytes_a_second: float | None, now: Callable[[], float]) -> None:
        self._delay = delay
        self._pace = 1 / bytes_a_second if bytes_a_second else 0.0
        self._now = now
        self._free = 0.0

    def arrival(self, size: int) -> float:
        """When that many bytes, sent now, have arrived."""
        self._free = max(self._free, self._now()) + size * self._pace
        return self._free + self._delay


class Line:
    """The proxy: an asyncio callback for each client."""

    def __init__(self, host: str, port: int, round_trip: float, bytes_a_second: float | None) -> None:
        self._target = (host, port)
        self._round_trip = round_trip
        clock = asyncio.get_running_loop().time
        self._up, self._down = (Direction(round_trip / 2, bytes_a_second, clock) for _ in range(2))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on both ways until both are closed."""
        # The client was let in at once: the handshake's round trip comes on top of the first bytes' way.
        first = asyncio.get_running_loop().time() + self._round_trip * 1.5
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as tasks:
            for ends in ((reader, there_writer, self._up), (there_reader, writer, self._down)):
                tasks.create_task(_pass_on(*ends, first))


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction, first: float
) -> None:
    """One direction of one connection, its end included; nothing arrives before `first`."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_deliver(under_way, writer))
        chunk = b" "
        while chunk:
            chunk = b""
            with suppress(ConnectionError):
                chunk = await reader.read(CHUNK)
            await under_way.put((max(direction.arrival(len(chunk)), first), chunk))


async def _deliver(under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    chunk = b" "
    while chunk:
        due, chunk = await under_way.get()
        await asyncio.sleep(max(0.0, due - now()))
        with suppress(ConnectionError):
            writer.write(chunk)
            await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    host, _, port = arguments.target.rpartition(":")
    bandwidth = arguments.megabits * 1e6 / 8 if arguments.megabits else None
    line = Line(host, int(port), arguments.round_trip, bandwidth)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.line", description=__doc__)
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--round-trip", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--megabits", type=float, help="a second and direction; without: no limit")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
