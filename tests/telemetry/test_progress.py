"""The live view beside log lines, on terminals of any width, and on crawls that have read nothing yet."""

import asyncio
import io
import logging
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stderr
from pathlib import Path

import pytest
from rich.console import Console

from crawler.telemetry.progress import Rates, live_view, progress_line, show_progress
from crawler.telemetry.report import Report
from tests.support.findings import fail, warn

ERASE_LINE = "\x1b[2K"
BLOCK = "registered models"


class Terminal(io.StringIO):
    """Standard error as a person has it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


@contextmanager
def root_handler(stream: io.StringIO) -> Iterator[logging.StreamHandler[io.StringIO]]:
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def live_on(terminal: Terminal) -> AsyncIterator[None]:
    with redirect_stderr(terminal):
        async with show_progress(Report("r"), live=True):
            yield
        assert sys.stderr is terminal


def drawn(report: Report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(live_view(report, Rates(report)))
    return capture.get()


async def test_a_log_line_stays_above_the_block(terminal: Terminal) -> None:
    with root_handler(terminal):
        async with live_on(terminal):
            logging.getLogger("crawler").warning("a retry")
    before, after = terminal.getvalue().split("a retry\n", maxsplit=1)
    assert before.rstrip().count(ERASE_LINE) > 0, "the block is wiped out before the line is written"
    assert BLOCK in after.split(ERASE_LINE, maxsplit=1)[0], "and drawn anew below it, before anything else is wiped out"


async def test_a_log_line_is_neither_wrapped_nor_read_as_markup_nor_obeyed(terminal: Terminal) -> None:
    with root_handler(terminal):
        async with live_on(terminal):
            logging.getLogger("crawler").warning("%s [bold]name[/bold] :smile: \x1b]0;title\x07", "x" * 300)
    assert "x" * 300 + " [bold]name[/bold] :smile: \ufffd]0;title\ufffd\n" in terminal.getvalue()


async def test_a_traceback_keeps_its_lines(terminal: Terminal) -> None:
    with root_handler(terminal):
        async with live_on(terminal):
            logging.getLogger("crawler").warning("first\n  second")
    assert "first\n  second\n" in terminal.getvalue()


async def test_handlers_get_their_streams_back(terminal: Terminal) -> None:
    elsewhere = io.StringIO()
    with root_handler(terminal) as to_stderr, root_handler(elsewhere) as to_elsewhere:
        async with live_on(terminal):
            assert to_stderr.stream is not terminal
            assert to_elsewhere.stream is elsewhere
        assert to_stderr.stream is terminal


async def test_handlers_get_their_streams_back_from_a_crawl_that_fails(terminal: Terminal) -> None:
    async def fail() -> None:
        async with live_on(terminal):
            raise ZeroDivisionError

    with root_handler(terminal) as handler:
        with pytest.raises(ZeroDivisionError):
            await fail()
        assert handler.stream is terminal


async def test_the_block_is_there_at_once_and_gone_at_the_end(terminal: Terminal) -> None:
    async with live_on(terminal):
        assert BLOCK in terminal.getvalue()
    assert BLOCK not in terminal.getvalue().rsplit(ERASE_LINE, maxsplit=1)[1]


def test_nothing_read_yet() -> None:
    report = Report("r")
    assert "0 runs/s" in drawn(report)
    assert "left" not in drawn(report)
    assert "0 experiments, 0 runs (0/s) read; 0 proposals (0/s) delivered" in progress_line(report, Rates(report))


def test_warnings_and_failures_are_counted() -> None:
    report = Report("r")
    warn(report, "w", "W", count=2)
    fail(report, "a", "A", count=1_000)
    fail(report, "b", "B", count=1)
    assert "2 warnings, 1,001 failures" in " ".join(drawn(report).split())


def test_a_narrow_terminal_hides_no_digit() -> None:
    report = Report("r")
    report.read["runs"] = 39_207
    report.mapped["dataProcessInstance"] = 38_716
    report.delivered["dataProcessInstance"] = 34_305
    for number in ("39,207", "38,716", "34,305"):
        assert number in drawn(report, width=40)


def test_rates_are_those_of_the_last_seconds() -> None:
    report = Report("r")
    now = 0.0
    rates = Rates(report, clock=lambda: now)
    for now, runs in ((5.0, 5_000), (60.0, 5_000), (65.0, 5_100)):  # noqa: B007  the clock reads it
        report.read["runs"] = runs
        rates.note()
    assert rates.runs == 20


def test_rich_waits_until_it_is_needed() -> None:
    code = "import sys, crawler.telemetry.progress, crawler.telemetry.summary; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def busy_report() -> Report:
    report = Report("run-1")
    report.mlflow.version = "3.17.2"
    report.mlflow.requests, report.mlflow.retries, report.mlflow.in_flight = 120, 3, 4
    report.mlflow.change_concurrency(7)
    report.read.update(experiments=20, runs=12_345)
    report.mapped["dataProcessInstance"] = 12_000
    report.delivered["dataProcessInstance"] = 11_000
    report.tally.proposals = 99_000
    return report


def test_the_live_view_shows_kinds_rates_and_requests() -> None:
    report = busy_report()
    clock = iter([0.0, 10.0])
    rates = Rates(report, clock=lambda: next(clock))
    report.read["runs"] += 500
    report.tally.proposals += 4_000
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(live_view(report, rates))
    text = capture.get()
    for expected in ("12,845", "12,000", "11,000", "50 runs/s", "400 proposals/s", "4 of 7 in flight", "3 retries"):
        assert expected in text


def paced(report: Report, *, seconds: int = 20) -> Rates:
    """Rates after so many seconds of 100 runs each."""
    now = 0.0
    rates = Rates(report, clock=lambda: now)
    for now in map(float, range(1, seconds + 1)):  # noqa: B007  the clock reads it
        report.delivered["dataProcessInstance"] += 100
        rates.note()
    return rates


def test_a_bar_and_the_time_left_where_the_last_crawl_tells_how_many_runs_there_are() -> None:
    report = Report("r")
    report.runs_expected = 8_000
    rates = paced(report)
    told = "25% of the 8,000 runs of last time delivered, about 1m00s left"
    assert told in progress_line(report, rates)
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(live_view(report, rates))
    assert told in capture.get()
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 10 in capture.get()


@pytest.mark.parametrize("expected", [None, 0, 1_999, 2_000])
def test_no_bar_and_no_time_left_where_no_total_is_known_or_there_are_more_by_now(expected: int | None) -> None:
    report = Report("r")
    report.runs_expected = expected
    rates = paced(report)
    shown = progress_line(report, rates) + drawn(report)
    assert "left" not in shown
    assert "last time" not in shown
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in shown


def test_no_time_left_in_an_outage() -> None:
    report = Report("r")
    report.runs_expected = 8_000
    rates = paced(report)
    report.mlflow.outage = "connection refused"
    assert rates.seconds_left is None


def test_experiments_are_counted_against_all_once_all_are_listed() -> None:
    report = busy_report()
    assert ": 20 experiments, " in progress_line(report, Rates(report))
    report.experiments_listed, report.experiments_done = True, 5
    assert ": 5 of 20 experiments, " in progress_line(report, Rates(report))


async def test_off_a_terminal_lines_come_at_intervals(caplog: pytest.LogCaptureFixture) -> None:
    report = busy_report()
    seen = asyncio.Event()
    logger = logging.getLogger("crawler.progress")
    handler = logging.Handler()
    handler.emit = lambda _record: seen.set()  # type: ignore[method-assign,assignment]
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "crawler.progress"):
        async with asyncio.timeout(60), show_progress(report, live=False, interval=0.001):
            await seen.wait()
    logger.removeHandler(handler)
    assert "20 experiments, 12,345 runs" in caplog.messages[0]
    assert "3 retries" in caplog.messages[0]


def test_an_outage_is_shown_in_the_place_of_what_is_slowest() -> None:
    report = busy_report()
    report.datahub.outage = "connection refused"
    report.datahub.silent_since, report.datahub.patience = time.monotonic() - 12, 300.0
    said = r"DataHub gives no answer for 12\.\d s \(connection refused\), waiting up to 5m00s"
    for shown in (progress_line(report, Rates(report)), drawn(report, width=200)):
        assert re.search(said, shown)
        assert "slowest" not in shown


def test_the_progress_of_a_replay_is_about_its_file() -> None:
    report = Report("r")
    report.replayed = Path("in.jsonl")
    report.read["proposals"], report.tally.proposals = 1_234, 1_000
    report.mapped["tag"] = report.mapped["glossaryTerm"] = 5
    line = progress_line(report, Rates(report))
    assert "1,234 proposals read; 1,000 proposals" in line
    view = drawn(report, 120)
    assert "File     1,234 proposals read" in view
    assert "glossaryTerm" in view
    for word in ("MLflow", "runs", "experiments"):
        assert word not in line + view
