"""The disk of a crawl: what the process does to its files is numbered, and one of these steps fails or is the last."""

import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from crawler.cli import output_paths as files
from tests.torture.replacing import replaced


class Fault(Enum):
    """What can happen to one step; a disk that is `FULL` stays so until the process ends."""

    NO_SPACE = "ENOSPC"
    FULL = "ENOSPC from then on"
    IO_ERROR = "EIO"
    NO_ACCESS = "EACCES"
    KILLED_BEFORE = "killed before a write"
    KILLED_WITHIN = "killed within a write"


KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_WITHIN)
_CALLS = ("open", "write", "fsync", "ftruncate", "close", "replace", "unlink", "fdopen")
_SYSTEM = {
    Fault.NO_SPACE: errno.ENOSPC,
    Fault.FULL: errno.ENOSPC,
    Fault.IO_ERROR: errno.EIO,
    Fault.NO_ACCESS: errno.EACCES,
}
_SQLITE = {
    Fault.NO_SPACE: (sqlite3.SQLITE_FULL, "database or disk is full"),
    Fault.FULL: (sqlite3.SQLITE_FULL, "database or disk is full"),
    Fault.IO_ERROR: (sqlite3.SQLITE_IOERR, "disk I/O error"),
    Fault.NO_ACCESS: (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
}

Kill = Callable[[Callable[[Path], None]], None]
"""Ends the process where it stands; it gets what is yet to be done to the copy of its files. It raises."""


class Disk:
    """Numbers steps from 0 on in each life: number `at` meets `fault`. Only files below `folder` count."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill
        self._descriptors: dict[int, Path] = {}
        self._paused = False
        self._short = False
        self.folder = Path("/nowhere")
        self.count = 0
        self.steps: list[str] = []
        self.commits = 0
        self.at: int | None = None
        self.fault: Fault | None = None

    def begin(self, folder: Path, at: int | None = None, fault: Fault | None = None) -> None:
        """A new life."""
        self.folder = folder
        self.count, self.steps = 0, []
        self.at, self.fault = at, fault
        self._short = False
        self._descriptors.clear()

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        """Within this context the crawler's files lie on this disk."""
        calls = [(os, name, _Call(self, name, getattr(os, name))) for name in _CALLS]
        with replaced(
            *calls,
            (files, "open", self._open_file),
            (sqlite3, "connect", self._connect),
            (_Database, "disk", self),
        ):
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within this context somebody else works on the files."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def call(self, name: str, real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """One of os' functions is called."""
        path = self._path_of(name, args)
        if self._paused or path is None:
            return real(*args, **options)
        if name == "fdopen":
            return self._buffered(args[0])
        if name == "close":
            del self._descriptors[args[0]]
            return real(*args)
        if name == "write":
            return self._write(real, args[0], bytes(args[1]), path)
        if name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR):
            self._step(f"{name} {path.name}")
        if name == "fsync":
            return None
        result = real(*args, **options)
        if name == "open":
            self._descriptors[result] = path
        return result

    def statement(self, sql: str, run: Callable[[], Any]) -> Any:
        """The state's database executes one."""
        is_commit = sql.upper() == "COMMIT"
        log = self._log_size() if is_commit and self.fault is Fault.KILLED_WITHIN else 0
        fault = self._step(f"SQLite: {sql[:40]}", within=is_commit, sqlite=True)
        # What a killed process wrote is there, so nothing has to wait for the disk.
        result = run() if "synchronous" not in sql else None
        if fault is Fault.KILLED_WITHIN:
            size = (log + self._log_size()) // 2
            self._kill(lambda folder: _cut(folder, size))
        self.commits += is_commit
        return result

    def write_raw(self, real: Callable[..., Any], block: bytes) -> Any:
        """A buffered file writes what it holds."""
        return self._write(real, None, block, Path("output"))

    def _path_of(self, name: str, args: tuple[Any, ...]) -> Path | None:
        if isinstance(args[0], int):
            return self._descriptors.get(args[0])
        path = Path(args[0])
        return path if path.is_relative_to(self.folder) else None

    def _write(self, real: Callable[..., Any], descriptor: int | None, block: bytes, path: Path) -> Any:
        def write(part: bytes) -> Any:
            return real(part) if descriptor is None else real(descriptor, part)

        if self._short:
            self._short = False
            raise _failure(Fault.NO_SPACE)
        is_full = self.count == self.at and self.fault is Fault.NO_SPACE
        fault = self._step(f"write {path.name}", within=True, short=is_full)
        if is_full:
            self._short = True
            # What is left of the disk takes a part, and the system says how much.
            return write(block[: len(block) // 2]) if len(block) > 1 else write(block)
        if fault is Fault.KILLED_WITHIN:
            write(block[: len(block) // 2])
            self._kill(lambda _folder: None)
        return write(block)

    def _step(self, what: str, *, within: bool = False, short: bool = False, sqlite: bool = False) -> Fault | None:
        """Counts; raises what the step meets, but what happens `within` it is only given."""
        number, self.count = self.count, self.count + 1
        self.steps.append(what)
        struck = number == self.at or (self.fault is Fault.FULL and self.at is not None and number > self.at)
        if not struck or self.fault is None or short:
            return None
        if self.fault is Fault.KILLED_BEFORE or (self.fault is Fault.KILLED_WITHIN and not within):
            self._kill(lambda _folder: None)
        if self.fault is Fault.KILLED_WITHIN:
            return self.fault
        if self.fault is Fault.FULL and what.startswith(("unlink", "SQLite: ROLLBACK", "SQLite: SELECT")):
            # These need no room.
            return None
        raise _sqlite_failure(self.fault) if sqlite else _failure(self.fault)

    def _buffered(self, descriptor: int) -> io.BufferedWriter:
        return io.BufferedWriter(_Raw(self, descriptor), 1 << 20)

    def _open_file(self, path: Path, mode: str, opener: Callable[[str, int], int]) -> io.BufferedWriter:
        return self._buffered(opener(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC))

    def _connect(self, path: Path, **options: Any) -> sqlite3.Connection:
        self._step(f"SQLite: open {path.name}", sqlite=True)
        database = _connect(path, factory=_Database, **options)
        sqlite3.Connection.execute(database, "PRAGMA synchronous = OFF")
        return database

    def _log_size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*-wal"))


_connect = sqlite3.connect


class _Call:
    """In place of one of os' functions."""

    def __init__(self, disk: Disk, name: str, real: Callable[..., Any]) -> None:
        self._disk = disk
        self._name = name
        self._real = real

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._disk.call(self._name, self._real, *args, **options)


class _Raw(io.FileIO):
    """What lies below a buffered file."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        super().__init__(descriptor, "wb")
        self._disk = disk

    def write(self, block: Any) -> int:
        written: int = self._disk.write_raw(super().write, bytes(block))
        return written


class _Database(sqlite3.Connection):
    disk: ClassVar[Disk]

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.disk.statement(sql, lambda: super(_Database, self).execute(sql, *args))
        return cursor

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.disk.statement(sql, lambda: super(_Database, self).executemany(sql, rows))
        return cursor

    def executescript(self, sql: str) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.disk.statement(sql, lambda: super(_Database, self).executescript(sql))
        return cursor


def _failure(fault: Fault) -> OSError:
    return OSError(_SYSTEM[fault], os.strerror(_SYSTEM[fault]))


def _sqlite_failure(fault: Fault) -> sqlite3.OperationalError:
    code, words = _SQLITE[fault]
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


def _cut(folder: Path, size: int) -> None:
    """Of the write-ahead log, only the first bytes had reached the file."""
    for log in folder.glob("*-wal"):
        os.truncate(log, size)
