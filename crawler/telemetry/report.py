"""What a crawl did, as numbers that grow while it runs; the live view, the summary and `--report` all read them."""

import resource
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec

from crawler.http.traffic import Traffic
from crawler.telemetry.logs import encodable
from crawler.telemetry.timing import Timing

SAMPLES = 5


class Finding(msgspec.Struct):
    """A warning or failure of one kind: `count` of them, with a few `samples`, however many there were."""

    code: str
    message: str
    count: int = 0
    samples: list[str] = []


class CrawlReport:
    """The one place where a crawl counts."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.status = "running"
        self.started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._finished: float | None = None
        self.time = Timing()
        self.mlflow = Traffic(listener=self)
        self.datahub = Traffic(listener=self)
        self.batches = 0
        self.read: Counter[str] = Counter(experiments=0, runs=0, registered_models=0, model_versions=0)
        self.skipped: Counter[str] = Counter()
        self.mapped: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.confirmed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Entities by type and by what proves that DataHub has them."""
        self.dead_letters = 0
        self.dead_letters_path: Path | None = None
        self.replayed: Path | None = None
        """The file that is sent, where this is no crawl but a replay."""
        self.proposals = 0
        self.rejected = 0
        self.output: str | None = None
        self.dry_run = False
        self.experiments_listed = False
        self.experiments_done = 0
        self._warnings: dict[str, Finding] = {}
        self._failures: dict[str, Finding] = {}

    @property
    def duration(self) -> float:
        """Seconds since the crawl began, or that it took."""
        return (self._finished or time.monotonic()) - self._started

    @property
    def warnings(self) -> list[Finding]:
        return list(self._warnings.values())

    @property
    def failures(self) -> list[Finding]:
        return list(self._failures.values())

    def pulse(self) -> tuple[int, ...]:
        """Numbers some of which change whenever anything happens."""
        traffic = [(each.requests, each.retries, each.in_flight) for each in (self.mlflow, self.datahub)]
        counts = [counter.total() for counter in (self.read, self.mapped, self.delivered)]
        return (*chain(*traffic), *counts, self.proposals, self.batches)

    def warn(self, code: str, message: str, sample: str = "", count: int = 1) -> None:
        """Counts a thing to know that loses nothing."""
        _add(self._warnings, code, message, sample, count)

    def fail(self, code: str, message: str, sample: str = "", count: int = 1) -> None:
        """Counts a thing that did not reach DataHub: the exit code becomes 1."""
        _add(self._failures, code, message, sample, count)

    def finish(self, status: str) -> None:
        """Stops the clock. `status` is success, failures, failed or interrupted."""
        self.status = status
        self._finished = time.monotonic()

    def traffic_changed(self) -> None:
        """Attribute the waiting time from now on to the server that has requests in flight."""
        # With nothing on its way from MLflow, all that is read waits for DataHub.
        self.time.wait_for("mlflow" if self.mlflow.in_flight else "datahub" if self.datahub.in_flight else "other")

    def profile(self) -> dict[str, object]:
        """Where the time went, as `--profile` writes it: `limit` says what the crawl waited for most."""
        report = self.to_dict()
        kept = ("run_id", "status", "started_at", "duration_s", "time", "mlflow", "datahub", "peak_rss_bytes")
        return {"limit": self.time.limit, **{name: report[name] for name in kept}}

    def to_dict(self) -> dict[str, object]:
        """The report as `--report` writes it; counts in numbers, times in seconds, sizes in bytes."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "dry_run": self.dry_run,
            "replayed": self.replayed and encodable(str(self.replayed)),
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "duration_s": round(self.duration, 3),
            "mlflow": _wire(self.mlflow),
            "read": dict(self.read),
            "skipped": dict(self.skipped),
            "datahub": {**_wire(self.datahub), "batches": self.batches},
            "written": {"proposals": self.proposals, "entities": dict(self.delivered)},
            "confirmed": {entity_type: dict(ways) for entity_type, ways in self.confirmed.items()},
            "rejected": self.rejected,
            "dead_letters": {
                "path": self.dead_letters_path and encodable(str(self.dead_letters_path)),
                "count": self.dead_letters,
            },
            "time": self.time.to_dict(),
            "peak_rss_bytes": peak_rss_bytes(),
            "warnings": self.warnings,
            "failures": self.failures,
        }


def peak_rss_bytes() -> int:
    """The most memory that this process ever held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _add(findings: dict[str, Finding], code: str, message: str, sample: str, count: int) -> None:
    finding = findings.setdefault(code, Finding(code=code, message=encodable(message)))
    finding.count += count
    if sample and len(finding.samples) < SAMPLES:
        finding.samples.append(encodable(sample))


def _wire(traffic: Traffic) -> dict[str, object]:
    fields = ("version", "requests", "retries", "bytes")
    concurrency = {
        "min": traffic.lowest_concurrency,
        "max": traffic.highest_concurrency,
        "last": traffic.concurrency,
    }
    return {**{field: getattr(traffic, field) for field in fields}, "concurrency": concurrency}
