"""What a crawl has delivered, kept so that a later one goes on where it ended, however it ended.

Windows, entities, datasets and findings are written together, so that they agree.
"""

import json
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

import msgspec

from crawler.atomic_files import claim
from crawler.checkpoint import findings
from crawler.checkpoint.fingerprint import differences
from crawler.checkpoint.intervals import Bounds, Intervals
from crawler.checkpoint.mark import Mark, Window
from crawler.checkpoint.sqlite import Changes, Database
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.pending import Ack
from crawler.errors import SettingsError
from crawler.telemetry.report import CrawlReport

SECONDS_BETWEEN_WRITES = 1.0

_RUN = "dataProcessInstance"
_DATASET = "dataset"


class HeldDatasets(Protocol):
    """Datasets that a crawl holds until its end."""

    def watch(self) -> None:
        """From now on, `snapshot` will be asked for."""
        ...

    def snapshot(self) -> Iterator[tuple[str, bytes]]:
        """What is told of each one that has changed since it was asked last, by URN."""
        ...

    def restore(self, told: bytes) -> None:
        """Takes back what `snapshot` gave. Raises msgspec.MsgspecError where that is something else."""
        ...


class _Totals(msgspec.Struct):
    """Of the windows of one experiment that are done."""

    ranges: Intervals = Intervals()
    rows: int = 0


class Checkpoint:
    """The state of one crawl, as long as the context is entered; nobody else can open it meanwhile.

    What is written is at most `SECONDS_BETWEEN_WRITES` old whenever something is settled. Every method that settles
    raises OutputError where the state cannot be written; from then on, nothing is written any more.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: dict[str, str],
        report: CrawlReport,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`report` has the id of a new crawl; it gets that of the one that is gone on with, and its findings."""
        self._path = path
        self._fingerprint = fingerprint
        self._report = report
        self._clock = clock
        self._exit = ExitStack()
        self._database: Database
        self._held: HeldDatasets | None = None
        self._done: defaultdict[str, _Totals] = defaultdict(_Totals)
        self._settled_before = array("q")
        self._changes: Changes = Changes(settings={})
        self._dirty = False
        self._failed = False
        self._written_at = clock()
        self.resumed = False

    def __enter__(self) -> Self:
        """Raises SettingsError for a state that is in use, damaged, of other settings, or no state at all."""
        with ExitStack() as stack:
            stack.enter_context(claim(self._path))
            self._database = Database(self._path)
            stack.callback(self._database.close)
            self._read()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._exit:
            if self._dirty:
                self._write()

    def hold(self, datasets: HeldDatasets) -> None:
        """Gives back the datasets that are kept, and keeps these from now on."""
        for told in self._database.datasets():
            try:
                datasets.restore(told)
            except msgspec.MsgspecError as error:
                raise self._database.damaged(str(error)) from None
        datasets.watch()
        self._held = datasets

    def gaps(self, experiment_id: str) -> list[Bounds]:
        """The windows of start times of which not all runs are delivered."""
        return self._done[experiment_id].ranges.gaps() if experiment_id in self._done else [(None, None)]

    def rows(self, experiment_id: str) -> int:
        """How many runs lie in the windows that are done."""
        return self._done[experiment_id].rows if experiment_id in self._done else 0

    def was_settled(self, urn: str) -> bool:
        """Whether the entity, other than a run, was delivered or given up by the crawl that this one goes on with."""
        before = self._settled_before
        if not before:
            return False
        urn_hash = _hash(urn)
        place = bisect_left(before, urn_hash)
        return place < len(before) and before[place] == urn_hash

    def new_mark(self) -> Mark:
        """The mark of a window that is about to be read."""
        return Mark(self._window_done)

    def begin(self, urn: str, ack: Ack | None) -> bool:
        """Whether the entity is still to be delivered. If so, its window waits for it."""
        if self.was_settled(urn):
            return False
        if ack is not None:
            ack.add(1)
        return True

    def settled(self, parcel: EncodedEntity) -> None:
        """An entity that has begun has arrived, or is given up and named in the report."""
        if parcel.entity_type != _RUN:
            urn_hash = _hash(parcel.urn)
            self._changes.urn_hashes.append(urn_hash)
            if parcel.entity_type == _DATASET:
                self._changes.datasets[urn_hash] = None
        self._dirty = True
        if parcel.pending.ack is not None:
            parcel.pending.ack.done(1)
        self._write_if_due()

    def finish(self) -> None:
        """All is delivered or named: the next crawl with this state starts afresh."""
        self._changes = Changes(settings={"finished": "true"}, afresh=True)
        self._held = None
        self._write()

    def _window_done(self, window: Window) -> None:
        self._changes.windows.append(json.dumps(window))
        self._dirty = True
        self._write_if_due()

    def _write_if_due(self) -> None:
        if self._clock() - self._written_at >= SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        if self._failed:
            return
        changes, self._changes = self._changes, Changes(settings={})
        self._dirty = False
        if self._held is not None:
            told: dict[int, bytes | None] = {_hash(urn): packed for urn, packed in self._held.snapshot()}
            # One that has left and arrived since is not kept, whatever was told of it.
            changes.datasets = told | changes.datasets
        if not changes.afresh:
            changes.settings["findings"] = findings.keep(self._report).decode()
        try:
            self._database.write(changes)
        except BaseException:
            self._failed = True
            raise
        self._written_at = self._clock()

    def _read(self) -> None:
        settings = self._database.settings()
        if settings.get("finished", "true") == "true":
            self._start()
            return
        try:
            then = msgspec.json.decode(settings["fingerprint"], type=dict[str, str])
            if then != self._fingerprint:
                raise SettingsError(
                    f"The state {self._path} is that of a crawl with other settings: "
                    f"{'; '.join(differences(then, self._fingerprint))}.",
                    "Give the same settings to go on with it, or --state another path to start afresh.",
                )
            self._restore(settings)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise self._database.damaged(f"{type(error).__name__} {error}") from None

    def _start(self) -> None:
        settings = {
            "finished": "false",
            "run_id": self._report.run_id,
            "fingerprint": msgspec.json.encode(self._fingerprint).decode(),
        }
        self._changes = Changes(settings=settings, afresh=True)
        self._database.write(self._changes)
        self._changes = Changes(settings={})

    def _restore(self, settings: dict[str, str]) -> None:
        self._report.run_id = settings["run_id"]
        for text in self._database.windows():
            window = Window(*json.loads(text))
            done = self._done[window.experiment_id]
            done.ranges = done.ranges.add(window.since, window.until)
            done.rows += window.rows
            self._report.read["runs"] += window.runs
            if window.deleted:
                self._report.skipped["deleted runs"] += window.deleted
        self._settled_before = self._database.urn_hashes()
        if "findings" in settings:
            findings.restore(settings["findings"].encode(), self._report)
        self.resumed = True


def _hash(urn: str) -> int:
    """64 bits: of a million URNs, two are the same once in thirty million crawls."""
    return int.from_bytes(blake2b(urn.encode(errors="surrogatepass"), digest_size=8).digest(), signed=True)
