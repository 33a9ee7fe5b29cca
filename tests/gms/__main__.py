"""The double as a process of its own: its URL is the first line, what it counted the last."""

import argparse
import asyncio
import json
import signal
import sys

from tests.gms.server import Gms
from tests.servers.faulty import Faulty


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gms", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", help="refuse requests without this bearer token")
    parser.add_argument("--latency", type=float, default=0.001, help="seconds that each batch takes")
    parser.add_argument(
        "--lag", dest="lag_seconds", type=float, default=0.0, help="seconds before what was queued can be read"
    )
    parser.add_argument("--inflates", action="store_true", help="take compressed requests, as a proxy before GMS may")
    parser.add_argument("--trust", action="store_true", help="decode nothing, count only: for benchmarks")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that fail, from 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    options = vars(arguments)
    faulty = Faulty(options.pop("faults"), options.pop("seed"))
    gms = Gms(**options)
    gms.around = faulty.around
    async with gms:
        _say(gms.url)
        await ended.wait()
    counts = ("requests", "proposals", "bytes", "peak", "dropped", "violations")
    census = gms.census.summary() if arguments.trust else {}
    read = {"read_backs": len(gms.read_backs), "read_back": sum(gms.read_backs)}
    _say(json.dumps({name: getattr(gms, name) for name in counts} | read | census | faulty.summary()))


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
