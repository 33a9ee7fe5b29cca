"""The file of a checkpoint: SQLite, opened only if it is ours and whole, written in transactions.

Each row has a checksum, since SQLite has none: a wrong bit in a window would be a silent loss.
"""

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import msgspec

from crawler.atomic_files import create_for_owner, reason_of
from crawler.errors import OutputError, SettingsError

APPLICATION_ID = 0x4D4C6443  # "MLdC"
SCHEMA_VERSION = 1

_MAGIC = b"SQLite format 3\0"
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE done_window (value TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE dataset (urn_hash INTEGER PRIMARY KEY, told BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE settled (urn_hashes BLOB NOT NULL, checksum INTEGER NOT NULL);
"""
_TABLES = ("setting", "done_window", "dataset", "settled")
_MOVE = "Move it away to start afresh."
_OF_THE_DISK = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}

Value = TypeVar("Value", str, bytes)


class Changes(msgspec.Struct):
    """What one transaction writes. A dataset of None is deleted; `afresh` deletes everything first."""

    settings: dict[str, str]
    windows: list[str] = []
    datasets: dict[int, bytes | None] = {}
    urn_hashes: "array[int]" = msgspec.field(default_factory=lambda: array("q"))
    afresh: bool = False


class Database:
    """An open checkpoint. Reading raises SettingsError if it is damaged, writing OutputError."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises SettingsError for one that is not ours, without touching it."""
        self._path = path
        try:
            if not path.exists() or path.stat().st_size == 0:
                _create(path)
            _require_ours(path)
            self._connection = sqlite3.connect(path, isolation_level=None)
        except (OSError, ValueError, sqlite3.Error) as error:
            raise self._unusable(error) from None
        try:
            self._check()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def settings(self) -> dict[str, str]:
        """Return the settings by name."""
        with self._reading():
            rows = self._connection.execute("SELECT name, value, checksum FROM setting")
            return {name: self._whole(value, checksum, name) for name, value, checksum in rows}

    def windows(self) -> Iterator[str]:
        """Yield the windows, in the order of writing."""
        with self._reading():
            for value, checksum in self._connection.execute("SELECT value, checksum FROM done_window ORDER BY rowid"):
                yield self._whole(value, checksum)

    def datasets(self) -> Iterator[bytes]:
        """Yield the facts of each dataset."""
        with self._reading():
            for urn_hash, facts, checksum in self._connection.execute("SELECT urn_hash, told, checksum FROM dataset"):
                yield self._whole(facts, checksum, str(urn_hash))

    def urn_hashes(self) -> "array[int]":
        """Return the hashes of URNs, ascending."""
        found = array("q")
        with self._reading():
            for packed, checksum in self._connection.execute("SELECT urn_hashes, checksum FROM settled"):
                found.frombytes(self._whole(packed, checksum))
        return array("q", sorted(found))

    def write(self, changes: Changes) -> None:
        """Write all changes or none, whatever happens meanwhile."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(changes)
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise OutputError(
                f"Writing the state {self._path} failed: {error}.",
                "Make room there and let it be written, then crawl again with it: it goes on where it was.",
            ) from None

    def _write(self, changes: Changes) -> None:
        run, run_many = self._connection.execute, self._connection.executemany
        if changes.afresh:
            for table in _TABLES:
                run(f"DELETE FROM {table}")  # noqa: S608  names of our own
        run_many("INSERT INTO done_window VALUES (?, ?)", ((each, _checksum(each)) for each in changes.windows))
        for urn_hash, facts in changes.datasets.items():
            if facts is None:
                run("DELETE FROM dataset WHERE urn_hash = ?", (urn_hash,))
            else:
                run("REPLACE INTO dataset VALUES (?, ?, ?)", (urn_hash, facts, _checksum(facts, str(urn_hash))))
        if changes.urn_hashes:
            # One row a transaction: a million rows in the order of their hashes would cost as many pages.
            packed = changes.urn_hashes.tobytes()
            run("INSERT INTO settled VALUES (?, ?)", (packed, _checksum(packed)))
        run_many(
            "REPLACE INTO setting VALUES (?, ?, ?)",
            ((name, value, _checksum(value, name)) for name, value in changes.settings.items()),
        )

    def _check(self) -> None:
        with self._reading():
            self._connection.execute("PRAGMA synchronous = NORMAL")
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise self.damaged(str(found[0]))
            self._connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The extended codes of the system's errors have these in their low byte.
            if (error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else None) in _OF_THE_DISK:
                raise self._unusable(error) from None
            raise self.damaged(str(error)) from None
        except (OverflowError, TypeError, ValueError) as error:
            raise self.damaged(str(error)) from None

    def _whole(self, value: Value, checksum: int, key: str = "") -> Value:
        if _checksum(value, key) != checksum:
            raise self.damaged("a checksum does not fit")
        return value

    def damaged(self, why: str) -> SettingsError:
        """Return the error for a value that is not what it should be."""
        return SettingsError(f"The state {self._path} is damaged: {why}.", _MOVE)

    def _unusable(self, error: Exception) -> SettingsError:
        why = reason_of(error) if isinstance(error, OSError | ValueError) else str(error)
        return SettingsError(
            f"Cannot open the state {self._path}: {why}.",
            "Give --state the path of a file in a folder that exists and can be written to.",
        )


def _create(path: Path) -> None:
    """Create an empty checkpoint, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    # What a crash left of one that is gone must not be taken for a part of this one.
    for left in (draft, *(path.with_name(path.name + end) for end in ("-journal", "-shm", "-wal"))):
        left.unlink(missing_ok=True)
    create_for_owner(draft)
    database = sqlite3.connect(draft)
    try:
        database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    finally:
        database.close()
    draft.replace(path)


def _require_ours(path: Path) -> None:
    """Check the head of the file: SQLite may write to a file that it opens."""
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(_MAGIC):
        raise SettingsError(f"{path} is no state of a crawl, but another file.", "Give --state another path.")
    if len(head) < 100:
        raise SettingsError(f"The state {path} is damaged: it is cut off.", _MOVE)
    if int.from_bytes(head[68:72]) != APPLICATION_ID:
        raise SettingsError(f"{path} is the database of another application.", "Give --state another path.")
    version = int.from_bytes(head[60:64])
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"The state {path} was written by a newer release of this program (schema {version}).",
            f"Upgrade, or {_MOVE[0].lower()}{_MOVE[1:]}",
        )
    if version < 1:
        raise SettingsError(f"The state {path} is damaged: it has no schema version.", _MOVE)


def _checksum(value: str | bytes, key: str = "") -> int:
    data = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    return crc32(data, crc32(key.encode(errors="surrogatepass")))
