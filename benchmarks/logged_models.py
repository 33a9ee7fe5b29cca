"""Logged models: our crawl beside the naive floor and the bound; and that memory does not grow with them."""

from contextlib import ExitStack

from benchmarks import floor
from benchmarks.crawls import crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores, on_core
from benchmarks.processes import CommandFailed
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import WORKERS, Mlflow, mlflow_on_sqlite, replay

SHAPES = (
    Data(runs=200, experiments=20, logged_models=10_000),
    Data(runs=200, experiments=1, logged_models=10_000),
)
SMALL = QUICK._replace(logged_models=100)
AT_MOST = 1.15
MEMORY, SMALL_MEMORY = (10_000, 100_000), (100, 1_000)
EXPERIMENTS, RUNS = 20, 1_000
GROWTH = 1.1
MEGABYTE = 1_000_000


def run(quick: bool, repeats: int) -> Result:
    """Logged models in twenty experiments and in one, where MLflow has a core of its own; then many more of them.

    Then all processes on the same two cores, where ours take theirs from MLflow.
    """
    cores = keep_to_cores(floor.CORES)
    rows: list[Row] = []
    for data in (SMALL,) if quick else SHAPES:
        rows += _apart(data, repeats)
        rows += _together(data, repeats, cores)
    rows += _memory(SMALL_MEMORY if quick else MEMORY, repeats)
    notes = [
        f"MLflow has {WORKERS} workers on SQLite, without the stall, on a core of its own, or on {cores} that all use.",
        "The floor fetches every page, four at once; it maps and writes nothing, so it leaves shared cores to MLflow.",
        "Peak RSS: a replay server gives pages of logged models with 10 params, 20 metrics and 5 tags.",
    ]
    return Result("logged_models", "Logged models", rows, notes, versions={"mlflow": MLFLOW})


def _apart(data: Data, repeats: int) -> list[Row]:
    with ExitStack() as stack:
        with on_core(0):
            mlflow = stack.enter_context(mlflow_on_sqlite(data))
        with on_core(1):
            pairs = _pairs(mlflow, data, repeats)
    case = f"{_case(data)}, MLflow has its core"
    ratios = [pair.ours.wall / pair.floor for pair in pairs]
    return [*_walls(case, pairs), Row(f"{case}: ours ÷ floor", "×", ratios, f"≤ {AT_MOST} ×").at_most(AT_MOST)]


def _together(data: Data, repeats: int, cores: int) -> list[Row]:
    with mlflow_on_sqlite(data) as mlflow:
        pairs = _pairs(mlflow, data, repeats)
    case = f"{_case(data)}, shared cores"
    return [
        *_walls(case, pairs),
        Row(f"{case}: ours ÷ floor", "×", [pair.ours.wall / pair.floor for pair in pairs]),
        Row(f"{case}: bound", "s", [pair.ours.all_cpu / cores for pair in pairs]),
        Row(f"{case}: client CPU, ours", "s", [pair.ours.cpu for pair in pairs]),
    ]


def _pairs(mlflow: Mlflow, data: Data, repeats: int) -> list[floor.Pair]:
    pairs = [floor.pair(mlflow, data, f"{repeat + 1} of {repeats}") for repeat in range(repeats)]
    wanted = data.models * data.versions + data.logged_models
    if any(pair.ours.counts["entities"]["mlModel"] != wanted for pair in pairs):
        raise CommandFailed(f"Not each of {wanted:,} models was delivered.")
    return pairs


def _walls(case: str, pairs: list[floor.Pair]) -> list[Row]:
    return [
        Row(f"{case}: wall, floor", "s", [pair.floor for pair in pairs]),
        Row(f"{case}: wall, ours", "s", [pair.ours.wall for pair in pairs]),
    ]


def _case(data: Data) -> str:
    return f"{data.logged_models:,} logged models, {data.experiments:,} experiment{'s'[: data.experiments > 1]}"


def _memory(sizes: tuple[int, int], repeats: int) -> list[Row]:
    peaks: dict[int, list[float]] = {}
    for size in sizes:
        for repeat in range(repeats):
            say(f"{size:,} logged models: memory, {repeat + 1} of {repeats}")
            with replay(runs=RUNS, experiments=EXPERIMENTS, logged_models=size) as server:
                cost = crawl(server)
            if cost.counts["entities"]["mlModel"] != size:
                raise CommandFailed(f"Not each of {size:,} logged models was delivered: {cost.counts['entities']}.")
            peaks.setdefault(size, []).append(cost.peak_rss / MEGABYTE)
    small, large = sizes
    growth = [after / before for before, after in zip(peaks[small], peaks[large], strict=True)]
    return [
        *(Row(f"{size:,} logged models: peak RSS", "MB", found) for size, found in peaks.items()),
        Row(f"peak RSS, {large:,} ÷ {small:,} logged models", "×", growth, f"≤ {GROWTH} ×").at_most(GROWTH),
    ]
