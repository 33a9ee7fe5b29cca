"""The servers that benchmarks need: a real MLflow on SQLite or PostgreSQL, and the double of DataHub's GMS."""

import json
import os
import pwd
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec

from benchmarks.data import FIRST_EXPERIMENT, MLFLOW, Data, fill_postgresql, sqlite_database
from benchmarks.processes import Running, measured, running, tree_cpu_seconds
from tests.servers.environments import REQUIREMENTS, environment
from tests.servers.mlflow_server import MlflowServer, free_port, mlflow_server

ROOT = Path(__file__).parent.parent
WORKERS = 2
WARM_REQUESTS = 20
SUMMARY_SECONDS = 120
"""Within which the double has counted millions of entities."""
POSTGRESQL = Path(__file__).parent / "requirements" / "postgresql.txt"
WITHOUT_STALL = {"PYTHONPATH": str(Path(__file__).parent / "no_stall")}
_LOGGED = re.compile(r'"(?:GET|POST) [^" ]*/2\.0/mlflow/([^ ?]*)')


class Mlflow:
    """A real MLflow server, and what it spent."""

    def __init__(self, server: MlflowServer, database: Running | None = None) -> None:
        self.url = server.url
        self._server = server
        self._database = database

    @property
    def database(self) -> Path:
        """The file of SQLite that it keeps its data in."""
        return self._server.database

    def cpu_seconds(self) -> float:
        """Of all its workers so far, and of its database server where it has one."""
        database = self._database.cpu_seconds() if self._database else 0.0
        return tree_cpu_seconds(self._server.pid) + database

    def requests(self, endpoint: str = "") -> int:
        """Requests to its REST API, or to one endpoint of it, so far, by its own access log."""
        with self._server.log.open(errors="replace") as log:
            return sum(1 for line in log if (found := _LOGGED.search(line)) and found[1].startswith(endpoint))


class Counting:
    """A server that counts, in a process of its own; `counts` are there when its context has ended."""

    def __init__(self, process: Running) -> None:
        self.url = process.first_line()
        self.counts: dict[str, Any] = {}
        self._process = process

    def cpu_seconds(self) -> float:
        """What it spent so far."""
        return self._process.cpu_seconds()


class Shared:
    """Servers that all benchmarks of a command use, started when one first wants them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[Data, bool], Mlflow] = {}

    def mlflow(self, data: Data, as_shipped: bool) -> Mlflow:
        """The server with this data."""
        if (data, as_shipped) not in self._running:
            self._running[data, as_shipped] = self._stack.enter_context(_mlflow_on_sqlite(data, as_shipped))
        return self._running[data, as_shipped]


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def shared_servers() -> Iterator[None]:
    """Meanwhile each benchmark finds an MLflow server on SQLite as the one before it has left it: a start costs more
    than a quick benchmark.
    """
    with ExitStack() as stack:
        token = _shared.set(Shared(stack))
        try:
            yield
        finally:
            _shared.reset(token)


@contextmanager
def mlflow_on_sqlite(data: Data, *, as_shipped: bool = False) -> Iterator[Mlflow]:
    """MLflow with two workers on SQLite; unless `as_shipped` without the stall of kept connections."""
    if (shared := _shared.get()) is not None:
        yield shared.mlflow(data, as_shipped)
        return
    with _mlflow_on_sqlite(data, as_shipped) as mlflow:
        yield mlflow


@contextmanager
def _mlflow_on_sqlite(data: Data, as_shipped: bool) -> Iterator[Mlflow]:
    variables = {} if as_shipped else WITHOUT_STALL
    database = sqlite_database(data)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        mlflow_server(MLFLOW, Path(folder), database=database, workers=WORKERS, environment=variables) as server,
    ):
        mlflow = Mlflow(server)
        _warm(mlflow)
        yield mlflow


def has_postgresql() -> bool:
    """Whether `mlflow_on_postgresql` can be used here."""
    return all(shutil.which(program) for program in ("postgres", "initdb", "psql"))


@contextmanager
def mlflow_on_postgresql() -> Iterator[tuple[Mlflow, Callable[[Data], None]]]:
    """MLflow with two workers on a PostgreSQL server of its own, without the stall of kept connections.

    It comes with a function that replaces its data: starting it takes longer than that.
    """
    home = environment(f"mlflow-{MLFLOW}-postgresql", REQUIREMENTS / f"{MLFLOW}.txt", POSTGRESQL)
    options: dict[str, Any] = {"home": home, "workers": WORKERS, "environment": WITHOUT_STALL}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, _postgresql() as (uri, database):
        store = uri.replace("postgresql:", "postgresql+psycopg2:")
        with mlflow_server(MLFLOW, Path(folder), database_uri=store, **options) as server:
            mlflow = Mlflow(server, database)

            def fill(data: Data) -> None:
                fill_postgresql(uri, data)
                _warm(mlflow)

            yield mlflow, fill


def _warm(mlflow: Mlflow) -> None:
    """Lets each worker answer: the first answer of each takes a second more."""
    body = json.dumps({"experiment_ids": [str(FIRST_EXPERIMENT)], "max_results": 10}).encode()
    request = Request(f"{mlflow.url}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
    for _ in range(WARM_REQUESTS):
        urlopen(request).close()


@contextmanager
def _postgresql() -> Iterator[tuple[str, Running]]:
    """An empty database on a free port of the loopback; its data is gone with the context."""
    user = _postgresql_user()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        cluster, port = folder / "data", free_port()
        options = ("--auth=trust", "--username=mlflow", "--encoding=UTF8", "--locale=C", "--no-sync")
        measured(["initdb", "--pgdata", cluster, *options], cwd=folder, user=user)
        address = ("-h", "127.0.0.1", "-p", str(port), "-c", "unix_socket_directories=")
        command: list[str | Path] = ["postgres", "-D", cluster, *address]
        with running(command, cwd=folder, user=user) as process:
            uri = f"postgresql://mlflow@127.0.0.1:{port}/postgres"
            _wait_for(uri, process)
            yield uri, process


def _wait_for(uri: str, process: Running) -> None:
    process.wait_until(lambda: measured(["pg_isready", "--quiet", "--dbname", uri], expected=(0, 1, 2)).exit_code == 0)


def _postgresql_user() -> str | None:
    """PostgreSQL refuses to run as root: whom to be then."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def replay(**options: float) -> Iterator[Counting]:
    """Pages of as many `runs`, `experiments`, `models` and `versions` as the options of `benchmarks.replay` say."""
    with running([sys.executable, "-m", "benchmarks.replay", *_flags(options)], cwd=ROOT) as process:
        server = Counting(process)
        yield server
        server.counts = _counts(process)


@contextmanager
def gms(**options: float) -> Iterator[Counting]:
    """The double, which trusts and counts; a fresh one for each crawl. `options` are those of `tests.gms`."""
    command = [sys.executable, "-m", "tests.gms", "--trust", "--inflates", *_flags(options)]
    with running(command, cwd=ROOT) as process:
        double = Counting(process)
        yield double
        double.counts = _counts(process)


def _flags(options: Mapping[str, float]) -> list[str]:
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


def _counts(process: Running) -> dict[str, Any]:
    counts: dict[str, Any] = msgspec.json.decode(process.stop(SUMMARY_SECONDS).splitlines()[-1])
    return counts
