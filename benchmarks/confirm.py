"""What it costs to confirm that DataHub has what it took: the same crawl with each kind of `--confirm`, in turn."""

from benchmarks.crawls import Cost, cost_rows, crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores
from benchmarks.processes import CommandFailed
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import WORKERS, Mlflow, mlflow_on_sqlite

RUNS = Data(runs=20_000, experiments=20)
CORES = 2
BOUND = 1.10
KINDS = ("none", "entities", "stored")
HOW = {"none": "status", "entities": "read back", "stored": "stored"}


def run(quick: bool, repeats: int) -> Result:
    """By Rest.li, where everything is read back; all processes on the same two cores."""
    cores = keep_to_cores(CORES)
    data = QUICK if quick else RUNS
    with mlflow_on_sqlite(data) as mlflow:
        rounds = [_round(mlflow, f"{repeat + 1} of {repeats}") for repeat in range(repeats)]
    notes = [
        f"All processes share {cores} cores; MLflow has {WORKERS} workers on SQLite, without the stall.",
        "The double has everything at once; a real GMS looks up some hundred primary keys a request.",
    ]
    return Result(
        "confirm", f"{data.runs:,} runs by Rest.li, confirmed", _rows(rounds), notes, versions={"mlflow": MLFLOW}
    )


def _round(mlflow: Mlflow, repeat: str) -> dict[str, Cost]:
    costs = {}
    for kind in KINDS:
        say(f"--confirm {kind}, {repeat}")
        costs[kind] = crawl(mlflow, options=("--confirm", kind))
        _require_confirmed(costs[kind], HOW[kind])
    return costs


def _require_confirmed(cost: Cost, how: str) -> None:
    told = cost.report["confirmed"]
    expected = {entity_type: {how: count} for entity_type, count in cost.counts["entities"].items()}
    if told != expected:
        raise CommandFailed(f"The crawl reports {told} as confirmed, not {expected}.")
    if bool(cost.counts["read_backs"]) != (how != "status"):
        raise CommandFailed(f"{cost.counts['read_backs']} requests read back where entities are confirmed by {how}.")


def _rows(rounds: list[dict[str, Cost]]) -> list[Row]:
    rows: list[Row] = []
    for kind in KINDS:
        costs = [each[kind] for each in rounds]
        rows += [
            *cost_rows(kind, costs),
            Row(f"{kind}: read-backs", "requests", [float(cost.counts["read_backs"]) for cost in costs]),
        ]
    default, stored = ([each[kind].wall / each["none"].wall for each in rounds] for kind in ("entities", "stored"))
    rows.append(Row("entities ÷ none: wall", "×", default, f"≤ {BOUND:.2f} ×").at_most(BOUND))
    rows.append(Row("stored ÷ none: wall", "×", stored))
    return rows
