"""Progress of a crawl or a replay: a live view on a terminal, else a log line at intervals."""

import asyncio
import io
import logging
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from crawler.http.traffic import Traffic
from crawler.settings.durations import human_seconds
from crawler.telemetry.eta import Growth, seconds_left
from crawler.telemetry.logs import printable
from crawler.telemetry.report import Report, peak_rss_bytes
from crawler.telemetry.summary import KINDS, human_bytes
from crawler.telemetry.timing import slowest

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REDRAW_SECONDS = 0.5
LOG_SECONDS = 10.0
RATE_SECONDS = 10.0
BAR_WIDTH = 60

_log = logging.getLogger("crawler.progress")


@asynccontextmanager
async def show_progress(report: Report, *, live: bool, interval: float = LOG_SECONDS) -> AsyncIterator[None]:
    """Show progress while the context lasts: `live` on standard error, else as a log line each `interval` seconds."""
    if live:
        async with _live_view(report):
            yield
    else:
        rates = Rates(report)
        async with _repeating(lambda: _log.info(progress_line(report, rates)), interval):
            yield


class _Point(NamedTuple):
    """The counts at one time, and what had been waited for until then."""

    at: float
    runs: int
    proposals: int
    shares: dict[str, float]


class Rates:
    """Rates over the last RATE_SECONDS, and what limited them."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with the counts of now."""
        self._report = report
        self._clock = clock
        self._points: deque[_Point] = deque()
        self._growth = Growth()
        self.note()

    def note(self) -> None:
        """Take the counts of now; call it at intervals."""
        now = self._clock()
        report = self._report
        self._points.append(_Point(now, report.read["runs"], report.proposals, report.time.shares()))
        self._growth.note(now, report.runs_done)
        while len(self._points) > 2 and now - self._points[0].at > RATE_SECONDS:
            self._points.popleft()

    @property
    def runs(self) -> float:
        """Runs read per second."""
        return self._rate(lambda point: point.runs)

    @property
    def proposals(self) -> float:
        """Proposals delivered per second."""
        return self._rate(lambda point: point.proposals)

    @property
    def seconds_left(self) -> float | None:
        """The time until as many runs are delivered as the last whole crawl read; None where that cannot be told."""
        total = self._report.runs_expected
        if total is None or self._report.mlflow.outage or self._report.datahub.outage:
            return None
        return seconds_left(self._growth.points, total, self._clock())

    @property
    def limit(self) -> str:
        """What limits the crawl, in words."""
        return slowest(self._points[0].shares, self._points[-1].shares)

    def _rate(self, count: Callable[["_Point"], int]) -> float:
        first, last = self._points[0], self._points[-1]
        elapsed = last.at - first.at
        return (count(last) - count(first)) / elapsed if elapsed > 0 else 0.0


def progress_line(report: Report, rates: Rates) -> str:
    """Return the progress in one line."""
    rates.note()
    return (
        f"{human_seconds(report.duration)}: {_read_so_far(report, rates)} read; "
        f"{report.proposals:,} proposals ({rates.proposals:,.0f}/s) delivered; "
        f"{report.mlflow.in_flight + report.datahub.in_flight} requests in flight, "
        f"{report.mlflow.retries + report.datahub.retries:,} retries; {_limit(report, rates)}"
        + (f"; {left}" if (left := _left(report, rates)) else "")
    )


def _limit(report: Report, rates: Rates) -> str:
    """Return what is waited for: a server that is down, else whatever is slowest."""
    for name, traffic in (("MLflow", report.mlflow), ("DataHub", report.datahub)):
        if traffic.outage:
            silence = human_seconds(time.monotonic() - traffic.silent_since)
            waiting = f"waiting up to {human_seconds(traffic.patience)}"
            return f"{name} gives no answer for {silence} ({printable(traffic.outage)}), {waiting}"
    return rates.limit + _waiting_in_queue(report)


def _waiting_in_queue(report: Report) -> str:
    """Return how much waits to be seen in DataHub, where that is worth a word."""
    waiting = report.unverified
    if not waiting.entities:
        return ""
    lag = "" if report.queue_lag is None else f", {report.queue_lag:,} proposals of all writers in its queue"
    disk = f", {human_bytes(waiting.disk_bytes)} on the disk" if waiting.disk_bytes else ""
    return f"; {waiting.entities:,} entities taken and not yet seen in DataHub{disk}{lag}"


def _read_so_far(report: Report, rates: Rates) -> str:
    if report.replayed:
        return f"{report.read['proposals']:,} proposals"
    experiments = f"{report.read['experiments']:,} experiments"
    if report.experiments_listed:
        experiments = f"{report.experiments_done:,} of {experiments}"
    return f"{experiments}, {report.read['runs']:,} runs ({rates.runs:,.0f}/s)"


def _left(report: Report, rates: Rates) -> str:
    """Return how far the crawl is, and how long it still takes, where the last one tells how many runs there are."""
    total, done = report.runs_expected, report.runs_done
    if not total or done >= total:
        return ""
    left = rates.seconds_left
    time_left = "" if left is None else f", about {human_seconds(left)} left"
    return f"{done / total:.0%} of the {total:,} runs of last time delivered{time_left}"


@asynccontextmanager
async def _repeating(action: Callable[[], None], interval: float) -> AsyncIterator[None]:
    """Run the action every `interval` seconds while the context lasts."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(interval)
            action()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def _live_view(report: Report) -> AsyncIterator[None]:
    from rich.console import Console  # noqa: PLC0415  rich takes 0.1 s, which --help must not wait for
    from rich.live import Live  # noqa: PLC0415

    rates = Rates(report)
    console = Console(stderr=True, highlight=False, markup=False)
    block = Live(live_view(report, rates), console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    with _logs_above(console), block:
        async with _repeating(lambda: block.update(live_view(report, rates), refresh=True), REDRAW_SECONDS):
            yield


@contextmanager
def _logs_above(console: "Console") -> Iterator[None]:
    """Write log lines for standard error through the console, which redraws the live view below them.

    Written past the console they would land in the view and be wiped out with it.
    """
    stderr = sys.stderr
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is stderr
    ]
    stream = _ConsoleStream(console)
    for handler in handlers:
        handler.setStream(stream)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(stderr)


class _ConsoleStream(io.TextIOBase):
    """A text stream that writes through a console: lines are not wrapped and hold no control characters."""

    def __init__(self, console: "Console") -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Write whole lines."""
        self._console.out("\n".join(map(printable, text.removesuffix("\n").split("\n"))))
        return len(text)


def live_view(report: Report, rates: Rates) -> "RenderableType":
    """Return the view that is redrawn every REDRAW_SECONDS."""
    from rich.console import Group  # noqa: PLC0415
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    rates.note()
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    has_unchanged = bool(report.unchanged.total())
    for title in ("read", "mapped", "delivered", *(["unchanged"] if has_unchanged else [])):
        table.add_column(title, justify="right", no_wrap=True)
    kinds = [(entity_type, None, entity_type) for entity_type in sorted(report.mapped)] if report.replayed else KINDS
    for name, key, entity_type in kinds:
        read = f"{report.read[key]:,}" if key else ""
        unchanged = [f"{report.unchanged[entity_type]:,}"] if has_unchanged else []
        table.add_row(name, read, f"{report.mapped[entity_type]:,}", f"{report.delivered[entity_type]:,}", *unchanged)
    lines = [
        f"File     {_read_so_far(report, rates)} read"
        if report.replayed
        else f"MLflow   {rates.runs:>8,.0f} runs/s        {_traffic(report.mlflow)}",
        f"DataHub  {rates.proposals:>8,.0f} proposals/s   {_traffic(report.datahub)}",
        f"{human_seconds(report.duration)} elapsed"
        f", at most {human_bytes(peak_rss_bytes())} of memory; {_limit(report, rates)}" + _findings(report),
    ]
    if left := _left(report, rates):
        bar = ProgressBar(total=report.runs_expected, completed=report.runs_done, width=BAR_WIDTH)
        return Group(table, bar, Text("\n".join([left, *lines])))
    return Group(table, Text("\n".join(lines)))


def _traffic(traffic: Traffic) -> str:
    at_once = f"{traffic.in_flight:>3} of {traffic.concurrency} in flight"
    return f"{at_once}, {traffic.requests:,} requests, {traffic.retries:,} retries"


def _findings(report: Report) -> str:
    warnings = sum(finding.count for finding in report.warnings)
    failures = sum(finding.count for finding in report.failures)
    return (f", {warnings:,} warnings" if warnings else "") + (f", {failures:,} failures" if failures else "")
