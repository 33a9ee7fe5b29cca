"""Environments with one MLflow version each, built once and kept in the user's cache folder.

`python tests/servers/environments.py` builds all of them. `requirements/VERSION.txt` pins all that a version's server
and client import, also what it does not say itself, such as setuptools. Nothing else is installed: none of what only
models need (scikit-learn, matplotlib, …). MLflow 3.18 is its wheel alone, which runs on what 3.17.2 needs.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VERSIONS = ("1.27.0", "1.28.0", "2.20.4", "3.18.0")
DEMO = "3.17.2"  # the version that the demo's extra and the benchmarks have, of which facts were measured
PYTHON = "3.11"
REQUIREMENTS = Path(__file__).parent / "requirements"


def mlflow_environment(version: str) -> Path:
    """The folder of an environment that has this MLflow; built if it is not there. Safe to call from several
    processes.
    """
    return environment(f"mlflow-{version}", REQUIREMENTS / f"{version}.txt")


def environment(name: str, *requirements: Path) -> Path:
    """The folder of an environment that has all that these files pin; built if it is not there. Safe to call from
    several processes.
    """
    folder = cache() / f"{name}-{_fingerprint(*requirements)}"
    complete = folder / ".complete"
    if complete.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, requirements)
            complete.touch()
    return folder


def cache() -> Path:
    """Where this project keeps what takes long to make."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlflow-datahub-crawler"


def _build(folder: Path, requirements: Sequence[Path]) -> None:
    """With uv where it is on PATH, else with venv and pip. MLflow 1.x needs Python 3.11, not a newer one."""
    wanted = [part for path in requirements for part in ("--requirements", str(path))]
    python = folder / "bin" / "python"
    if uv := _uv():
        _run(uv, "venv", "--quiet", "--python", PYTHON, str(folder))
        _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), *wanted)
    else:
        _run(_python(), "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", *wanted)


def _uv() -> str | None:
    """The uv that the test extra brings, or one on PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _python() -> str:
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        return sys.executable
    return shutil.which(f"python{PYTHON}") or sys.executable


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _fingerprint(*requirements: Path) -> str:
    """Changes with what is installed and with how."""
    sources = [*requirements, Path(__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for each in (*VERSIONS, DEMO):
        print(each, mlflow_environment(each), flush=True)
