"""`demo`: a sample MLflow server, crawled into DataHub Lite and shown."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from crawler.cli.crawl import run_crawl
from crawler.cli.demo_server.held_signals import signals_held_back
from crawler.cli.demo_server.lineage import Catalog, Lineage
from crawler.cli.demo_server.look import make_home
from crawler.cli.demo_server.sample import RUNS, fill
from crawler.cli.demo_server.server import mlflow_server
from crawler.cli.demo_server.steps import step
from crawler.cli.demo_server.typed import typed_command, typed_python
from crawler.cli.interruption import terminating_signals
from crawler.cli.standard_streams import write_output
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import ExitCode, SettingsError
from crawler.settings.crawl import Settings
from crawler.telemetry.logs import configure_logging
from crawler.telemetry.report import Report
from crawler.telemetry.summary import KINDS, print_summary

LOOK = """\
The catalog is {catalog}
Look at it with DataHub's own command:
  HOME={folder} \\
    {python} -m datahub lite ls
  HOME={folder} \\
    {python} -m datahub lite search churn
"""
KEEP = """\
The folder stays until the system clears its temporary files. Keep it elsewhere:
  {command} demo --directory DIR
"""
NEXT = """\

Next, with your own servers:
  {command} check \\
    --mlflow-uri http://localhost:5000 --datahub-url http://localhost:8080
  {command} crawl \\
    --mlflow-uri http://localhost:5000 --datahub-url http://localhost:8080

Without a DataHub, or with a recipe of `datahub ingest`:
  {command} crawl \\
    --mlflow-uri http://localhost:5000 -o proposals.json
  {command} crawl -c recipe.yml
"""


def demo_command(arguments: argparse.Namespace) -> ExitCode:
    """Run the demo in a folder of its own, which stays unless the demo is interrupted. Return the crawl's exit code."""
    configure_logging("text")
    _hear_termination()
    console = Console(highlight=False, markup=False)
    with _folder(arguments.directory) as folder:
        catalog = folder / "datahub.db"
        with _filled_server(folder, console) as url:
            settings = _settings(url, catalog)
            report = Report(settings.run_id)
            # One must not end a crawl whose event loop is half made. The loop, once it is there, hears them itself.
            with signals_held_back(terminating_signals()):
                console.print("Crawling it into DataHub Lite …")
                exit_code = run_crawl(settings, report, live=sys.stderr.isatty())
        print_summary(report, report_path=None, stream=sys.stdout)
        if exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            raise SystemExit(exit_code)
        if exit_code == ExitCode.OK:
            _show(catalog, console)
            make_home(folder, catalog)
            names = {"folder": shlex.quote(str(folder)), "catalog": catalog, "python": typed_python()}
            write_output((LOOK if arguments.directory else LOOK + KEEP).format(command=typed_command(), **names))
    write_output(NEXT.format(command=typed_command()))
    return exit_code


def _hear_termination() -> None:
    for number in terminating_signals():
        signal.signal(number, _terminate)


def _terminate(_number: int, _frame: object) -> None:
    """End the demo as Ctrl-C does, so that its server and folder go with it."""
    raise SystemExit(ExitCode.TERMINATED)


@contextmanager
def _filled_server(folder: Path, console: Console) -> Iterator[str]:
    with ExitStack() as stack:
        with step(console, "Starting a real MLflow server …"):
            url = stack.enter_context(mlflow_server(folder))
        with step(console, f"MLflow is at {url}. Filling it with sample data …") as told:
            for runs in fill(url):
                told(f"{runs} of {RUNS} runs")
        yield url


def _settings(url: str, catalog: Path) -> Settings:
    # An empty environment: the demo must not reach for the user's own servers.
    return load(None, {}, Flags(mlflow_uri=url, sink="lite", output=catalog), home=catalog.parent)


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mlflow-datahub-demo-")) if directory is None else _make(directory)
    try:
        yield folder
    except (SystemExit, KeyboardInterrupt):
        if directory is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _make(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise SettingsError(f"Cannot make the folder {directory}: {error.strerror}.", "Name a new one.") from None
    return directory.resolve()


def _show(catalog_path: Path, console: Console) -> None:
    with closing(Catalog(catalog_path)) as catalog:
        console.print(_counts(catalog.entities()))
        lineage = catalog.lineage_of_a_production_model()
    console.print(f"Where the model {lineage.model} in production comes from:")
    console.print(_way(lineage))
    console.print()


def _counts(entities: dict[str, int]) -> Table:
    table = Table(title="\nIn the catalog now", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("MLflow")
    table.add_column("DataHub")
    table.add_column("entities", justify="right")
    for name, _, entity_type in KINDS:
        table.add_row(name, entity_type, str(entities.get(entity_type, 0)))
    return table


def _way(lineage: Lineage) -> Tree:
    first, *rest = (f"{kind}: {name}" for kind, name in lineage.steps)
    branch = tree = Tree(first)
    for text in rest:
        branch = branch.add(text)
    return tree
