"""What a person sees during and after a crawl."""

import asyncio
import io
import logging

import pytest
from rich.console import Console

from crawler.progress import Rates, live_view, progress_line, seconds_left, show_progress
from crawler.report import CrawlReport
from crawler.summary import human_bytes, human_seconds, print_summary, printable


def busy_report() -> CrawlReport:
    report = CrawlReport("run-1")
    report.mlflow.version = "3.17.2"
    report.mlflow.requests, report.mlflow.retries, report.mlflow.in_flight = 120, 3, 4
    report.read.update(experiments=20, runs=12_345)
    report.mapped["dataProcessInstance"] = 12_000
    report.delivered["dataProcessInstance"] = 11_000
    report.proposals = 99_000
    return report


def shown(report: CrawlReport) -> str:
    stream = io.StringIO()
    print_summary(report, report_path=None, stream=stream)
    return stream.getvalue()


def test_the_live_view_shows_kinds_rates_and_requests() -> None:
    report = busy_report()
    clock = iter([0.0, 10.0])
    rates = Rates(report, clock=lambda: next(clock))
    report.read["runs"] += 500
    report.proposals += 4_000
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(live_view(report, rates))
    text = capture.get()
    for expected in ("12,845", "12,000", "11,000", "50 runs/s", "400 proposals/s", "4 in flight", "3 retries"):
        assert expected in text


def test_time_left_is_told_only_where_the_total_is_known() -> None:
    report = busy_report()
    assert seconds_left(report) is None
    report.experiments_listed, report.experiments_done = True, 5
    left = seconds_left(report)
    assert left is not None
    assert left == pytest.approx(3 * report.duration, rel=0.5, abs=0.01)
    assert "left" in progress_line(report, Rates(report))


async def test_off_a_terminal_lines_come_at_intervals(caplog: pytest.LogCaptureFixture) -> None:
    report = busy_report()
    seen = asyncio.Event()
    logger = logging.getLogger("crawler.progress")
    handler = logging.Handler()
    handler.emit = lambda _record: seen.set()  # type: ignore[method-assign]
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "crawler.progress"):
        async with asyncio.timeout(10), show_progress(report, live=False, interval=0.001):
            await seen.wait()
    logger.removeHandler(handler)
    assert "20 experiments, 12,345 runs" in caplog.messages[0]
    assert "3 retries" in caplog.messages[0]


async def test_on_a_terminal_a_block_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    async with show_progress(busy_report(), live=True):
        pass
    assert "Traceback" not in capsys.readouterr().err


def test_the_summary_names_what_was_skipped_and_what_failed() -> None:
    report = busy_report()
    report.skipped["deleted runs"] = 7
    report.warn("careful", "Something to know.", "sample one")
    for number in range(9):
        report.fail("urn", "Too long.", f"urn:{number}")
    report.finish("failures")
    text = shown(report)
    for expected in (
        "skipped: deleted runs",
        "1 × careful: Something to know.",
        "9 × urn: Too long.",
        "urn:4",
        "… and 4 more",
    ):
        assert expected in text
    assert "urn:5" not in text
    assert text.rstrip().splitlines()[-1].startswith("Not all: 9 failed")


@pytest.mark.parametrize(
    ("status", "verdict"), [("success", "Done:"), ("failed", "Failed:"), ("interrupted", "Stopped before the end.")]
)
def test_the_verdict(status: str, verdict: str) -> None:
    report = CrawlReport("r")
    report.finish(status)
    assert shown(report).rstrip().splitlines()[-1].startswith(verdict)


def test_names_from_servers_play_no_tricks() -> None:
    report = CrawlReport("r")
    report.fail("x", "[bold]no markup[/bold] \x1b[31mred\x07", "name\r\n\x1b]0;title\x07")
    report.finish("failures")
    text = shown(report)
    assert "[bold]no markup[/bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text
    assert printable("實 é\t") == "實 é\ufffd"


def test_numbers_for_people() -> None:
    assert [human_bytes(count) for count in (5, 2_048, 3 * 2**20, 2**31)] == ["5 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]
    assert [human_seconds(seconds) for seconds in (1.25, 61, 3_725)] == ["1.2 s", "1m01s", "1h02m"]
