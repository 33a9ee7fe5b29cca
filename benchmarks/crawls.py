"""One crawl of a server into a fresh double, and what it cost each process."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks.processes import CommandFailed, measured
from benchmarks.results import Row
from benchmarks.servers import ROOT, Counting, gms

REPORT = "report.json"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


class Source(Protocol):
    """A server to crawl, whose CPU can be told."""

    url: str

    def cpu_seconds(self) -> float:
        """What it spent so far."""


class Cost(msgspec.Struct):
    """Seconds and bytes of one crawl; `counts` is what the double says that it got, `report` our own crawl's."""

    wall: float
    cpu: float
    peak_rss: int
    mlflow_cpu: float
    double_cpu: float
    counts: dict[str, Any]
    report: dict[str, Any] = {}

    @property
    def all_cpu(self) -> float:
        """Of both servers and the client."""
        return self.mlflow_cpu + self.double_cpu + self.cpu


Command = Callable[[Path, str], Sequence[str | Path]]
OpenLine = Callable[[str], AbstractContextManager[str]]
OpenDouble = Callable[[], AbstractContextManager[Counting]]


def crawl(
    source: Source,
    line: OpenLine = nullcontext,
    *,
    options: Sequence[str] = (),
    into: OpenDouble = gms,
) -> Cost:
    """Our crawl, as users start it, with more options where given. `line` leads to a server of which it gets the URL;
    `into` opens the double.

    Raises CommandFailed unless it delivered what it reports.
    """
    with line(source.url) as mlflow_url:

        def command(folder: Path, datahub_url: str) -> Sequence[str | Path]:
            return crawl_command(mlflow_url, datahub_url, folder, options)

        cost = cost_of(command, source, environment=ENVIRONMENT, line=line, into=into)
    delivered = {kind: count for kind, count in cost.report["written"]["entities"].items() if count}
    if delivered != cost.counts["entities"]:
        raise CommandFailed(f"The crawl reports {delivered}, the double got {cost.counts['entities']}.")
    return cost


def crawl_command(mlflow_url: str, datahub_url: str, folder: Path, options: Sequence[str] = ()) -> list[str | Path]:
    """Our crawl as a command, which leaves its report in the folder."""
    urls = ("--mlflow-uri", mlflow_url, "--datahub-url", datahub_url)
    report = ("--report", folder / REPORT)
    return [sys.executable, "-m", "crawler", "crawl", *urls, *report, "--no-progress", *options]


def cost_of(
    command: Command,
    source: Source,
    *,
    environment: dict[str, str] | None = None,
    line: OpenLine = nullcontext,
    into: OpenDouble = gms,
) -> Cost:
    """Runs a client that reads the source and writes to a fresh double. `command` gets a folder and the double's URL.

    Raises CommandFailed where it fails, or writes what the double drops.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, into() as double, line(double.url) as datahub_url:
        folder = Path(name)
        # Nobody's own settings: an empty home has no ~/.datahubenv.
        variables = {"HOME": name} | (environment or {})
        before = source.cpu_seconds(), double.cpu_seconds()
        client = measured(command(folder, datahub_url), environment=variables, cwd=folder)
        spent = source.cpu_seconds() - before[0], double.cpu_seconds() - before[1]
        report = folder / REPORT
        told = msgspec.json.decode(report.read_bytes()) if report.exists() else {}
    _require_kept(double)
    return Cost(client.wall, client.cpu, client.peak_rss, *spent, double.counts, told)


def _require_kept(double: Counting) -> None:
    if double.counts["dropped"]:
        raise CommandFailed(f"The double dropped {double.counts['dropped'][:3]}.")


def cost_rows(name: str, costs: Sequence[Cost]) -> list[Row]:
    """What crawls of one kind cost their own process."""
    return [
        Row(f"{name}: wall", "s", [cost.wall for cost in costs]),
        Row(f"{name}: client CPU", "s", [cost.cpu for cost in costs]),
        Row(f"{name}: peak RSS", "MB", [cost.peak_rss / 1e6 for cost in costs]),
    ]
