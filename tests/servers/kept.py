"""Folders in the user's cache that are made once: databases that a real MLflow has migrated or filled."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.servers.environments import cache


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name; `make` fills it if it is not there. Safe to call from several processes.

    It is made where it stays, so what is in it may hold its own path. The name says what it is made of: nothing ever
    changes it.
    """
    folder = cache() / "kept" / name
    complete = folder / ".complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder
