"""What it costs to keep a state, so that a crawl can go on: the same crawl without and with `--state`, in turn."""

from benchmarks.crawls import Cost, Source, cost_rows, crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import WORKERS, mlflow_on_sqlite, replay

RUNS = Data(runs=20_000, experiments=20)
REPLAYED = 200_000
CORES = 2
BOUND = 1.03
OPTIONS: dict[str, tuple[str, ...]] = {"without": (), "with": ("--state", "crawl.state")}

Round = dict[str, Cost]
"""The cost of each of OPTIONS."""


def run(quick: bool, repeats: int) -> Result:
    """From a real MLflow, where the target holds; then more runs from a replay server, which costs next to nothing."""
    cores = keep_to_cores(CORES)
    data, replayed = (QUICK, 10 * QUICK.runs) if quick else (RUNS, REPLAYED)
    with mlflow_on_sqlite(data) as mlflow:
        real = [_round(mlflow, f"{data.runs:,} runs", repeat) for repeat in range(repeats)]
    with replay(runs=replayed, experiments=data.experiments) as source:
        multiplied = [_round(source, f"{replayed:,} replayed runs", repeat) for repeat in range(repeats)]
    rows = [*_rows(f"{data.runs:,} runs", real, BOUND), *_rows(f"{replayed:,} replayed runs", multiplied)]
    notes = [
        f"All processes share {cores} cores; MLflow has {WORKERS} workers on SQLite, without the stall.",
        "The replay server gives recorded pages, multiplied: what a crawl spends there is its own.",
        "The state is in the folder for temporary files.",
    ]
    return Result("state", "Crawls without and with a state", rows, notes, versions={"mlflow": MLFLOW})


def _round(source: Source, case: str, repeat: int) -> Round:
    """Which comes first changes with the repeat: what else the machine does favours neither."""
    costs: Round = {}
    for kind in sorted(OPTIONS, reverse=bool(repeat % 2)):
        say(f"{case}, {kind} a state, repeat {repeat + 1}")
        costs[kind] = crawl(source, options=OPTIONS[kind])
    return costs


def _rows(case: str, rounds: list[Round], bound: float | None = None) -> list[Row]:
    rows: list[Row] = []
    for kind in OPTIONS:
        rows += cost_rows(f"{case}, {kind}", [each[kind] for each in rounds])
    wall = Row(f"{case}, with ÷ without: wall", "×", [each["with"].wall / each["without"].wall for each in rounds])
    if bound is not None:
        wall.target = f"≤ {bound:.2f} ×"
        wall.at_most(bound)
    cpu = Row(f"{case}, with ÷ without: client CPU", "×", [each["with"].cpu / each["without"].cpu for each in rounds])
    return [*rows, wall, cpu]
