"""What earlier crawls have read of models' files, which never change: none is asked for again."""

import sqlite3
from hashlib import blake2b

from crawler.checkpoint.sqlite import Changes, Database, checksum_of

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS model_file (key BLOB PRIMARY KEY, content BLOB NOT NULL, checksum INTEGER NOT NULL) "
    "WITHOUT ROWID"
)
_KEY_BYTES = 16


class KnownModelFiles:
    """The table `model_file` of an open state, which states of older releases do not have until now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: dict[bytes, bytes] = {}
        self._wanted: set[bytes] = set()
        database.write(Changes(settings={}), lambda connection: connection.execute(_SCHEMA))

    def of(self, name: str) -> bytes | None:
        """Return what was kept of a file; None where it must be read."""
        key = _key(name)
        self._wanted.add(key)
        for content, checksum in self._database.rows("SELECT content, checksum FROM model_file WHERE key = ?", (key,)):
            if checksum == checksum_of(content, key.hex()):
                return bytes(content)
        return None

    def add(self, name: str, content: bytes) -> None:
        """Keep what was read of a file."""
        self._read[_key(name)] = content

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was read since the last time, within a transaction."""
        read, self._read = self._read, {}
        connection.executemany(
            "REPLACE INTO model_file VALUES (?, ?, ?)",
            ((key, content, checksum_of(content, key.hex())) for key, content in read.items()),
        )

    def drop_others(self, connection: sqlite3.Connection) -> None:
        """Drop the files that nobody asked for, within the transaction that ends a crawl which has read everything."""
        gone = [
            row for row in connection.execute("SELECT key FROM model_file").fetchall() if row[0] not in self._wanted
        ]
        connection.executemany("DELETE FROM model_file WHERE key = ?", gone)


def forget_model_files(connection: sqlite3.Connection) -> None:
    """Forget all of them, within a transaction."""
    connection.execute("DROP TABLE IF EXISTS model_file")


def _key(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()
