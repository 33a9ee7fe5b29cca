"""`demo`: a sample MLflow server, crawled into DataHub Lite and shown."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from crawler.cli.crawl import run_crawl
from crawler.cli.demo_server.lineage import Catalog, Lineage
from crawler.cli.demo_server.sample import fill
from crawler.cli.demo_server.server import mlflow_server
from crawler.cli.interruption import terminating_signals
from crawler.cli.standard_streams import write_output
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.config.settings import Settings
from crawler.errors import ExitCode, SettingsError
from crawler.telemetry.logs import configure_logging
from crawler.telemetry.report import Report
from crawler.telemetry.summary import KINDS, print_summary

NEXT = """\
Next, with your own servers:
  mlflow-datahub-crawler check --mlflow-uri http://localhost:5000 --datahub-url http://localhost:8080
  mlflow-datahub-crawler crawl --mlflow-uri http://localhost:5000 --datahub-url http://localhost:8080
  mlflow-datahub-crawler crawl --mlflow-uri http://localhost:5000 -o proposals.json    # no DataHub needed
  mlflow-datahub-crawler crawl -c recipe.yml                                           # a recipe of `datahub ingest`"""


def demo_command(arguments: argparse.Namespace) -> ExitCode:
    """Run the demo in a folder of its own and return the crawl's exit code."""
    configure_logging("text")
    _hear_termination()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with _folder(arguments.directory) as folder:
        console.print("Starting a real MLflow server …")
        with mlflow_server(folder) as url:
            console.print(f"MLflow is at {url}. Filling it with sample data …")
            fill(url)
            settings = _settings(url, folder / "datahub.db")
            report = Report(settings.run_id)
            with _termination_held_back():
                console.print("Crawling it into DataHub Lite …")
                exit_code = run_crawl(settings, report, live=sys.stderr.isatty())
        print_summary(report, report_path=None, stream=sys.stdout)
        if exit_code == ExitCode.OK:
            _show(folder / "datahub.db", console)
        if arguments.directory:
            console.print(f"The catalog is {folder / 'datahub.db'}.")
    write_output(f"{NEXT}\n")
    return exit_code


def _hear_termination() -> None:
    for number in terminating_signals():
        signal.signal(number, _terminate)


def _terminate(_number: int, _frame: object) -> None:
    """End the demo as Ctrl-C does, so that its server and folder go with it."""
    raise SystemExit(ExitCode.TERMINATED)


@contextmanager
def _termination_held_back() -> Iterator[None]:
    """Keep a signal from ending a crawl whose event loop is half made: what its loop does not hear comes at the end."""
    heard: list[int] = []
    for number in terminating_signals():
        # Blocking them would not do: any other thread could take one, and Python would raise in this one.
        signal.signal(number, lambda number, _frame: heard.append(number))
    try:
        yield
    finally:
        # The crawl's event loop has left them to the system, which would end the demo at once.
        _hear_termination()
    if heard:
        raise SystemExit(ExitCode.TERMINATED)


def _settings(url: str, catalog: Path) -> Settings:
    # An empty environment: the demo must not reach for the user's own servers.
    return load(None, {}, Flags(mlflow_uri=url, sink="lite", output=catalog), home=catalog.parent)


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="mlflow-datahub-demo-") as name:
            yield Path(name)
        return
    try:
        directory.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise SettingsError(f"Cannot make the folder {directory}: {error.strerror}.", "Name a new one.") from None
    yield directory.resolve()


def _show(catalog_path: Path, console: Console) -> None:
    with closing(Catalog(catalog_path)) as catalog:
        console.print(_counts(catalog.entities()))
        console.print(_way(catalog.lineage_of_a_production_model()))


def _counts(entities: dict[str, int]) -> Table:
    table = Table(title="\nIn the catalog now", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("MLflow")
    table.add_column("DataHub")
    table.add_column("entities", justify="right")
    for name, _, entity_type in KINDS:
        table.add_row(name, entity_type, str(entities.get(entity_type, 0)))
    return table


def _way(lineage: Lineage) -> str:
    lines = [f"\nWhere the model {lineage.model} in production comes from:"]
    for depth, (kind, name) in enumerate(lineage.steps):
        lines.append(f"  {'   ' * depth}└─ {kind}: {name}")
    return "\n".join([*lines, ""])
