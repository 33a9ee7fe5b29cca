"""The double as a process of its own: its URL is the first line, what it counted the last."""

import argparse
import asyncio
import json
import signal
import sys

from tests.gms.server import Gms


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gms", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", help="refuse requests without this bearer token")
    parser.add_argument("--latency", type=float, default=0.001, help="seconds that each batch takes")
    parser.add_argument("--inflates", action="store_true", help="take compressed requests, as a proxy before GMS may")
    parser.add_argument("--trust", action="store_true", help="decode nothing, count only: for benchmarks")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Gms(**vars(arguments)) as gms:
        _say(gms.url)
        await ended.wait()
    counts = ("requests", "proposals", "bytes", "peak", "dropped", "violations")
    census = gms.census.summary() if arguments.trust else {}
    _say(json.dumps({name: getattr(gms, name) for name in counts} | census))


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
