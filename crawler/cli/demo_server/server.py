"""A real MLflow server in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from crawler.cli.demo_server.held_signals import signals_held_back
from crawler.cli.interruption import terminating_signals
from crawler.errors import SettingsError, Unreachable

START_SECONDS = 240  # it ends earlier if the process does
STOP_SECONDS = 10


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run `mlflow server` with its data in `folder` while the context lasts. Returns its URL.

    Raises:
        SettingsError: MLflow is not installed.
        Unreachable: The server does not start.
    """
    if find_spec("mlflow") is None:
        raise SettingsError("The demo needs MLflow itself.", "pip install 'mlflow-datahub-crawler[demo]'")
    port = _free_port()
    log = folder / "mlflow.log"
    process: subprocess.Popen[bytes] | None = None
    with log.open("wb") as output:
        try:
            # One that came while the process is being started would leave that process behind.
            with signals_held_back({signal.SIGINT, *terminating_signals()}):
                process = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
                    _command(folder, port),
                    stdout=output,
                    stderr=output,
                    env=_environment(folder),
                    start_new_session=True,
                )
            url = f"http://127.0.0.1:{port}"
            _wait_until_up(f"{url}/health", process, log)
            yield url
        finally:
            if process is not None:
                _stop(process)


def _command(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        # Without this, MLflow 3 serves by uvicorn and an app that needs pandas.
        *("--gunicorn-opts", "--timeout 120"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--default-artifact-root", str(folder / "artifacts")),
    ]


def _environment(home: Path) -> dict[str, str]:
    """Return variables for MLflow without telemetry and job runners, its own scripts first on the path.

    What it and gunicorn keep at home is kept in the demo's folder.
    """
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join((scripts, os.environ.get("PATH", "")))
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return os.environ | quiet | {"PATH": path, "HOME": str(home)}


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=1):  # noqa: S310  our own server
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise Unreachable(f"The sample MLflow server did not start; its log is {log}.", _last_line(log))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers, which are one process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
