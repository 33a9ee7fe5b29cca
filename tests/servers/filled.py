"""Servers filled by a script that their own client runs, and what it reports."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.mlflow_server import MlflowServer

ODDITIES = Path(__file__).with_name("fill.py")
"""Reports what the client says is there; for any version."""
GENAI = Path(__file__).with_name("fill_genai.py")
"""Reports prompts, evaluation datasets and traces; for MLflow 3.9 and later."""
EVERYTHING = Path(__file__).with_name("everything.py")
"""Reports ids and texts of what it made; for MLflow 3.9 and later."""


class FilledServer(NamedTuple):
    """A server and what the script that filled it reports."""

    server: MlflowServer
    reported: dict[str, Any]


def fill(server: MlflowServer, output: Path, script: Path = ODDITIES) -> dict[str, Any]:
    """Fills the server through the client of its own version."""
    done = subprocess.run(
        [str(server.python), str(script), server.url, str(output)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Filling MLflow {server.version} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(output.read_text()))
