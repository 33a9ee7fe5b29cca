"""Servers filled by `fill.py`, or `fill_genai.py`, and what their own clients report."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.mlflow_server import MlflowServer

SCRIPT = Path(__file__).with_name("fill.py")
GENAI = Path(__file__).with_name("fill_genai.py")


class FilledServer(NamedTuple):
    """A server and what its version's client says is there, as `fill.py` writes it."""

    server: MlflowServer
    reported: dict[str, Any]


def fill(server: MlflowServer, output: Path, script: Path = SCRIPT) -> dict[str, Any]:
    """Fills the server through the client of its own version."""
    done = subprocess.run(
        [str(server.python), str(script), server.url, str(output)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Filling MLflow {server.version} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(output.read_text()))
