"""`crawl`: the main job, with progress, signals, summary and report around it."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import msgspec

from crawler.commands.settings import settings_of
from crawler.errors import CrawlerError, ExitCode, Interrupted, OutputError, SettingsError
from crawler.logs import configure_logging
from crawler.pipeline import crawl
from crawler.progress import show_progress
from crawler.report import CrawlReport
from crawler.settings import Settings
from crawler.summary import print_summary

_log = logging.getLogger("crawler")


def crawl_command(arguments: argparse.Namespace) -> ExitCode:
    """Crawls, prints the summary and writes the report, whatever happens."""
    configure_logging(arguments.log_format, verbose=arguments.verbose)
    report = CrawlReport(run_id="")
    report_path: Path | None = arguments.report
    _require_writable(report_path)
    try:
        settings = settings_of(arguments)
    except CrawlerError as error:
        report.fail(error.code, str(error))
        report.finish("failed")
        write_report(report, report_path)
        raise
    report.run_id = settings.run_id
    for note in settings.notes:
        _log.info(note)
    live = sys.stderr.isatty() and not arguments.no_progress
    exit_code = run_crawl(settings, report, live=live)
    print_summary(report, report_path=report_path, stream=sys.stderr)
    write_report(report, report_path)
    return exit_code


def run_crawl(settings: Settings, report: CrawlReport, *, live: bool) -> ExitCode:
    """Crawls to the end, to an error or to a signal; the report is finished with what came of it."""
    try:
        return asyncio.run(_crawl_until_signal(settings, report, live=live))
    except asyncio.CancelledError:
        report.finish("interrupted")
        return ExitCode.INTERRUPTED


async def _crawl_until_signal(settings: Settings, report: CrawlReport, *, live: bool) -> ExitCode:
    stop = asyncio.Event()
    received = _stop_on_signals(stop)
    try:
        async with show_progress(report, live=live):
            await crawl(settings, report, stop)
    except Interrupted:
        report.finish("interrupted")
        return ExitCode.TERMINATED if signal.SIGTERM in received else ExitCode.INTERRUPTED
    except CrawlerError as error:
        report.fail(error.code, str(error))
        report.finish("failed")
        _log.error(error)
        return ExitCode(error.exit_code)
    report.finish("failures" if report.failures else "success")
    return ExitCode.FAILURES if report.failures else ExitCode.OK


def _stop_on_signals(stop: asyncio.Event) -> list[signal.Signals]:
    """The first signal ends the reading, the second the process's work at once."""
    received: list[signal.Signals] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return received


def write_report(report: CrawlReport, path: Path | None) -> None:
    """Writes the report as JSON, whole or not at all. Raises OutputError."""
    if path is None:
        return
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(report.to_dict()), indent=2) + b"\n")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"Writing the report {path} failed: {error.strerror}.", "Give another path.") from None


def _require_writable(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise SettingsError(f"Cannot write the report {path}.", "Give the path of a file in a folder that exists.")
