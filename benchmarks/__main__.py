"""`python -m benchmarks NAME [--quick] [--repeats N] [--output FOLDER]`, and `python -m benchmarks document`.

With --quick, several names: they share servers.
"""

import argparse
import importlib
import os
import signal
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, performance_page
from benchmarks.results import Result, table, write
from benchmarks.servers import shared_servers

NAMES = (
    *("peer", "floor", "many", "pipeline", "scale", "adapt", "start", "confirm", "slow_queue", "state", "soak"),
    *("incremental", "transformers", "logged_models"),
)
RESULTS = Path(__file__).parent / "results"
REPEATS = 5
OTHER_REPEATS = {"floor": 10, "soak": 1}
"""Where every repeat must reach the target, not the median; and where one takes long."""


def main() -> None:
    """Runs what the command line names; prints the table."""
    # As by Ctrl-C, all servers that were started are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # No settings of the user's own take part.
    for name in [name for name in os.environ if name.startswith(("DATAHUB_", "MLFLOW_"))]:
        del os.environ[name]
    arguments = _arguments()
    if arguments.names == ["document"]:
        performance_page.renew_all()
        return
    folder = arguments.output or (None if arguments.quick else RESULTS)
    with shared_servers() if arguments.quick else nullcontext():
        for name in arguments.names:
            usual = 1 if arguments.quick else OTHER_REPEATS.get(name, REPEATS)
            result = _run(name, arguments.quick, arguments.repeats or usual)
            print(table(result), flush=True)
            if folder:
                print(*write(result, folder), sep="\n", file=sys.stderr)


def _run(name: str, quick: bool, repeats: int) -> Result:
    started = datetime.now(UTC)
    result: Result = importlib.import_module(f"benchmarks.{name}").run(quick, repeats)
    result.command = f"python -m benchmarks {name}{' --quick' if quick else ''} --repeats {repeats}"
    result.quick = quick
    result.started_at = started.isoformat(timespec="seconds")
    result.machine = machine.describe()
    result.versions = machine.versions() | result.versions
    if quick:
        # The data is far too small to be held against a target.
        for row in result.rows:
            row.target, row.reached = "", None
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="+", choices=(*NAMES, "document"), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="tiny data: that it runs and that counts agree")
    parser.add_argument("--repeats", type=int, help=f"default {REPEATS}, 10 of floor, 1 of soak or with --quick")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default benchmarks/results; with --quick: print only"
    )
    arguments = parser.parse_args()
    if len(arguments.names) > 1 and not (arguments.quick and "document" not in arguments.names):
        # What one leaves in memory and in caches would show in the figures of the next.
        parser.error("one name, or several benchmarks with --quick")
    return arguments


if __name__ == "__main__":
    main()
