"""What a crawl has delivered, kept so that a later one goes on where it ended, however it ended.

Windows, entities, datasets and counts are written together, so that they agree.
"""

import json
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from crawler.atomic_files import lock_file
from crawler.checkpoint.acks import Window, WindowAck
from crawler.checkpoint.fingerprint import differences, source_of
from crawler.checkpoint.intervals import Bounds, Intervals
from crawler.checkpoint.kept_tally import decode_tally, encode_tally
from crawler.checkpoint.memory import Memory, clear, scope_under_way
from crawler.checkpoint.pending_write import PendingWrite, hash_of
from crawler.checkpoint.protocol import Reducer
from crawler.checkpoint.sqlite import Changes, Database, Write
from crawler.errors import SettingsError
from crawler.mlflow.resources import RUNS
from crawler.settings.crawl import KeepingCurrent
from crawler.telemetry.counting import count
from crawler.telemetry.events import Event, ExperimentsListed, Outcomes, RowsRead
from crawler.telemetry.tally import Tally

SECONDS_BETWEEN_WRITES = 1.0

_RUN = "dataProcessInstance"


class Resumed(msgspec.Struct, frozen=True):
    """What the interrupted crawl had done: its tally, how many runs it read, skipped as deleted, and left out."""

    tally: Tally
    runs: int
    deleted_runs: int
    runs_left_out: int = 0


class _Whole(msgspec.Struct, frozen=True):
    """The last crawl that came to its end: whose runs it read, and how many these were."""

    source: dict[str, str]
    runs: int


class _Done(msgspec.Struct):
    """The windows of one experiment that are done."""

    intervals: Intervals = Intervals()
    rows: int = 0


class Checkpoint:
    """The checkpoint of one crawl while the context lasts; nobody else can open it meanwhile.

    It is a listener. What is written is at most `SECONDS_BETWEEN_WRITES` old whenever an entity is finished. Whatever
    finishes one raises OutputError where the checkpoint cannot be written; from then on, nothing is written any more.
    """

    is_kept = True

    def __init__(
        self,
        path: Path,
        fingerprint: dict[str, str],
        run_id: str,
        changed_only: KeepingCurrent | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run_id` is that of a new crawl; the attribute is that of the crawl which is resumed, if one is.

        With `changed_only` there is a `memory` of what earlier crawls sent, while the context lasts.
        """
        self.run_id = run_id
        self.resumed: Resumed | None = None
        self.runs_expected: int | None = None
        """How many runs the last whole crawl of the same server read; None where there was none."""
        self.memory: Memory | None = None
        self._changed_only = changed_only
        self._runs = 0
        self._whole: dict[str, str] = {}
        self._path = path
        self._fingerprint = fingerprint
        self._clock = clock
        self._exit = ExitStack()
        self._database: Database
        self._reducer: Reducer | None = None
        self._done: defaultdict[str, _Done] = defaultdict(_Done)
        self._delivered_before = array("q")
        self._tally = Tally()
        self._pending = PendingWrite(clock())

    def __enter__(self) -> Self:
        """Open the file. Raises SettingsError if it is in use, damaged, of other settings, or no checkpoint at all."""
        with ExitStack() as stack:
            stack.enter_context(lock_file(self._path))
            self._database = Database(self._path)
            stack.callback(self._database.close)
            self._read()
            self._open_memory()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is not written yet, and close the file."""
        with self._exit:
            if self._pending.is_dirty:
                self._write()

    def __call__(self, event: Event) -> None:
        """Note which entities are finished, and count."""
        count(event, self._tally)
        if isinstance(event, RowsRead) and event.resource == RUNS.name:
            self._runs += event.count
        elif isinstance(event, Outcomes):
            for outcome in event.entities:
                # What was removed may be back before this crawl is resumed.
                if outcome.is_removal:
                    continue
                if outcome.kept:
                    self._pending.add(outcome.entity_type, outcome.urn)
                elif self.memory is not None:
                    self.memory.loses = True
            self._write_if_due()
        elif isinstance(event, ExperimentsListed) and self.memory is not None:
            self.memory.lists_all = True

    def hold(self, reducer: Reducer) -> None:
        """Give a reducer back what was kept of it, and keep its changes from now on."""
        for facts in self._database.datasets():
            try:
                reducer.restore(facts)
            except msgspec.MsgspecError as error:
                raise self._database.damaged(str(error)) from None
        reducer.watch()
        self._reducer = reducer

    def gaps(self, experiment_id: str) -> list[Bounds]:
        """Return the windows of start times of which not all runs are delivered."""
        done = self._done[experiment_id].intervals if experiment_id in self._done else Intervals()
        if self.memory is not None:
            for bounds in self.memory.read_before(experiment_id):
                done = done.add(*bounds)
        return done.gaps()

    def rows(self, experiment_id: str) -> int:
        """Return how many runs lie in the windows that are done."""
        return self._done[experiment_id].rows if experiment_id in self._done else 0

    def has_read(self, experiment_id: str, start_time: int) -> bool:
        """Return whether the runs of a start time lie in a window that is done, and are counted as read."""
        return experiment_id in self._done and start_time in self._done[experiment_id].intervals

    def was_delivered(self, urn: str) -> bool:
        """Return True for entities other than runs that the interrupted crawl delivered or gave up."""
        before = self._delivered_before
        if not before:
            return False
        urn_hash = hash_of(urn)
        place = bisect_left(before, urn_hash)
        return place < len(before) and before[place] == urn_hash

    def new_ack(self, *, whole: bool = True) -> WindowAck:
        """Return the ack of a window that is about to be read: all of its runs, or some if it is not `whole`."""
        return WindowAck(self._windows_done if whole else self._windows_read)

    def finish(self) -> None:
        """Say that all is delivered or named as a finding: the next crawl begins anew."""
        if self.memory is None or self.memory.scope.is_full:
            self._whole = {"whole": msgspec.json.encode(_Whole(source_of(self._fingerprint), self._runs)).decode()}
        self._pending.changes = Changes(settings={"finished": "true"} | self._whole, afresh=True)
        self._reducer = None
        if self.memory is not None and not self._tally.failures:
            self.memory.forget_unseen()
        self._write()

    def _windows_done(self, windows: Sequence[Window]) -> None:
        self._pending.changes.windows += [json.dumps(window[:-1]) for window in windows]
        self._windows_read(windows)

    def _windows_read(self, windows: Sequence[Window]) -> None:
        if self.memory is not None:
            self.memory.experiments.owe([window for window in windows if window.owed])
        self._pending.is_dirty = True
        self._write_if_due()

    def _write_if_due(self) -> None:
        if self._pending.is_dirty and self._clock() - self._pending.since >= SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        changes = self._pending.changes
        self._pending.changes, self._pending.is_dirty = Changes(settings={}), False
        if self._reducer is not None:
            facts: dict[int, bytes | None] = {hash_of(urn): packed for urn, packed in self._reducer.snapshot()}
            # One that has left and arrived since is not kept, whatever its facts are.
            changes.datasets = facts | changes.datasets
        if not changes.afresh:
            changes.settings["findings"] = encode_tally(self._tally).decode()
        self._database.write(changes, *self._writes_of_memory(ends=changes.afresh))
        self._pending.since = self._clock()

    def _writes_of_memory(self, *, ends: bool) -> list[Write]:
        if self.memory is None:
            return []
        return [self.memory.finish if ends else self.memory.write]

    def _open_memory(self) -> None:
        if self._changed_only is None:
            clear(self._database)
            return
        resumes = self.resumed is not None
        try:
            self.memory = Memory(self._database, self._fingerprint, self._changed_only, resumes=resumes)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise self._database.damaged(str(error)) from None
        if not self.memory.scope.is_full:
            self.runs_expected = None

    def _read(self) -> None:
        settings = self._database.settings()
        try:
            self._whole = {"whole": settings["whole"]} if "whole" in settings else {}
            for text in self._whole.values():
                last = msgspec.json.decode(text, type=_Whole)
                self.runs_expected = last.runs if last.source == source_of(self._fingerprint) else None
            if settings.get("finished", "true") == "true":
                self._begin()
                return
            then = msgspec.json.decode(settings["fingerprint"], type=dict[str, str])
            if then != self._fingerprint:
                if self._has_nothing:
                    # Such as one that ended since MLflow refused one of its settings.
                    self._begin()
                    return
                raise SettingsError(
                    f"The state {self._path} is that of a crawl with other settings: "
                    f"{'; '.join(differences(then, self._fingerprint))}.",
                    "Give the same settings to go on with it, or --state another path to start afresh.",
                )
            if self._is_abandoned():
                self._begin()
                return
            self._resume(settings)
        except KeyError as error:
            raise self._database.damaged(f"it has no {error}") from None
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise self._database.damaged(str(error)) from None

    @property
    def _has_nothing(self) -> bool:
        """Whether the interrupted crawl has delivered nothing."""
        return not self._database.urn_hashes() and not [*self._database.windows()]

    def _is_abandoned(self) -> bool:
        """Return whether the interrupted crawl read less than this one is to read."""
        scope = scope_under_way(self._database)
        wanted = None if self._changed_only is None else self._changed_only.incremental
        return scope is not None and not scope.is_full and wanted is None

    def _begin(self) -> None:
        settings = self._whole | {
            "finished": "false",
            "run_id": self.run_id,
            "fingerprint": msgspec.json.encode(self._fingerprint).decode(),
        }
        self._database.write(Changes(settings=settings, afresh=True))

    def _resume(self, settings: dict[str, str]) -> None:
        self.run_id = settings["run_id"]
        runs = deleted = left_out = 0
        for text in self._database.windows():
            window = Window(*json.loads(text))
            done = self._done[window.experiment_id]
            done.intervals = done.intervals.add(window.since, window.until)
            done.rows += window.rows
            runs += window.runs
            deleted += window.deleted
            left_out += window.left_out
        self._delivered_before = self._database.urn_hashes()
        if "findings" in settings:
            self._tally = decode_tally(settings["findings"].encode())
            # Runs of windows that are not done are read and delivered once more.
            self._tally.count_at_most(_RUN, runs)
        self.resumed = Resumed(decode_tally(encode_tally(self._tally)), runs, deleted, left_out)
