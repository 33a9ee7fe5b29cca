"""What ten times the runs cost in memory and in time a run, and what a slow line costs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.crawls import Cost, crawl
from benchmarks.data import MLFLOW, QUICK, Data
from benchmarks.machine import keep_to_cores
from benchmarks.processes import CommandFailed, measured, running
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import ROOT, Mlflow, has_postgresql, mlflow_on_postgresql, mlflow_on_sqlite, replay

CORES = 2
ROUND_TRIPS = (0.02, 0.1)
MEGABITS = 100.0
RSS_LIMIT = 90
MEGABYTE = 1_000_000


class Sizes(NamedTuple):
    """How many runs, small and ten times that; and the data behind the slow line."""

    memory: tuple[int, int]
    growth: tuple[int, int]
    experiments: tuple[int, ...]
    line: Data


FULL = Sizes((20_000, 200_000), (2_000, 20_000), (20, 1), Data(runs=20_000, experiments=20))
SMALL = Sizes((200, 2_000), (50, 500), (2,), QUICK)


class Lines:
    """Opens slow lines to servers and keeps what they cost themselves."""

    def __init__(self, round_trip: float) -> None:
        self.cpu_seconds = 0.0
        self._options = ("--round-trip", str(round_trip), "--megabits", str(MEGABITS))

    @contextmanager
    def open(self, url: str) -> Iterator[str]:
        """The URL of the line to the server at `url`."""
        command = [sys.executable, "-m", "benchmarks.line", urlsplit(url).netloc, *self._options]
        with running(command, cwd=ROOT) as process:
            line = process.first_line()
            before = process.cpu_seconds()
            yield line
            self.cpu_seconds += process.cpu_seconds() - before


def run(quick: bool, repeats: int) -> Result:
    """Memory by a replay server, growth on PostgreSQL, and the slow line in front of MLflow on SQLite."""
    sizes = SMALL if quick else FULL
    cores = keep_to_cores(CORES)
    notes = [
        "Peak RSS: a replay server gives recorded pages, multiplied.",
        "Time a run: the crawl's own duration, without the start of Python, divided by the runs.",
        f"The slow line: {MEGABITS:.0f} Mbit/s a direction in front of each server.",
        f"Its bound: the larger of the busier line's transfer and all CPU seconds, the line's too, ÷ {cores} cores.",
    ]
    versions = {"mlflow": MLFLOW}
    if has_postgresql():
        versions["postgresql"] = measured(["postgres", "--version"]).stdout.strip()
    else:
        notes.append("No growth on PostgreSQL: postgres, initdb and psql are not all installed here.")
    rows = [*_slow_lines(sizes, repeats, cores), *_growth(sizes, repeats), *_memory(sizes, repeats)]
    return Result("scale", "Ten times the runs, and a slow line", rows, notes, versions=versions)


def _memory(sizes: Sizes, repeats: int) -> list[Row]:
    small, large = ([_replayed(runs, repeat).peak_rss for repeat in range(repeats)] for runs in sizes.memory)
    growth = [much / little for little, much in zip(small, large, strict=True)]
    rows = [
        Row(f"{runs:,} runs: peak RSS", "MB", [size / MEGABYTE for size in sizes_of], f"< {RSS_LIMIT} MB")
        for runs, sizes_of in zip(sizes.memory, (small, large), strict=True)
    ]
    for row in rows:
        row.at_most(RSS_LIMIT)
    return [*rows, Row("peak RSS, 10 × the runs", "×", growth, "equal within 10 %").at_most(1.1)]


def _replayed(runs: int, repeat: int) -> Cost:
    say(f"peak RSS: {runs:,} runs from the replay server, repeat {repeat + 1}")
    with replay(runs=runs, experiments=20, models=50, versions=4) as source:
        return _complete(crawl(source), runs)


def _growth(sizes: Sizes, repeats: int) -> Iterator[Row]:
    if not has_postgresql():
        return
    with mlflow_on_postgresql() as (mlflow, fill):
        for experiments in sizes.experiments:
            case = f"PostgreSQL, {experiments} experiment{'s' if experiments > 1 else ''}"
            times = []
            for runs in sizes.growth:
                fill(Data(runs, experiments))
                times.append([_time_a_run(mlflow, runs, f"{case}, repeat {repeat + 1}") for repeat in range(repeats)])
                yield Row(f"{case}: {runs:,} runs", "ms a run", times[-1])
            growth = [large / small for small, large in zip(*times, strict=True)]
            yield Row(f"{case}: time a run, 10 × the runs", "×", growth, "≤ 1.1 ×").at_most(1.1)


def _time_a_run(mlflow: Mlflow, runs: int, case: str) -> float:
    """Milliseconds."""
    say(f"{case}: {runs:,} runs")
    duration: float = _complete(crawl(mlflow), runs).report["duration_s"]
    return duration * 1_000 / runs


def _slow_lines(sizes: Sizes, repeats: int, cores: int) -> Iterator[Row]:
    data = sizes.line
    with mlflow_on_sqlite(data) as mlflow:
        for round_trip in ROUND_TRIPS:
            case = f"{data.runs:,} runs, {round_trip * 1_000:.0f} ms round trip"
            walls, bounds = [], []
            for repeat in range(repeats):
                say(f"{case}, repeat {repeat + 1}")
                lines = Lines(round_trip)
                cost = _complete(crawl(mlflow, lines.open), data.runs)
                walls.append(cost.wall)
                bounds.append(max(_transfer(cost), (cost.all_cpu + lines.cpu_seconds) / cores))
            yield Row(f"{case}: wall", "s", walls)
            yield Row(f"{case}: bound", "s", bounds)
            beside = [wall / bound for wall, bound in zip(walls, bounds, strict=True)]
            yield Row(f"{case}: wall ÷ bound", "×", beside, "≤ 1.3 ×").at_most(1.3)


def _transfer(cost: Cost) -> float:
    """Seconds that the bodies take over the busier of the two lines."""
    busier: int = max(cost.report["mlflow"]["bytes"], cost.report["datahub"]["bytes"])
    return busier * 8 / (MEGABITS * 1e6)


def _complete(cost: Cost, runs: int) -> Cost:
    delivered = cost.counts["entities"]["dataProcessInstance"]
    if delivered != runs:
        raise CommandFailed(f"Of {runs} runs {delivered} were delivered.")
    return cost
