"""What a crawl or a replay did, as numbers that grow: the live view, the summary and `--report` read it."""

import re
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from msgspec import structs

from crawler.http.traffic import Traffic
from crawler.telemetry.counting import count
from crawler.telemetry.events import (
    BatchTaken,
    EntitiesMapped,
    Event,
    ExperimentDone,
    ExperimentsListed,
    OutputOpened,
    QueueSeen,
    RowsRead,
    RowsSkipped,
    SourceOpened,
    Started,
    Unverified,
    WorkspacesChosen,
)
from crawler.telemetry.forecast import Forecast
from crawler.telemetry.logs import encodable
from crawler.telemetry.stale_counts import StaleCounts
from crawler.telemetry.tally import SAMPLES, FindingSummary, Tally
from crawler.telemetry.timing import Party, Timing

_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


class Report:
    """A listener that counts.

    Example:
        report = await crawl(load("recipe.yml"))
        print(report.status, report.delivered, report.to_dict())
    """

    def __init__(self, run_id: str = "") -> None:
        """Start the clock."""
        self.run_id = run_id
        self.status = "running"
        self.dry_run = False
        self.output: str | None = None
        self.replayed: Path | None = None
        """The file that is sent, where this is no crawl but a replay."""
        self.started_at = datetime.now(UTC)
        self.time = Timing()
        self.mlflow = Traffic(listener=self)
        self.datahub = Traffic(listener=self)
        self.tally = Tally()
        self.read: Counter[str] = Counter(experiments=0, runs=0, registered_models=0, model_versions=0)
        self.skipped: Counter[str] = Counter()
        self.left_out: dict[str, list[str]] = {}
        """What some of the skipped rows are called, by what they are, where that is told."""
        self.chosen: dict[str, str] = {}
        """What of MLflow is read, by option of the recipe, where that is not all."""
        self.mapped: Counter[str] = Counter()
        self.stale = StaleCounts()
        """What vanished from MLflow: to be removed, or kept, and why."""
        self.batches = 0
        self.forecast = Forecast()
        """What would be sent, in a dry run."""
        self.experiments_listed = False
        self.experiments_done = 0
        self.runs_expected: int | None = None
        """How many runs the last whole crawl of this server read, where the state tells."""
        self.since: int | None = None
        """From when on (ms since epoch) what may have changed is read; None where everything is."""
        self.workspaces: WorkspacesChosen | None = None
        """Which workspaces are read, where MLflow has any."""
        self.unverified = Unverified(0, 0)
        """What waits to be seen in DataHub, which took it."""
        self.queue_lag: int | None = None
        """Proposals, of all writers, in DataHub's queue; None where that is not known."""
        self._started = time.monotonic()
        self._finished: float | None = None

    def __call__(self, event: Event) -> None:
        """Count what an event tells."""
        self.stale(event)
        match event:
            case RowsRead():
                self.read[event.resource] += event.count
            case EntitiesMapped():
                self.mapped[event.entity_type] += event.count
            case BatchTaken():
                self.batches += 1
            case RowsSkipped():
                self._skip(event)
            case ExperimentDone():
                self.experiments_done += 1
            case ExperimentsListed():
                self.experiments_listed = True
            case Unverified():
                self.unverified = event
            case QueueSeen():
                self.queue_lag = event.lag
            case Started():
                self.run_id, self.dry_run = event.run_id, event.dry_run
                self.tally = event.resumed or self.tally
                self.runs_expected, self.since, self.chosen = event.runs_expected, event.since, event.chosen
            case SourceOpened() | WorkspacesChosen() | OutputOpened():
                self._note_place(event)
            case _:
                count(event, self.tally)
                self.forecast(event)

    def _skip(self, rows: RowsSkipped) -> None:
        self.skipped[rows.what] += rows.count
        if rows.samples:
            known = self.left_out.get(rows.what, [])
            self.left_out[rows.what] = [*known, *map(encodable, rows.samples)][:SAMPLES]

    def _note_place(self, event: SourceOpened | WorkspacesChosen | OutputOpened) -> None:
        match event:
            case SourceOpened():
                self.mlflow.version = event.version
            case WorkspacesChosen():
                self.workspaces = event
            case OutputOpened():
                self.output = event.target
                self.datahub.version = event.version or self.datahub.version

    @property
    def duration(self) -> float:
        """Seconds since the start, or that it took."""
        return (self._finished or time.monotonic()) - self._started

    @property
    def warnings(self) -> list[FindingSummary]:
        """Things to know that lose nothing, by code."""
        return list(self.tally.warnings.values())

    @property
    def failures(self) -> list[FindingSummary]:
        """Things that did not reach DataHub, by code: the exit code is 1."""
        return list(self.tally.failures.values())

    @property
    def delivered(self) -> Counter[str]:
        """Entities that DataHub has, by type."""
        return self.tally.delivered

    @property
    def unchanged(self) -> Counter[str]:
        """Entities by type that were not sent: DataHub has them as they are, as the state tells."""
        return self.tally.unchanged

    @property
    def confirmed(self) -> dict[str, Counter[str]]:
        """The same, by type and by what proves it."""
        return self.tally.confirmed

    @property
    def removed(self) -> Counter[str]:
        """Entities that were marked as removed in DataHub, by type."""
        return self.tally.removed

    @property
    def proposals(self) -> int:
        """Proposals that were delivered."""
        return self.tally.proposals

    @property
    def rejected(self) -> int:
        """Proposals that were refused, not sent or not stored."""
        return self.tally.rejected

    @property
    def unconfirmed(self) -> int:
        """Entities that DataHub took, but was not seen to have in time."""
        return self.tally.unconfirmed

    @property
    def unconfirmed_path(self) -> Path | None:
        """The file in which these are kept, if there are any."""
        return self.tally.unconfirmed_path

    @property
    def dead_letters(self) -> int:
        """Proposals in the file of dead letters."""
        return self.tally.dead_letters

    @property
    def dead_letters_path(self) -> Path | None:
        """The file of dead letters, if there are any."""
        return self.tally.dead_letters_path

    @property
    def runs_done(self) -> int:
        """Runs that were delivered, or have not changed."""
        return self.delivered["dataProcessInstance"] + self.unchanged["dataProcessInstance"]

    def activity(self) -> tuple[int, ...]:
        """Return counters some of which change whenever anything happens."""
        traffic = [(each.requests, each.retries, each.in_flight) for each in (self.mlflow, self.datahub)]
        counts = [counter.total() for counter in (self.read, self.mapped, self.delivered, self.unchanged)]
        return (*chain(*traffic), *counts, self.proposals, self.batches, self.time.additions)

    def finish(self, status: str | None = None) -> None:
        """Stop the clock. `status` is failed or interrupted; by default the work came to its end.

        It is success then, or unconfirmed, or failures.
        """
        ended = "failures" if self.failures else "unconfirmed" if self.unconfirmed else "success"
        self.status = status or ended
        self._finished = time.monotonic()

    def traffic_changed(self) -> None:
        """Note whom the crawl waits for: with nothing on its way from MLflow, all that is read waits for DataHub."""
        self.time.wait_for(self._waiting_for())

    def _waiting_for(self) -> Party:
        if self.mlflow.in_flight:
            return "mlflow"
        if self.datahub.in_flight:
            return "datahub"
        if self.mlflow.waiting_for_rate or self.datahub.waiting_for_rate:
            return "rate"
        return "queue" if self.unverified.entities else "other"

    def profile(self) -> dict[str, object]:
        """Return where the time went, as `--profile` writes it: `limit` says what the crawl waited for most."""
        report = self.to_dict()
        kept = ("run_id", "status", "started_at", "duration_s", "time", "mlflow", "datahub", "peak_rss_bytes")
        return {"limit": self.time.limit, **{name: report[name] for name in kept}}

    def to_dict(self) -> dict[str, object]:
        """Return the report as `--report` writes it; counts in numbers, times in seconds, sizes in bytes."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "dry_run": self.dry_run,
            "replayed": _shown(self.replayed),
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "duration_s": round(self.duration, 3),
            "mlflow": _traffic(self.mlflow),
            "since": None if self.since is None else _time(self.since),
            "chosen": self.chosen,
            "workspaces": None if self.workspaces is None else structs.asdict(self.workspaces),
            "read": dict(self.read),
            "skipped": dict(self.skipped),
            "left_out": self.left_out,
            "datahub": {**_traffic(self.datahub), "batches": self.batches},
            "written": {"proposals": self.proposals, "entities": dict(self.delivered)},
            "unchanged": dict(self.unchanged),
            "confirmed": {entity_type: dict(ways) for entity_type, ways in self.confirmed.items()},
            "plan": self.forecast.to_dict(self.duration, self.mapped) if self.dry_run else None,
            "removal": {"removed": dict(self.removed), **self.stale.to_dict()},
            "rejected": self.rejected,
            "unconfirmed": {
                "path": _shown(self.unconfirmed_path),
                "entities": self.unconfirmed,
                "proposals": self.tally.unconfirmed_proposals,
            },
            "queue_lag": self.queue_lag,
            "dead_letters": {"path": _shown(self.dead_letters_path), "count": self.dead_letters},
            "time": self.time.to_dict(),
            "peak_rss_bytes": peak_rss_bytes(),
            "warnings": self.warnings,
            "failures": self.failures,
        }


def peak_rss_bytes() -> int:
    """Return the most memory that this process ever held, in bytes."""
    with suppress(OSError):
        # Linux hands ru_maxrss on to what a process starts: a crawl started by a large one would tell that one's peak.
        if held := _PEAK.search(Path("/proc/self/status").read_bytes()):
            return int(held[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _time(time: int) -> str:
    return datetime.fromtimestamp(time / 1_000, UTC).isoformat(timespec="milliseconds")


def _shown(path: Path | None) -> str | None:
    return None if path is None else encodable(str(path))


def _traffic(traffic: Traffic) -> dict[str, object]:
    return {
        "version": traffic.version,
        "requests": traffic.requests,
        "retries": traffic.retries,
        "bytes": traffic.bytes,
        "concurrency": {
            "min": traffic.lowest_concurrency,
            "max": traffic.highest_concurrency,
            "last": traffic.concurrency,
        },
    }
