"""The command as a user types it, in an environment with nothing of the user's own."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.crawls import plain_environment


async def start(
    *arguments: object,
    folder: Path,
    env: dict[str, str] | None = None,
    stdin: int | None = None,
    stdout: int = subprocess.PIPE,
) -> asyncio.subprocess.Process:
    """One command that has just begun."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crawler", *map(str, arguments)),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=plain_environment(folder, env),
    )


async def run(*arguments: object, folder: Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """One command to its end; its exit code, standard output and error."""
    return await ended(await start(*arguments, folder=folder, env=env))


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """The end of a command that was started."""
    output, errors = await process.communicate()
    code = process.returncode if process.returncode is not None else -1
    assert "Traceback" not in errors.decode(), errors.decode()
    return code, output.decode(), errors.decode()
