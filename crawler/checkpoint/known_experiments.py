"""Experiments of which an earlier crawl has read all runs: of these, only what may have changed since is read.

One that was renamed, deleted or restored since then looks otherwise: all of its runs have another container, or are
back, so they are read again. A row counts once the crawl that wrote it has come to its end.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from crawler.checkpoint.acks import Window
from crawler.checkpoint.intervals import Bounds, Intervals
from crawler.checkpoint.sqlite import Database, checksum_of

_AT_ONCE = 500
_FORGOTTEN = ""
"""What an experiment looks like of which a crawl that is resumed has not read all runs as it looks now."""


class KnownExperiments:
    """The tables `experiment` and `owed` of an open state.

    `number` is that of this crawl, which may be one that is `resumed`; rows of those up to `ended` count.
    """

    def __init__(self, database: Database, number: int, ended: int, *, resumed: bool) -> None:
        """Begin with what the last crawl left."""
        self._database = database
        self._resumed = resumed
        self._number = number
        self._ended = ended
        self._known: frozenset[str] = frozenset()
        """Of those that were listed last."""
        self._owed = _by_experiment(owed for owed in _owed(database, ended))
        self._changes: list[tuple[str, tuple[object, ...]]] = []

    def listed(self, looks: Mapping[str, str], deleted: Iterable[str]) -> None:
        """Note a page of the listing: by id, what active experiments look like; and the ids of deleted ones."""
        rows = self._rows([*looks])
        known: set[str] = set()
        for experiment_id, look in looks.items():
            before, crawl = rows.get(experiment_id, (_FORGOTTEN, 0))
            if before == look:
                known.update([experiment_id] if crawl <= self._ended else [])
            elif self._resumed and (before != _FORGOTTEN or crawl == self._number):
                # Some of its runs were read as it looked before, and are not read again now.
                self.forget([experiment_id])
            else:
                self._note(experiment_id, look)
        self._known = frozenset(known)
        self.forget(deleted)

    def forget(self, experiment_ids: Iterable[str]) -> None:
        """Have the next crawl read all runs of these experiments."""
        for each in experiment_ids:
            if self._resumed:
                # This crawl may be resumed once more, and list it again.
                self._note(each, _FORGOTTEN)
            else:
                self._changes.append(("DELETE FROM experiment WHERE experiment_id = ?", (each,)))

    def _note(self, experiment_id: str, look: str) -> None:
        row = (experiment_id, look, self._number, _checksum(experiment_id, look, self._number))
        self._changes.append(("REPLACE INTO experiment VALUES (?, ?, ?, ?)", row))

    def __contains__(self, experiment_id: str) -> bool:
        """Whether all runs of an experiment that was listed last were read before."""
        return experiment_id in self._known

    def read_before(self, experiment_id: str, since: int) -> list[Bounds]:
        """Return the start times before `since` (ms since epoch) of which everything was read and delivered."""
        to_read = Intervals().add(since, None)
        for bounds in self._owed.get(experiment_id, ()):
            to_read = to_read.add(*bounds)
        return to_read.gaps()

    def owe(self, windows: Sequence[Window]) -> None:
        """Have the next crawl read windows again of which not all was delivered."""
        for window in windows:
            value = json.dumps((window.experiment_id, window.since, window.until))
            self._changes.append(
                ("INSERT INTO owed VALUES (?, ?, ?)", (value, self._number, checksum_of(value, str(self._number))))
            )

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was noted since the last time, within a transaction."""
        changes, self._changes = self._changes, []
        for statement, values in changes:
            connection.execute(statement, values)

    def finish(self, connection: sqlite3.Connection) -> None:
        """Drop what only this crawl had to read, within a transaction."""
        connection.execute("DELETE FROM owed WHERE crawl < ?", (self._number,))

    def _rows(self, experiment_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return what experiments looked like, and to which crawl."""
        found: dict[str, tuple[str, int]] = {}
        for start in range(0, len(experiment_ids), _AT_ONCE):
            some = experiment_ids[start : start + _AT_ONCE]
            query = f"SELECT * FROM experiment WHERE experiment_id IN ({','.join('?' * len(some))})"  # noqa: S608
            found |= {
                experiment_id: (look, crawl)
                for experiment_id, look, crawl, checksum in self._database.rows(query, some)
                if checksum == _checksum(experiment_id, look, crawl)
            }
        return found


def drop_unfinished(connection: sqlite3.Connection, ended: int) -> None:
    """Drop what a crawl wrote that has not come to its end and is not resumed, within a transaction."""
    for table in ("experiment", "owed"):
        connection.execute(f"DELETE FROM {table} WHERE crawl > ?", (ended,))  # noqa: S608  names of our own


def _owed(database: Database, ended: int) -> Iterator[tuple[str, int | None, int | None]]:
    rows = database.rows("SELECT value, crawl, checksum FROM owed WHERE crawl <= ?", (ended,))
    for value, crawl, checksum in rows:
        yield json.loads(database.whole(value, checksum, str(crawl)))


def _by_experiment(owed: Iterable[tuple[str, int | None, int | None]]) -> dict[str, list[Bounds]]:
    found: dict[str, list[Bounds]] = {}
    for experiment_id, since, until in owed:
        found.setdefault(experiment_id, []).append((since, until))
    return found


def _checksum(experiment_id: str, look: str, crawl: int) -> int:
    return checksum_of(look, f"{experiment_id} {crawl}")
