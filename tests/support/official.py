"""acryl-datahub's own command, `datahub`, as users run it."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

from tests.servers.environments import environment

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMAND = BENCHMARKS / "official_ingest.py"
"""The command without its question to the internet for newer versions."""
QUIET = {"DATAHUB_TELEMETRY_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    output: str


def with_mlflow() -> Path:
    """The Python of an environment that has what the official MLflow connector needs."""
    return environment("official", BENCHMARKS / "requirements" / "official.txt") / "bin" / "python"


async def datahub(*arguments: str | Path, home: Path, gms: str, python: Path | None = None) -> Ended:
    """Run `datahub ARGUMENTS` with an empty home, `gms` as its server."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "DATAHUB_GMS_URL": gms, **QUIET}
    process = await asyncio.create_subprocess_exec(
        python or sys.executable,
        COMMAND,
        *arguments,
        cwd=home,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return Ended(process.returncode or 0, output.decode(errors="replace"))
