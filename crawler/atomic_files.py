"""Files that appear whole or not at all, written by one process at a time and readable by their owner only."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from crawler.errors import SettingsError

STDOUT = Path("-")
OWNER_ONLY = 0o600
"""The mode of files that hold metadata."""


class AtomicFile(msgspec.Struct, frozen=True):
    """A file that is written at `temp_path` and then moved to `path`.

    The two are equal for a pipe, a device and `-`, which are written in place.
    """

    path: Path
    temp_path: Path

    def publish(self) -> None:
        """Move the written file to `path`. Raises OSError.

        The content is flushed to the disk first: a rename can reach the disk before the content does, and a power
        failure between the two would leave an empty file.
        """
        if self.temp_path != self.path:
            _sync(self.temp_path)
            self.temp_path.replace(self.path)


def atomic_file(path: Path) -> AtomicFile:
    """Return where to write `path`. Raises OSError or ValueError if it cannot be a file.

    A symbolic link stays a link: its target is replaced.
    """
    if path == STDOUT:
        return AtomicFile(path, path)
    target = path.resolve()
    if target.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        return AtomicFile(target, target)
    return AtomicFile(target, temp_path_of(target))


def temp_path_of(path: Path) -> Path:
    """Return where a file is written until it is complete."""
    return path.with_name(path.name + ".part")


def reason_of(error: OSError | ValueError) -> str:
    """Return why a path cannot be used, in the words of the operating system."""
    return getattr(error, "strerror", None) or str(error)


def open_for_owner(path: str | Path, flags: int) -> int:
    """Open a file and return its descriptor; a new file has the mode 0600."""
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)


def create_for_owner(path: Path) -> None:
    """Create an empty file with the mode 0600. Raises OSError if it exists."""
    os.close(open_for_owner(path, os.O_WRONLY | os.O_EXCL))


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Keep other processes from writing `path` within this context.

    The lock is taken on `PATH.lock` and ends with the process, however it ends. A pipe, a device and `-` are not
    locked.

    Raises:
        SettingsError: another process, which it names, holds the lock, or the lock cannot be created.
    """
    try:
        file = atomic_file(path)
        lock = None if file.temp_path == file.path else _lock(file.path.with_name(file.path.name + ".lock"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Cannot write {path}: {reason_of(error)}.",
            "Give the path of a file in a folder that exists and can be written to.",
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            _unlock(lock)


class _Lock(msgspec.Struct, frozen=True):
    path: Path
    descriptor: int


def _lock(path: Path) -> _Lock:
    while True:
        with ExitStack() as unless_locked:
            descriptor = open_for_owner(path, os.O_RDWR)
            unless_locked.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                raise SettingsError(
                    f"{path.with_suffix('')} is in use by another crawl{holder and f', process {holder}'}.",
                    "Wait for its end, or give another path.",
                ) from None
            # Its holder may have removed it between open and flock: then it is tried again.
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                unless_locked.pop_all()
                return _Lock(path, descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(lock: _Lock) -> None:
    with suppress(OSError):
        lock.path.unlink()
    os.close(lock.descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
