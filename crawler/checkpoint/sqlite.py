"""The file of a checkpoint: SQLite, opened only if it is ours and whole, written in transactions.

Each row has a checksum, since SQLite has none: a wrong bit in a window would be a silent loss.
"""

import sqlite3
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from crawler.atomic_files import create_for_owner, reason_of
from crawler.errors import OutputError, SettingsError

APPLICATION_ID = 0x4D4C6443  # "MLdC"
SCHEMA_VERSION = 2

_MAGIC = b"SQLite format 3\0"
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE done_window (value TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE dataset (urn_hash INTEGER PRIMARY KEY, told BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE settled (urn_hashes BLOB NOT NULL, checksum INTEGER NOT NULL);
"""
_MEMORY_SCHEMA = f"""
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sent (
    key BLOB PRIMARY KEY, digests BLOB NOT NULL, note BLOB NOT NULL, number INTEGER NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE sent_log (
    key BLOB NOT NULL, digests BLOB NOT NULL, note BLOB, afresh INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE seen (block INTEGER PRIMARY KEY, bits BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE experiment (
    experiment_id TEXT PRIMARY KEY, look TEXT NOT NULL, crawl INTEGER NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE owed (value TEXT NOT NULL, crawl INTEGER NOT NULL, checksum INTEGER NOT NULL);
"""
"""What crawls that ended leave for later ones; states of schema 1 have none of it."""
MEMORY_TABLES = ("fact", "sent", "sent_log", "seen", "experiment", "owed")
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
Write = Callable[[sqlite3.Connection], object]
"""Writes something within a transaction."""


class Changes(msgspec.Struct):
    """What one transaction writes. A dataset of None is deleted; `afresh` deletes everything first."""

    settings: dict[str, str]
    windows: list[str] = []
    datasets: dict[int, bytes | None] = {}
    urn_hashes: "array[int]" = msgspec.field(default_factory=lambda: array("q"))
    afresh: bool = False


class Database:
    """An open checkpoint. Reading raises SettingsError if it is damaged, writing OutputError.

    Where something could not be written, nothing is written any more.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises SettingsError for one that is not ours, without touching it."""
        self._path = path
        self._has_failed = False
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
            return {name: self.whole(value, found, name) for name, value, found in rows}

    def windows(self) -> Iterator[str]:
        """Yield the windows, in the order of writing."""
        with self._reading():
            for value, checksum in self._connection.execute("SELECT value, checksum FROM done_window ORDER BY rowid"):
                yield self.whole(value, checksum)

    def datasets(self) -> Iterator[bytes]:
        """Yield the facts of each dataset."""
        with self._reading():
            for urn_hash, facts, checksum in self._connection.execute("SELECT urn_hash, told, checksum FROM dataset"):
                yield self.whole(facts, checksum, str(urn_hash))

    def urn_hashes(self) -> "array[int]":
        """Return the hashes of URNs, ascending."""
        found = array("q")
        with self._reading():
            for packed, checksum in self._connection.execute("SELECT urn_hashes, checksum FROM settled"):
                found.frombytes(self.whole(packed, checksum))
        return array("q", sorted(found))

    @property
    def has_memory(self) -> bool:
        """Whether it has tables for what later crawls are to know."""
        return bool(self.rows("PRAGMA user_version")[0][0] > 1)

    def add_memory(self) -> None:
        """Add these tables to a state of an older release."""
        self._transaction(lambda: [self._connection.execute(each) for each in _MEMORY_SCHEMA.split(";")])

    def facts(self) -> dict[str, str]:
        """Return what is kept beyond the end of a crawl, by name."""
        rows = self.rows("SELECT name, value, checksum FROM fact")
        return {name: self.whole(value, found, name) for name, value, found in rows}

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._reading():
            return self._connection.execute(query, parameters).fetchall()

    def stream(self, query: str, parameters: Sequence[Any] = (), at_once: int = 500) -> Iterator[list[Any]]:
        """Yield the rows of a query, some at a time. Other tables may be written meanwhile."""
        with self._reading():
            cursor = self._connection.execute(query, parameters)
        while True:
            with self._reading():
                rows = cursor.fetchmany(at_once)
            if not rows:
                return
            yield rows

    def write(self, changes: Changes, *more: Write) -> None:
        """Write all changes or none, whatever happens meanwhile; `more` writes in the same transaction."""

        def write() -> None:
            self._write(changes)
            for each in more:
                each(self._connection)

        self._transaction(write)

    def _transaction(self, write: Callable[[], object]) -> None:
        if self._has_failed:
            return
        # Until it has succeeded, whatever happens.
        self._has_failed = True
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                write()
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
        self._has_failed = False

    def _write(self, changes: Changes) -> None:
        run, run_many = self._connection.execute, self._connection.executemany
        if changes.afresh:
            for table in _TABLES:
                run(f"DELETE FROM {table}")  # noqa: S608  names of our own
        run_many("INSERT INTO done_window VALUES (?, ?)", ((each, checksum_of(each)) for each in changes.windows))
        for urn_hash, facts in changes.datasets.items():
            if facts is None:
                run("DELETE FROM dataset WHERE urn_hash = ?", (urn_hash,))
            else:
                run("REPLACE INTO dataset VALUES (?, ?, ?)", (urn_hash, facts, checksum_of(facts, str(urn_hash))))
        if changes.urn_hashes:
            # One row a transaction: a million rows in the order of their hashes would cost as many pages.
            packed = changes.urn_hashes.tobytes()
            run("INSERT INTO settled VALUES (?, ?)", (packed, checksum_of(packed)))
        run_many(
            "REPLACE INTO setting VALUES (?, ?, ?)",
            ((name, value, checksum_of(value, name)) for name, value in changes.settings.items()),
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

    def whole(self, value: Value, checksum: int, key: str = "") -> Value:
        """Return a value that has this checksum. Raises SettingsError for another one."""
        if checksum_of(value, key) != checksum:
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
        database.executescript(f"BEGIN; {_SCHEMA} {_MEMORY_SCHEMA} COMMIT;")
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


def write_facts(connection: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Keep facts beyond the end of a crawl, within a transaction."""
    rows = ((name, value, checksum_of(value, name)) for name, value in facts.items())
    connection.executemany("REPLACE INTO fact VALUES (?, ?, ?)", rows)


def checksum_of(value: str | bytes, key: str = "") -> int:
    """Return what a row keeps of its value and its key, by which a wrong bit is found."""
    data = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    return crc32(data, crc32(key.encode(errors="surrogatepass")))
