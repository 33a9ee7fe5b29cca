"""A real `mlflow server` of any version, in a process group of its own."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.servers.environments import mlflow_environment
from tests.servers.kept import kept

START_SECONDS = 300
STOP_SECONDS = 10
EMPTY = "empty.db"


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
    if not database_uri:
        shutil.copyfile(database or empty_database(version), copy)
    port = free_port()
    bin_folder = (home or mlflow_environment(version)) / "bin"
    store = database_uri or f"sqlite:///{copy}"
    command = [
        *(str(bin_folder / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
        *("--backend-store-uri", store, "--default-artifact-root", str(folder / "artifacts")),
        *(("--static-prefix", static_prefix) if static_prefix else ()),
        *options,
    ]
    variables = os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **(environment or {}),
    }
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
    """The tables that this version makes when it starts, which takes it seconds; a server adds what else it needs."""

    def make(folder: Path) -> None:
        path = folder / EMPTY
        with mlflow_server(version, folder, database_uri=f"sqlite:///{path}"):
            pass
        with closing(sqlite3.connect(path)) as connection:
            # The default one, which each server makes in its own folder.
            connection.execute("DELETE FROM experiments")
            connection.commit()

    return kept(f"{mlflow_environment(version).name}-empty", make) / EMPTY


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
