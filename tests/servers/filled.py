"""Servers filled by a script that their own client runs, and what it reports.

What a script makes of a version is kept: a server is filled once, then each starts with a copy of its database.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.environments import mlflow_environment
from tests.servers.kept import kept
from tests.servers.mlflow_server import MlflowServer, mlflow_server

ODDITIES = Path(__file__).with_name("fill.py")
"""Reports what the client says is there; for any version."""
GENAI = Path(__file__).with_name("fill_genai.py")
"""Reports prompts, evaluation datasets and traces; for MLflow 3.9 and later."""
LOGGED_MODELS = Path(__file__).with_name("fill_logged_models.py")
"""Reports the ids of what it made; for MLflow 3."""
EVERYTHING = Path(__file__).with_name("everything.py")
"""Reports ids and texts of what it made; for MLflow 3.9 and later."""


class FilledServer(NamedTuple):
    """A server and what the script that filled it reports."""

    server: MlflowServer
    reported: dict[str, Any]


class FilledDatabase(NamedTuple):
    """What a server keeps that a script filled, to serve copies of, and what the script reports."""

    path: Path
    reported: dict[str, Any]


@contextmanager
def filled_server(version: str, folder: Path, script: Path = ODDITIES) -> Iterator[FilledServer]:
    """A server of its own with what the script makes."""
    filled = filled_database(version, script)
    with mlflow_server(version, folder, database=filled.path) as server:
        yield FilledServer(server, filled.reported)


def filled_database(version: str, script: Path = ODDITIES) -> FilledDatabase:
    """What the script makes of an empty server of the version. The artifacts stay where they are."""

    def make(folder: Path) -> None:
        with mlflow_server(version, folder) as server:
            fill(server, folder / "reported.json", script)

    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:8]
    folder = kept(f"{mlflow_environment(version).name}-{script.stem}-{digest}", make)
    return FilledDatabase(folder / "mlflow.db", json.loads((folder / "reported.json").read_bytes()))


def fill(server: MlflowServer, output: Path, script: Path = ODDITIES) -> dict[str, Any]:
    """Fills the server through the client of its own version."""
    done = subprocess.run(
        [str(server.python), str(script), server.url, str(output)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Filling MLflow {server.version} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(output.read_text()))
