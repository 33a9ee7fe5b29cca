"""A real `mlflow server` of any version, in a process group of its own.

`mlflow server` makes the tables, then starts another process that serves: half of what a start costs goes into the
first. What that leaves and how it starts the other are kept, by version; most servers of the tests begin there.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil

from tests.servers.environments import mlflow_environment
from tests.servers.kept import kept

START_SECONDS = 300
STOP_SECONDS = 10
ARTIFACTS, EMPTY, SERVING = "artifacts", "empty.db", "serving.json"
PORT, STORE, ROOT = "<port>", "<store>", "<artifacts>"


class MlflowServer:
    """Where the server is, and what it keeps its data in."""

    def __init__(self, version: str, url: str, database: Path, pid: int, log: Path) -> None:
        self.version = version
        self.url = url
        self.database = database
        self.pid = pid
        self.log = log

    @property
    def python(self) -> Path:
        """The Python that has this version's own client."""
        return mlflow_environment(self.version) / "bin" / "python"


@contextmanager
def mlflow_server(
    version: str,
    folder: Path,
    *,
    database: Path | None = None,
    database_uri: str = "",
    home: Path | None = None,
    workers: int = 1,
    static_prefix: str = "",
    options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[MlflowServer]:
    """Serves an empty database, or a copy of `database`, from `folder`, or what is at `database_uri`; gone when the
    context ends. `home` is an environment with this version, if it shall not be the tests' own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "mlflow.db"
    if database is not None:
        shutil.copyfile(database, copy)
    elif not database_uri:
        _copy_empty(version, copy, folder / ARTIFACTS)
    port = free_port()
    bin_folder = (home or mlflow_environment(version)) / "bin"
    store = database_uri or f"sqlite:///{copy}"
    variables = _variables(bin_folder)
    if database_uri or home or options or static_prefix or workers != 1:
        command = [
            *(str(bin_folder / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", str(workers), "--backend-store-uri", store),
            *("--default-artifact-root", str(folder / ARTIFACTS)),
            *(("--static-prefix", static_prefix) if static_prefix else ()),
            *options,
        ]
    else:
        serving = _first_start(version).serving.at(port, store, folder / ARTIFACTS)
        command, variables = serving.command, variables | serving.variables
    variables |= environment or {}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=variables, cwd=folder, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}{static_prefix}"
        _wait_until_up(url, process, log)
        yield MlflowServer(version, url, copy, process.pid, log)
    finally:
        _stop(process)


def empty_database(version: str) -> Path:
    """What `mlflow server` of this version makes of nothing: tables and the default experiment. To be copied."""
    return _first_start(version).database


def _copy_empty(version: str, copy: Path, artifacts: Path) -> None:
    """The default experiment's artifacts are where those of the others will be."""
    shutil.copyfile(empty_database(version), copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", [str(artifacts / "0")])
        connection.commit()


class Serving(NamedTuple):
    """How `mlflow server` starts the process that serves: its command, and the variables that it adds."""

    command: list[str]
    variables: dict[str, str]

    def at(self, port: int, store: str, artifacts: Path) -> "Serving":
        """The same for another place."""
        places = {PORT: str(port), STORE: store, ROOT: str(artifacts)}
        return Serving(
            [_replaced(word, places) for word in self.command],
            {name: _replaced(value, places) for name, value in self.variables.items()},
        )


class FirstStart(NamedTuple):
    """What a first start of a version has made of nothing, and how it has gone on."""

    database: Path
    serving: Serving


def _first_start(version: str) -> FirstStart:
    def make(folder: Path) -> None:
        store = f"sqlite:///{folder / EMPTY}"
        with mlflow_server(version, folder, database_uri=store) as server:
            (process,) = psutil.Process(server.pid).children()
            ours = _variables(mlflow_environment(version) / "bin")
            port = re.compile(rf"(?<![^:]){server.url.rpartition(':')[2]}$")
            places = {store: STORE, str(folder / ARTIFACTS): ROOT}
            command = [port.sub(PORT, _replaced(word, places)) for word in process.cmdline()]
            added = {name: value for name, value in process.environ().items() if ours.get(name) != value}
        variables = {name: _replaced(value, places) for name, value in added.items()}
        (folder / SERVING).write_text(json.dumps([command, variables]))

    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    folder = kept(f"{mlflow_environment(version).name}-started-{digest}", make)
    return FirstStart(folder / EMPTY, Serving(*json.loads((folder / SERVING).read_bytes())))


def _replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def _variables(bin_folder: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(f"{url}/ajax-api/2.0/mlflow/registered-models/search", timeout=5).close()
        except HTTPError as error:
            error.close()
            if error.code in (401, 403):
                return
        except (URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"MLflow did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
