"""One crawl at a time writes a file."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.atomic_files import STDOUT, lock_file
from crawler.errors import SettingsError

HOLD = """
import sys, time
from pathlib import Path
from crawler.atomic_files import lock_file
with lock_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    """Another process that holds the file until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with holder(path) as process:
        with pytest.raises(SettingsError, match=rf"state\.db is in use by another crawl, process {process.pid}\."):
            lock_file(path).__enter__()
        process.communicate()
    with lock_file(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
    assert path.with_name("state.db.lock").read_text() == f"{process.pid}\n"
    with lock_file(path):
        assert path.with_name("state.db.lock").read_text() == f"{os.getpid()}\n"


def test_within_one_process_too_and_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out.json")
    with lock_file(tmp_path / "out.json"), pytest.raises(SettingsError, match=f"process {os.getpid()}"):
        lock_file(tmp_path / "link").__enter__()


def test_the_lock_is_for_its_owner_only(tmp_path: Path) -> None:
    with lock_file(tmp_path / "out.json"):
        assert (tmp_path / "out.json.lock").stat().st_mode & 0o777 == 0o600


def test_standard_output_and_devices_are_nobodys(tmp_path: Path) -> None:
    for path in (STDOUT, Path("/dev/null")):
        with lock_file(path), lock_file(path):
            pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No such file or directory.*folder that exists"):
        lock_file(tmp_path / "none" / "state.db").__enter__()


@pytest.mark.parametrize("successor", [False, True])
def test_a_lock_that_its_holder_takes_away_meanwhile_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, successor: bool
) -> None:
    lock = tmp_path / "state.db.lock"
    really_lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        lock.unlink()
        if successor:
            lock.touch()
        really_lock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", late)
    with lock_file(tmp_path / "state.db"):
        assert lock.read_text() == f"{os.getpid()}\n"
        with pytest.raises(SettingsError, match="is in use"):
            lock_file(tmp_path / "state.db").__enter__()
