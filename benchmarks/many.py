"""Many small experiments: our crawl beside a loop by hand that searches 100 of them at once."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.crawls import ENVIRONMENT, Cost, cost_of, crawl
from benchmarks.data import MLFLOW, PAGE_SIZE, QUICK, Data, runs_by_experiment
from benchmarks.machine import keep_to_cores
from benchmarks.many_floor import EXPERIMENTS_AT_ONCE
from benchmarks.processes import CommandFailed
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import WORKERS, Mlflow, mlflow_on_sqlite

SHAPES = (Data(runs=5_000, experiments=1_000), Data(runs=10_000, experiments=10_000))
CORES = 2
BOUND = 1.2
MORE_REQUESTS = 1.01


class Pair(NamedTuple):
    """One repeat: the floor and our crawl, and how many searches of runs ours took."""

    floor: Cost
    ours: Cost
    searches: int


def run(quick: bool, repeats: int) -> Result:
    """Each shape by both in turn, all processes on the same two cores."""
    cores = keep_to_cores(CORES)
    rows: list[Row] = []
    for data in (QUICK,) if quick else SHAPES:
        with mlflow_on_sqlite(data) as mlflow:
            pairs = [_pair(mlflow, data, repeat, repeats) for repeat in range(repeats)]
        rows += _rows(data, pairs)
    notes = [
        f"All processes share {cores} cores; MLflow has {WORKERS} workers on SQLite, without the stall.",
        f"The floor: {EXPERIMENTS_AT_ONCE} experiments a search, the same mapping and wire, nothing confirmed.",
    ]
    return Result("many", "Many small experiments, beside a loop by hand", rows, notes, versions={"mlflow": MLFLOW})


def pages_of_runs(data: Data) -> int:
    """The fewest searches that list all runs, the empty experiment included that MLflow makes itself."""
    counts = [0, *runs_by_experiment(data)]
    sets = (counts[first : first + EXPERIMENTS_AT_ONCE] for first in range(0, len(counts), EXPERIMENTS_AT_ONCE))
    return sum(max(1, math.ceil(sum(each) / PAGE_SIZE)) for each in sets)


def _pair(mlflow: Mlflow, data: Data, repeat: int, repeats: int) -> Pair:
    """Which comes first changes with the repeat: what else the machine does favours neither."""
    say(f"{_case(data)}: floor and our crawl, {repeat + 1} of {repeats}")
    floor = None if repeat % 2 else _floor(mlflow)
    before = mlflow.requests("runs/search")
    ours = crawl(mlflow)
    searches = mlflow.requests("runs/search") - before
    floor = floor or _floor(mlflow)
    if floor.counts["entities"] != ours.counts["entities"]:
        raise CommandFailed(f"The floor wrote {floor.counts['entities']}, the crawl {ours.counts['entities']}.")
    return Pair(floor, ours, searches)


def _floor(mlflow: Mlflow) -> Cost:
    def command(_: Path, datahub_url: str) -> Sequence[str | Path]:
        return [sys.executable, "-m", "benchmarks.many_floor", mlflow.url, datahub_url]

    return cost_of(command, mlflow, environment=ENVIRONMENT)


def _rows(data: Data, pairs: list[Pair]) -> list[Row]:
    case, pages = _case(data), pages_of_runs(data)
    searches = Row(f"{case}: searches of runs ÷ pages", "×", [pair.searches / pages for pair in pairs])
    searches.target = "equal, plus at most 1 %"
    return [
        *_beside(f"{case}: wall", [pair.floor.wall for pair in pairs], [pair.ours.wall for pair in pairs]),
        *_beside(
            f"{case}: MLflow CPU", [pair.floor.mlflow_cpu for pair in pairs], [pair.ours.mlflow_cpu for pair in pairs]
        ),
        searches.at_most(MORE_REQUESTS),
    ]


def _beside(name: str, floor: list[float], ours: list[float]) -> list[Row]:
    ratio = Row(f"{name}, ours ÷ floor", "×", [mine / least for mine, least in zip(ours, floor, strict=True)])
    ratio.target = f"≤ {BOUND} ×"
    return [Row(f"{name}, floor", "s", floor), Row(f"{name}, ours", "s", ours), ratio.at_most(BOUND)]


def _case(data: Data) -> str:
    return f"{data.experiments:,} experiments of {data.runs // data.experiments}"
