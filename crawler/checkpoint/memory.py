"""What a state keeps beyond the end of a crawl, where only what has changed is to be sent."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from crawler import __version__
from crawler.checkpoint.fingerprint import ends_of
from crawler.checkpoint.intervals import Bounds
from crawler.checkpoint.known_experiments import KnownExperiments, drop_unfinished
from crawler.checkpoint.model_files import KnownModelFiles, forget_model_files
from crawler.checkpoint.scope import LastCrawl, Scope, scope_of
from crawler.checkpoint.seen_numbers import SeenNumbers
from crawler.checkpoint.sent_entities import SentEntities, key_of, run_urn_of
from crawler.checkpoint.sqlite import MEMORY_TABLES, Changes, Database, write_facts
from crawler.settings.crawl import KeepingCurrent

_ENDS, _LAST, _NOW = "ends", "last", "now"
"""Facts: which servers it is about, the last crawl that came to its end, and the one that is under way."""
_FORGOTTEN_AT_ONCE = 1_000

_encode = msgspec.json.Encoder().encode


class Memory:
    """The memory of one state while a crawl writes to it.

    `sent` is what DataHub has, `scope` what this crawl reads, `experiments` those that earlier ones have read. What it
    learns is written with the checkpoint. Where the listing of experiments had no end (`lists_all`), or something was
    lost that no file keeps (`loses`), the next crawl reads what this one had to read.
    """

    lists_all = False
    loses = False

    def __init__(
        self, database: Database, fingerprint: dict[str, str], wanted: KeepingCurrent, *, resumes: bool
    ) -> None:
        """Go on with the crawl that was interrupted if this one `resumes` it, else begin another one."""
        self._database = database
        self._fingerprint = fingerprint
        if not database.has_memory:
            database.add_memory()
        ends = _encode(ends_of(fingerprint)).decode()
        facts = database.facts()
        if facts.get(_ENDS) != ends:
            clear(database)
            facts = {}
        interrupted = scope_under_way(database) if resumes else None
        self._last = msgspec.json.decode(facts[_LAST], type=LastCrawl) if _LAST in facts else None
        self.scope = interrupted or scope_of(self._last, wanted, fingerprint, __version__, _now())
        self._model_files: KnownModelFiles | None = None
        self._resumed = interrupted is not None
        self._seen = SeenNumbers(_seen_blocks(database) if interrupted else {})
        ended = 0 if self._last is None else self._last.number
        if not interrupted:
            database.write(Changes(settings={}), lambda connection: drop_unfinished(connection, ended))
        self.experiments = KnownExperiments(database, self.scope.number, ended, resumed=interrupted is not None)
        self.sent = SentEntities(database, self._seen if self.scope.is_full else None)
        if not interrupted:
            self.scope = msgspec.structs.replace(self.scope, numbers=self.sent.numbers)
            database.write(Changes(settings={}), lambda connection: self._begin(connection, ends))

    @property
    def model_files(self) -> KnownModelFiles:
        """What is kept of models' files, for crawls that read some."""
        if self._model_files is None:
            self._model_files = KnownModelFiles(self._database)
        return self._model_files

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was learned since the last time, within a transaction."""
        self.sent.write(connection)
        self.experiments.write(connection)
        if self._model_files is not None:
            self._model_files.write(connection)

    def is_known(self, experiment_id: str) -> bool:
        """Return whether only what may have changed of an experiment's runs is to be read."""
        return not self.scope.is_full and experiment_id in self.experiments

    def read_before(self, experiment_id: str) -> list[Bounds]:
        """Return the start times of an experiment that an earlier crawl has read, and that need not be read again."""
        since = self.scope.since
        return (
            []
            if since is None or not self.is_known(experiment_id)
            else self.experiments.read_before(experiment_id, since)
        )

    def note_of(self, urn: str) -> bytes:
        """Return what was noted of an entity that was delivered, for a crawl that leaves out what has not changed."""
        return b"" if self.scope.is_full else self.sent.of([urn])[0].note

    def count(self) -> int:
        """Return how many runs DataHub had before this crawl."""
        return self.sent.count_runs()

    def unseen_runs(self) -> Iterator[str]:
        """Yield the URNs of runs that DataHub has and that a crawl which has read everything did not meet.

        They were deleted or purged, if the crawl had no failures.
        """
        if self.scope.is_full:
            yield from map(run_urn_of, self.sent.unseen(self.scope.numbers, runs=True))

    def forget(self, urns: Iterable[str]) -> None:
        """Forget entities that are not in DataHub, or marked as removed there: if they return, all of each is sent."""
        self.sent.forget([*map(key_of, urns)])

    def finish(self, connection: sqlite3.Connection) -> None:
        """Note that the crawl came to its end, within a transaction."""
        self.write(connection)
        connection.execute("DELETE FROM fact WHERE name = ?", (_NOW,))
        if self.loses or not self.lists_all:
            return
        self.experiments.finish(connection)
        if self._model_files is not None and self.scope.is_full and not self._resumed:
            self._model_files.drop_others(connection)
        scope, last = self.scope, self._last
        ended = LastCrawl(
            scope.number,
            self._fingerprint,
            __version__,
            scope.began,
            scope.began if scope.is_full or last is None else last.full_began,
            scope.began if scope.verifies or last is None else last.verified,
        )
        write_facts(connection, {_LAST: _encode(ended).decode()})

    def forget_unseen(self) -> None:
        """Forget all but runs that a crawl did not meet which has read everything: if they return, they are sent."""
        if not self.scope.is_full:
            return
        gone: list[bytes] = []
        for key in self.sent.unseen(self.scope.numbers, runs=False):
            gone.append(key)
            if len(gone) == _FORGOTTEN_AT_ONCE:
                self.sent.forget(gone)
                gone.clear()
        self.sent.forget(gone)

    def _begin(self, connection: sqlite3.Connection, ends: str) -> None:
        connection.execute("DELETE FROM seen")
        write_facts(connection, {_ENDS: ends, _NOW: _encode(self.scope).decode()})


def scope_under_way(database: Database) -> Scope | None:
    """Return what an interrupted crawl reads, None where none is, or it sends everything."""
    facts = database.facts() if database.has_memory else {}
    return msgspec.json.decode(facts[_NOW], type=Scope) if _NOW in facts else None


def clear(database: Database) -> None:
    """Forget everything, where something is sent that is not compared with it."""
    if database.has_memory and database.facts():
        database.write(Changes(settings={}), _empty)


def _empty(connection: sqlite3.Connection) -> None:
    for table in MEMORY_TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  names of our own
    forget_model_files(connection)


def _seen_blocks(database: Database) -> dict[int, bytes]:
    rows: Sequence[tuple[int, bytes, int]] = database.rows("SELECT block, bits, checksum FROM seen")
    return {block: database.whole(bits, checksum, str(block)) for block, bits, checksum in rows}


def _now() -> int:
    return time.time_ns() // 1_000_000
