"""What DataHub has of each entity, as hashes of its aspects: a later crawl sends only what has changed.

A row of `sent` is true at any moment: each hash in it is that of a value which DataHub was seen to have, and which
nothing was sent to replace. What a crawl learns is appended to `sent_log`, in the order in which it happens, and taken
over into `sent` when the state is opened again: a million rows in the order of their hashes would cost as many pages.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any
from zlib import crc32

import msgspec

from crawler.checkpoint.seen_numbers import SeenNumbers
from crawler.checkpoint.sqlite import Changes, Database, checksum_of, write_facts

DIGEST_BYTES = 16
MAY_RETURN = ("urn:li:dataset:", "urn:li:platformResource:")
"""Entities that a crawl may bring several times: of too many, those that came first are forgotten."""
_RUN = "urn:li:dataProcessInstance:"
_NUMBERS = "numbers"
_REMOVED = b"\0"
"""The note of an entity that is marked as removed; its row goes."""
_RUNS, _OTHERS = b"r", b"e"
"""Keys begin with these. That of a run holds its URN, so that it can be told; others are hashes."""
_RUN_KEYS = _RUNS, b"s"
"""What these keys lie between."""

_Row = tuple[bytes, bytes, bytes, int, int]
"""Key, digests, note, number, checksum."""
_Entry = tuple[bytes, bytes, bytes | None, bool, int, int]
"""Key, digests, note, whether it is the first word on the entity, checksum, place in the log."""


class Known(msgspec.Struct, frozen=True):
    """What DataHub has of one entity: hashes of values of its aspects, joined, and the note that came with them."""

    digests: bytes = b""
    note: bytes = b""

    def has(self, digest: bytes) -> bool:
        """Return whether a value of this hash is there."""
        place = self.digests.find(digest)
        while place % DIGEST_BYTES and place >= 0:
            place = self.digests.find(digest, place + 1)
        return place >= 0


_UNKNOWN = Known()


class SentEntities:
    """The tables `sent` and `sent_log` of an open state. Raises OutputError where it cannot be written.

    With `seen`, it notes which of the entities that it knows a crawl has met.
    """

    def __init__(self, database: Database, seen: SeenNumbers | None = None) -> None:
        """Take over what the last crawl has appended."""
        self._database = database
        self._seen = seen
        self.numbers = int(database.facts().get(_NUMBERS, "0"))
        """The highest number that an entity has."""
        self._entries: list[tuple[bytes, bytes, bytes | None, bool]] = []
        self._begun: set[bytes] = set()
        """Keys of entities that were sent and may come once more."""
        self._take_over()

    def of(self, urns: Sequence[str]) -> list[Known]:
        """Return what DataHub has of each of these entities."""
        keys = [*map(key_of, urns)]
        rows = {row[0]: row for row in self._rows(keys)}
        known: list[Known] = []
        for key in keys:
            row = rows.get(key)
            if row is None:
                known.append(_UNKNOWN)
                continue
            if self._seen is not None:
                self._seen.add(row[3])
            known.append(_UNKNOWN if key in self._begun else Known(row[1], row[2]))
        return known

    def begin(self, left: Mapping[str, bytes], *, known: bool) -> None:
        """Forget all of some entities but these digests: something else is about to be sent of them.

        It is on the disk then, where any of them was `known`.
        """
        for urn, digests in left.items():
            key = key_of(urn)
            if urn.startswith(MAY_RETURN):
                self._begun.add(key)
            self._entries.append((key, digests, b"", True))
        if known:
            self._database.write(Changes(settings={}), self.write)

    def add(self, urn: str, digests: bytes) -> None:
        """Note what DataHub has from now on of an entity, beside what else is known of it."""
        self._entries.append((key_of(urn), digests, None, False))

    def note(self, urn: str, note: bytes) -> None:
        """Note that all of an entity was delivered."""
        self._entries.append((key_of(urn), b"", note, False))

    def remove(self, urn: str) -> None:
        """Note that an entity is marked as removed: if it returns, all of it is sent."""
        self._entries.append((key_of(urn), b"", _REMOVED, True))

    def count_runs(self) -> int:
        """Return how many runs were known before this crawl."""
        rows: Sequence[tuple[int]] = self._database.rows(
            "SELECT count(*) FROM sent WHERE key >= ? AND key < ?", _RUN_KEYS
        )
        return rows[0][0]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what is not written yet, within a transaction."""
        entries, self._entries = self._entries, []
        connection.executemany(
            "INSERT INTO sent_log VALUES (?, ?, ?, ?, ?)",
            ((*entry, _checksum(entry[0], entry[1], entry[2] or b"", entry[3])) for entry in entries),
        )
        for block, bits in self._seen.changed() if self._seen is not None else ():
            connection.execute("REPLACE INTO seen VALUES (?, ?, ?)", (block, bits, checksum_of(bits, str(block))))

    def unseen(self, highest: int, *, runs: bool) -> Iterator[bytes]:
        """Yield the keys of runs, or of others, that have a number up to this and were not seen."""
        seen = self._seen or SeenNumbers()
        for rows in self._database.stream(
            "SELECT * FROM sent WHERE key >= ? AND key < ?", _RUN_KEYS if runs else (_OTHERS, b"f")
        ):
            yield from (row[0] for row in rows if _is_whole(row) and row[3] <= highest and row[3] not in seen)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Forget entities that are gone. Raises OutputError."""
        self._database.write(
            Changes(settings={}),
            lambda connection: connection.executemany("DELETE FROM sent WHERE key = ?", ((key,) for key in keys)),
        )

    def _rows(self, keys: Sequence[bytes]) -> list[_Row]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT * FROM sent WHERE key IN ({marks})"  # noqa: S608  nothing but question marks
        return [row for row in self._database.rows(query, keys) if _is_whole(row)]

    def _take_over(self) -> None:
        """Bring the log into the rows, a part at a time: where that is cut off, it is done once more."""
        base = self.numbers
        highest = 0
        query = "SELECT *, rowid FROM sent_log ORDER BY key, rowid"
        for entries in self._database.stream(query):
            highest = max(highest, *(entry[5] for entry in entries))
            self._database.write(Changes(settings={}), lambda connection: self._merge(connection, entries, base))  # noqa: B023
        if highest:
            self.numbers = base + highest
            self._database.write(Changes(settings={}), self._empty_log)

    def _empty_log(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM sent_log")
        write_facts(connection, {_NUMBERS: str(self.numbers)})

    def _merge(self, connection: sqlite3.Connection, entries: list[_Entry], base: int) -> None:
        rows = {row[0]: row for row in self._rows([entry[0] for entry in entries])}
        merged: list[_Row] = []
        removed: list[tuple[bytes]] = []
        for key, group in groupby(entries, key=itemgetter(0)):
            _, digests, note, number, _ = rows.get(key) or (key, b"", b"", 0, 0)
            for entry in group:
                # One that is damaged says nothing, which costs no more than sending once more.
                is_whole = entry[4] == _checksum(key, entry[1], entry[2] or b"", entry[3])
                digests, note = _after(digests, note, entry) if is_whole else (b"", b"")
                number = number or base + entry[5]
            if note != _REMOVED:
                merged.append((key, digests, note, number, _checksum(key, digests, note, number)))
            elif key in rows:
                removed.append((key,))
        connection.executemany("DELETE FROM sent WHERE key = ?", removed)
        connection.executemany("REPLACE INTO sent VALUES (?, ?, ?, ?, ?)", merged)


def key_of(urn: str) -> bytes:
    """Return the key of an entity: 17 bytes, whatever its URN."""
    if urn.startswith(_RUN):
        guid = urn[len(_RUN) :]
        try:
            key = bytes.fromhex(guid)
        except ValueError:
            key = b""
        if len(key) == DIGEST_BYTES and key.hex() == guid:
            return _RUNS + key
    return _OTHERS + blake2b(urn.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def run_urn_of(key: bytes) -> str:
    """Return the URN of a run from its key."""
    return _RUN + key[1:].hex()


def _after(digests: bytes, note: bytes, entry: _Entry) -> tuple[bytes, bytes]:
    """Return what is known of an entity once an entry of the log is added."""
    _, more, noted, is_first, _, _ = entry
    if is_first:
        return more, noted or b""
    known = Known(digests)
    parts = (more[start : start + DIGEST_BYTES] for start in range(0, len(more), DIGEST_BYTES))
    joined = b"".join([digests, *(part for part in parts if not known.has(part))])
    return joined, note if noted is None else noted


def _is_whole(row: Sequence[Any]) -> bool:
    """Whether a row is as it was written. One that is not counts as not there: its entity is sent once more."""
    return bool(row[4] == _checksum(*row[:4]))


def _checksum(key: bytes, digests: bytes, note: bytes, number: int) -> int:
    return crc32(b"%d %d" % (number, len(digests)), crc32(note, crc32(digests, crc32(key))))
