"""Files that appear whole or not at all: written beside their place, then put there; by one crawl at a time."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from crawler.errors import SettingsError

STDOUT = Path("-")
OWNER_ONLY = 0o600
"""The mode of files that hold metadata."""


class Place(msgspec.Struct, frozen=True):
    """Where a file shall be in the end, and where it is written until then; the same for a pipe, a device or `-`."""

    final: Path
    draft: Path

    def settle(self) -> None:
        """Puts the draft in its place, once all of it is on the disk: the name may get there before the content does,
        and a power cut between the two would leave an empty file.
        """
        if self.draft != self.final:
            _sync(self.draft)
            self.draft.replace(self.final)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason_of(error: OSError | ValueError) -> str:
    """Why a path cannot be used, in the system's words."""
    return getattr(error, "strerror", None) or str(error)


def temp_path_of(path: Path) -> Path:
    """Where a file is written until it is whole."""
    return path.with_name(path.name + ".part")


def open_for_owner(path: str | Path, flags: int) -> int:
    """A descriptor; a file that is made is its owner's only."""
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)


def place_of(path: Path) -> Place:
    """The place of a path. A link stays a link: what it leads to is replaced. Raises OSError or ValueError."""
    if path == STDOUT:
        return Place(path, path)
    final = path.resolve()
    if final.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    if final.exists() and not stat.S_ISREG(final.stat().st_mode):
        return Place(final, final)
    return Place(final, temp_path_of(final))


def create_for_owner(path: Path) -> None:
    """An empty file that nobody else may read. Raises OSError where there is one already."""
    os.close(open_for_owner(path, os.O_WRONLY | os.O_EXCL))


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Keeps other crawls from a file while this one writes it: by a lock on a file beside it, which goes with the
    process that holds it, whatever ends that. A pipe, a device or `-` is nobody's.

    Raises SettingsError that names the process which holds the file, or says why it cannot be had.
    """
    try:
        place = place_of(path)
        lock = None if place.draft == place.final else _lock(place.final.with_name(place.final.name + ".lock"))
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
        descriptor = open_for_owner(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                return _Lock(path, descriptor)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise SettingsError(
                f"{path.with_suffix('')} is in use by another crawl{holder and f', process {holder}'}.",
                "Wait for its end, or give another path.",
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has taken it away between our two steps.
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(lock: _Lock) -> None:
    with suppress(OSError):
        lock.path.unlink()
    os.close(lock.descriptor)
