"""Our crawl beside the naive floor, and beside the bound: the CPU seconds of all, spread over both cores."""

import sys
from typing import NamedTuple

from benchmarks.crawls import Cost, crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores
from benchmarks.processes import CommandFailed, measured
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import ROOT, WORKERS, Mlflow, mlflow_on_sqlite

SHAPES = (Data(runs=20_000, experiments=20), Data(runs=20_000, experiments=1), Data(runs=20_000, experiments=1_000))
CORES = 2
BOUND = 1.12


class Pair(NamedTuple):
    """One repeat: seconds of the floor, of MLflow's CPU for it, and our crawl."""

    floor: float
    floor_mlflow_cpu: float
    ours: Cost


def run(quick: bool, repeats: int) -> Result:
    """Runs in twenty experiments, in one and in a thousand, all processes on the same two cores."""
    cores = keep_to_cores(CORES)
    rows: list[Row] = []
    for data in (QUICK,) if quick else SHAPES:
        with mlflow_on_sqlite(data) as mlflow:
            pairs = [pair(mlflow, data, f"{repeat + 1} of {repeats}") for repeat in range(repeats)]
        rows += _rows(data, pairs, cores)
    notes = [
        f"All processes share {cores} cores; MLflow has {WORKERS} workers on SQLite, without the stall.",
        "The bound: CPU seconds that MLflow, the GMS double and our crawl spent, divided by the cores.",
        "The floor maps and writes nothing; our crawl and the double do their work on the same cores.",
    ]
    return Result("floor", "This crawler, the naive floor and the bound", rows, notes, versions={"mlflow": MLFLOW})


def pair(mlflow: Mlflow, data: Data, repeat: str) -> Pair:
    """The floor, then our crawl."""
    say(f"{_case(data)}: floor and our crawl, {repeat}")
    before = mlflow.cpu_seconds()
    sizes = [part for field, value in data._asdict().items() for part in (f"--{field}", str(value))]
    floor = measured([sys.executable, "-m", "benchmarks.naive", mlflow.url, *sizes], cwd=ROOT)
    spent = mlflow.cpu_seconds() - before
    ours = crawl(mlflow)
    if ours.counts["entities"]["dataProcessInstance"] != data.runs:
        raise CommandFailed(f"Not each of the {data.runs} runs was delivered: {ours.counts['entities']}.")
    return Pair(floor.wall, spent, ours)


def _rows(data: Data, pairs: list[Pair], cores: int) -> list[Row]:
    case = _case(data)
    bounds = [pair.ours.all_cpu / cores for pair in pairs]
    beside_bound = [pair.ours.wall / bound for pair, bound in zip(pairs, bounds, strict=True)]
    return [
        Row(f"{case}: wall, floor", "s", [pair.floor for pair in pairs]),
        Row(f"{case}: wall, ours", "s", [pair.ours.wall for pair in pairs]),
        Row(f"{case}: bound", "s", bounds),
        Row(f"{case}: ours ÷ floor", "×", [pair.ours.wall / pair.floor for pair in pairs]),
        Row(f"{case}: ours ÷ bound", "×", beside_bound, f"every repeat ≤ {BOUND} ×").at_most(BOUND, every=True),
        Row(f"{case}: MLflow CPU, floor", "s", [pair.floor_mlflow_cpu for pair in pairs]),
        Row(f"{case}: MLflow CPU, ours", "s", [pair.ours.mlflow_cpu for pair in pairs]),
        Row(f"{case}: client CPU, ours", "s", [pair.ours.cpu for pair in pairs]),
        Row(f"{case}: double CPU, ours", "s", [pair.ours.double_cpu for pair in pairs]),
    ]


def _case(data: Data) -> str:
    return f"{data.runs:,} runs, {data.experiments:,} experiment{'s' if data.experiments > 1 else ''}"
