"""What an incremental crawl costs beside one of everything: nothing changed, and 1 % of the runs."""

import sqlite3
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.crawls import Cost, crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores
from benchmarks.processes import CommandFailed
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import WORKERS, Mlflow, gms, mlflow_on_sqlite
from tests.servers.mlflow_server import free_port

RUNS = Data(runs=100_000, experiments=20)
CORES = 2
CHANGED = 100
"""One of so many runs is changed."""
NOTHING, SOME = 0.02, 0.05
ASPECTS_A_RUN = 2
"""How it ended, and its tags."""


class Round(msgspec.Struct):
    """Crawls of one server, in this order; `state` is the size of the state in bytes."""

    plain: Cost
    first: Cost
    again: Cost
    nothing: Cost
    some: Cost
    changed: int
    state: int


def run(quick: bool, repeats: int) -> Result:
    """A real MLflow, whose database is edited between two crawls."""
    return measure(QUICK if quick else RUNS, repeats)


def measure(data: Data, repeats: int) -> Result:
    """The same with so much data."""
    cores = keep_to_cores(CORES)
    with mlflow_on_sqlite(data) as mlflow:
        rounds = [_round(mlflow, data, repeat) for repeat in range(repeats)]
    notes = [
        f"All processes share {cores} cores; MLflow has {WORKERS} workers on SQLite, without the stall.",
        "A run that is changed has ended now, and has another tag: two aspects.",
    ]
    return Result("incremental", "Incremental crawls", _rows(data, rounds), notes, versions={"mlflow": MLFLOW})


def _round(mlflow: Mlflow, data: Data, repeat: int) -> Round:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        state = Path(name) / "crawl.state"
        # The state is that of one DataHub, so each double has the same address.
        into = partial(gms, port=free_port())

        def crawled(what: str, *options: str) -> Cost:
            say(f"{data.runs:,} runs, {what}, repeat {repeat + 1}")
            return crawl(mlflow, options=options, into=into)

        incremental = ("--state", str(state), "--incremental")
        plain = crawled("without a state")
        first = crawled("the first", *incremental)
        again = crawled("everything again", "--state", str(state), "--changed-only")
        nothing = crawled("nothing changed", *incremental)
        changed = _change(mlflow.database, data, repeat)
        some = crawled("1 % changed", *incremental)
        _require(again, 0)
        _require(nothing, 0)
        _require(some, ASPECTS_A_RUN * changed)
        return Round(plain, first, again, nothing, some, changed, state.stat().st_size)


def _change(database: Path, data: Data, repeat: int) -> int:
    """Lets every hundredth run end now with another tag, others each time. Returns how many these are."""
    now = time.time_ns() // 1_000_000
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        rows = connection.execute("SELECT run_uuid FROM runs ORDER BY start_time").fetchall()
        changed = rows[repeat % CHANGED :: CHANGED]
        connection.executemany(f"UPDATE runs SET end_time = {now} WHERE run_uuid = ?", changed)
        connection.executemany(f"UPDATE tags SET value = 'at {now}' WHERE run_uuid = ? AND key = 'tag4'", changed)
        connection.commit()
    if len(rows) != data.runs:
        raise CommandFailed(f"The database has {len(rows)} runs, not {data.runs}.")
    return len(changed)


def _require(cost: Cost, proposals: int) -> None:
    """Raises CommandFailed unless so many proposals were sent."""
    sent = cost.report["written"]["proposals"]
    if sent != proposals:
        raise CommandFailed(f"{sent} proposals were sent, not {proposals}.")


def _rows(data: Data, rounds: list[Round]) -> list[Row]:
    rows: list[Row] = []
    for name, costs in (
        ("without a state", [each.plain for each in rounds]),
        ("the first, with --incremental", [each.first for each in rounds]),
        ("everything again, --changed-only", [each.again for each in rounds]),
        ("incremental, nothing changed", [each.nothing for each in rounds]),
        ("incremental, 1 % changed", [each.some for each in rounds]),
    ):
        rows += [
            Row(f"{name}: wall", "s", [cost.wall for cost in costs]),
            Row(f"{name}: client CPU", "s", [cost.cpu for cost in costs]),
            Row(f"{name}: MLflow CPU", "s", [cost.mlflow_cpu for cost in costs]),
            Row(f"{name}: peak RSS", "MB", [cost.peak_rss / 1e6 for cost in costs]),
        ]
    for name, bound, parts in (
        ("incremental, nothing changed", NOTHING, [(each.nothing, each.plain) for each in rounds]),
        ("incremental, 1 % changed", SOME, [(each.some, each.plain) for each in rounds]),
    ):
        walls = [part.wall / plain.wall for part, plain in parts]
        servers = [part.mlflow_cpu / plain.mlflow_cpu for part, plain in parts]
        rows.append(Row(f"{name} ÷ everything: wall", "×", walls, f"≤ {bound}").at_most(bound))
        rows.append(Row(f"{name} ÷ everything: MLflow CPU", "×", servers, f"≤ {bound}").at_most(bound))
    sent = [each.some.report["written"]["proposals"] / (ASPECTS_A_RUN * each.changed) for each in rounds]
    rows.append(Row("incremental: proposals sent ÷ aspects changed", "×", sent, "= 1").at_most(1.0))
    rows.append(Row("state, a run", "bytes", [each.state / data.runs for each in rounds]))
    return rows
