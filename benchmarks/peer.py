"""The official connector beside our crawl: the same server, the same data, the same double of GMS, in turn."""

import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.crawls import Cost, cost_of, crawl
from benchmarks.data import MLFLOW, QUICK, Data, pages_needed
from benchmarks.processes import CommandFailed, measured
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import ROOT, Mlflow, mlflow_on_sqlite
from tests.servers.environments import environment

OFFICIAL = "acryl-datahub 1.7.0.17"
REQUIREMENTS = Path(__file__).parent / "requirements" / "official.txt"
INGEST = Path(__file__).with_name("official_ingest.py")
QUIET = {"DATAHUB_TELEMETRY_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
SMALL = Data(runs=1_000, experiments=5)
LARGE = Data(runs=20_000, experiments=20)
LONG_REPEATS, USUAL_REPEATS = 2, 5
MEGABYTE = 1_000_000


class Case(NamedTuple):
    """Data and a server, and how often each side crawls it."""

    name: str
    data: Data
    as_shipped: bool
    official: int
    ours: int


class Crawled(NamedTuple):
    """A crawl's cost and the requests that MLflow's access log has of it."""

    cost: Cost
    requests: int


class Measure(NamedTuple):
    """What is compared."""

    name: str
    unit: str
    of: Callable[[Crawled], float]


MEASURES = (
    Measure("wall", "s", lambda crawled: crawled.cost.wall),
    Measure("client CPU", "s", lambda crawled: crawled.cost.cpu),
    Measure("MLflow CPU", "s", lambda crawled: crawled.cost.mlflow_cpu),
    Measure("client peak RSS", "MB", lambda crawled: crawled.cost.peak_rss / MEGABYTE),
    Measure("requests to MLflow", "requests", lambda crawled: crawled.requests),
    Measure("requests to DataHub", "requests", lambda crawled: crawled.cost.counts["requests"]),
    Measure("proposals", "proposals", lambda crawled: crawled.cost.counts["proposals"]),
    Measure("bytes to DataHub", "MB", lambda crawled: crawled.cost.counts["bytes"] / MEGABYTE),
)


def run(quick: bool, repeats: int) -> Result:
    """1,000 runs with the server as shipped and with its stall removed, then 20,000 runs without the stall."""
    rows: list[Row] = []
    notes: list[str] = []
    if not quick:
        _compile()
    for case in _cases(quick, repeats):
        case_rows, case_notes = _compare(case)
        rows += case_rows
        notes += [note for note in case_notes if note not in notes]
    _judge({row.name: row for row in rows})
    notes += [
        "A ratio is the official connector's median divided by each crawl of ours; above 1 is in our favour.",
        "Requests to MLflow are counted in its own access log.",
        "As shipped, MLflow 3.17.2 with 2 workers stalls kept connections by some 40 ms a request.",
        "No stall: TCP_NODELAY is set on its accepted sockets.",
    ]
    return Result("peer", f"Official connector ({OFFICIAL}) and this crawler", rows, notes, versions={"mlflow": MLFLOW})


def _cases(quick: bool, repeats: int) -> list[Case]:
    if quick:
        return [Case(f"{QUICK.runs} runs, no stall", QUICK, False, repeats, repeats)]
    # The official connector takes minutes for the large data: only more repeats than usual repeat it as often.
    long = repeats if repeats > USUAL_REPEATS else min(repeats, LONG_REPEATS)
    return [
        Case("1,000 runs, as shipped", SMALL, True, repeats, repeats),
        Case("1,000 runs, no stall", SMALL, False, repeats, repeats),
        Case("20,000 runs, no stall", LARGE, False, long, repeats),
    ]


def _compare(case: Case) -> tuple[list[Row], list[str]]:
    official: list[Crawled] = []
    ours: list[Crawled] = []
    with mlflow_on_sqlite(case.data, as_shipped=case.as_shipped) as mlflow:
        for repeat in range(case.ours):
            if repeat < case.official:
                say(f"{case.name}: official connector, {repeat + 1} of {case.official}")
                official.append(_counted(mlflow, _ingest))
            say(f"{case.name}: this crawler, {repeat + 1} of {case.ours}")
            ours.append(_counted(mlflow, crawl))
    notes = _require_same(official, ours, case.data.runs)
    rows = [row for measure in MEASURES for row in _rows(case.name, measure, official, ours)]
    needed = pages_needed(case.data)
    rows.append(
        Row(f"{case.name}: requests to MLflow ÷ pages", "× pages", [crawled.requests / needed for crawled in ours])
    )
    return rows, notes


def _rows(case: str, measure: Measure, official: list[Crawled], ours: list[Crawled]) -> list[Row]:
    theirs, own = [measure.of(each) for each in official], [measure.of(each) for each in ours]
    return [
        Row(f"{case}: {measure.name}, official", measure.unit, theirs),
        Row(f"{case}: {measure.name}, ours", measure.unit, own),
        Row(f"{case}: {measure.name}, ratio", "×", [statistics.median(theirs) / value for value in own]),
    ]


def _judge(rows: dict[str, Row]) -> None:
    """Holds the rows that have a target against it."""
    for name, bound in (
        ("1,000 runs, as shipped: wall, ratio", 60),
        ("20,000 runs, no stall: wall, ratio", 16),
        ("20,000 runs, no stall: client CPU, ratio", 45),
        ("20,000 runs, no stall: MLflow CPU, ratio", 6),
    ):
        if row := rows.get(name):
            row.target = f"≥ {bound} ×"
            row.at_least(bound)
    if row := rows.get("20,000 runs, no stall: requests to MLflow ÷ pages"):
        row.target = "equal, plus at most 1 %"
        row.at_most(1.01)


def _counted(mlflow: Mlflow, crawl_it: Callable[[Mlflow], Cost]) -> Crawled:
    before = mlflow.requests()
    cost = crawl_it(mlflow)
    return Crawled(cost, mlflow.requests() - before)


def _compile() -> None:
    """All modules of both sides to bytecode, so that no first crawl has to."""
    folders = ((_official_python(), _official_python().parent.parent / "lib"), (sys.executable, ROOT / "crawler"))
    for python, folder in folders:
        # Exit code 1: a file that some package brings for another Python.
        measured([python, "-m", "compileall", "-q", folder], expected=(0, 1))


def _official_python() -> Path:
    return environment("official", REQUIREMENTS) / "bin" / "python"


def _ingest(mlflow: Mlflow) -> Cost:
    """The official connector's crawl, from the environment that is made for it."""

    def command(folder: Path, datahub_url: str) -> list[str | Path]:
        recipe = folder / "recipe.yml"
        source = {"type": "mlflow", "config": {"tracking_uri": mlflow.url}}
        sink = {"type": "datahub-rest", "config": {"server": datahub_url}}
        recipe.write_text(yaml.safe_dump({"source": source, "sink": sink}))
        return [_official_python(), INGEST, "ingest", "run", "-c", recipe]

    return cost_of(command, mlflow, environment=QUIET)


def _require_same(official: Iterable[Crawled], ours: Iterable[Crawled], runs: int) -> list[str]:
    """What the sides wrote that the other did not. Raises CommandFailed where they differ in what both write."""
    theirs = [each.cost.counts for each in official]
    own = [each.cost.counts for each in ours]
    common = set.intersection(*(set(counts["entities"]) for counts in (*theirs, *own)))
    for kind in common:
        if len({counts["digests"][kind] for counts in (*theirs, *own)}) > 1:
            numbers = [counts["entities"][kind] for counts in (*theirs, *own)]
            raise CommandFailed(f"The two crawlers did not deliver the same {kind} entities: {numbers}.")
    if any(counts["entities"]["dataProcessInstance"] != runs for counts in (*theirs, *own)):
        raise CommandFailed(f"Not each of the {runs} runs was delivered.")
    one, other = theirs[0], own[0]
    return [
        f"{runs:,} runs: both wrote the same URNs of {', '.join(sorted(common))}.",
        f"{runs:,} runs: only the official connector wrote {_only(one, other)}, only ours {_only(other, one)}.",
        f"{runs:,} runs: {one['aspects']:,} distinct aspects by the official connector, {other['aspects']:,} by ours.",
    ]


def _only(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The entity types that one wrote and the other did not."""
    return (
        ", ".join(f"{kind} ({one['entities'][kind]:,})" for kind in one["entities"].keys() - other["entities"])
        or "none"
    )
