"""Mutated bodies through the crawler: `python -m tests.fuzz --bodies 1000000 --seed 0 --processes 2`."""

import argparse
import sys

from tests.fuzz.campaign import Summary, finding_of, replay, run_until
from tests.fuzz.case import draw
from tests.fuzz.decoding import Counts


def main() -> int:
    """Runs a campaign, or one case of it again; 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=20_000, help="how many mutated bodies, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this case of the seed, with all its bodies shown")
    arguments = parser.parse_args()
    return _one(arguments.seed, arguments.case) if arguments.case is not None else _many(arguments)


def _one(seed: int, number: int) -> int:
    case = draw(seed, number)
    for kind, body in case.bodies.items():
        sys.stdout.write(f"{kind}: {body!r}\n")
    found = finding_of(case, number, Counts(), judged=True)
    sys.stdout.write(f"{found.words if found else 'all promises hold'}\n")
    return int(found is not None)


def _many(arguments: argparse.Namespace) -> int:
    summary = Summary()
    for summary in run_until(arguments.seed, arguments.bodies, arguments.processes):
        sys.stderr.write(f"\r{summary.bodies:,} bodies, {summary.seconds:,.0f} s, {len(summary.findings)} failed")
    sys.stderr.write("\n")
    sys.stdout.writelines(f"{line}\n" for line in summary.lines())
    for alike in summary.alike().values():
        first = min(alike, key=lambda found: found.number)
        sys.stdout.write(f"{len(alike):,} x {first.words}\n  replay with: {replay(arguments.seed, first.number)}\n")
    return int(bool(summary.findings))


if __name__ == "__main__":
    sys.exit(main())
