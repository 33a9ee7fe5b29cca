"""`crawl`: the main job, with progress, signals, summary and report around it."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import msgspec

from crawler.commands.settings import settings_of
from crawler.errors import CrawlerError, ExitCode, Interrupted, OutputError, SettingsError
from crawler.logs import configure_logging
from crawler.outputs import Place, place_of, reason_of
from crawler.pipeline import crawl
from crawler.progress import show_progress
from crawler.report import CrawlReport
from crawler.settings import FileSettings, LiteSettings, Settings
from crawler.summary import print_summary

OBJECTS_BETWEEN_COLLECTIONS = 20_000

_log = logging.getLogger("crawler")


def crawl_command(arguments: argparse.Namespace) -> ExitCode:
    """Crawls, prints the summary and writes the report, whatever happens."""
    configure_logging(arguments.log_format, verbose=arguments.verbose)
    report = CrawlReport(run_id="")
    place = _place(arguments.report, "report")
    try:
        settings = settings_of(arguments)
        profile = _place(arguments.profile, "profile")
        _require_apart(settings, report=place, profile=profile)
    except CrawlerError as error:
        report.fail(error.code, str(error))
        report.finish("failed")
        _write("report", report.to_dict(), place)
        raise
    report.run_id = settings.run_id
    for note in settings.notes:
        _log.info(note)
    live = sys.stderr.isatty() and not arguments.no_progress
    try:
        return run_crawl(settings, report, live=live)
    finally:
        if report.status == "running":
            report.finish("failed")
        _tell(report, arguments)
        try:
            _write("report", report.to_dict(), place)
        finally:
            _write("profile", report.profile(), profile)


def run_crawl(settings: Settings, report: CrawlReport, *, live: bool) -> ExitCode:
    """Crawls to the end, to an error or to a signal; the report is finished with what came of it."""
    received: list[signal.Signals] = []
    _collect_garbage_seldom()
    try:
        asyncio.run(_crawl_until_signal(settings, report, received, live=live))
    except (Interrupted, asyncio.CancelledError):
        report.finish("interrupted")
        return ExitCode.TERMINATED if signal.SIGTERM in received else ExitCode.INTERRUPTED
    except CrawlerError as error:
        report.fail(error.code, str(error))
        report.finish("failed")
        _log.error(error)
        return ExitCode(error.exit_code)
    report.finish("failures" if report.failures else "success")
    return ExitCode.FAILURES if report.failures else ExitCode.OK


def _collect_garbage_seldom() -> None:
    """A page makes thousands of objects without cycles, which would have the collector search in vain each time: that
    takes a tenth of a crawl's CPU.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


async def _crawl_until_signal(
    settings: Settings, report: CrawlReport, received: list[signal.Signals], *, live: bool
) -> None:
    """The first signal ends the reading, the second the process's work at once."""
    stop = asyncio.Event()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    async with show_progress(report, live=live):
        await crawl(settings, report, stop)


def _write(what: str, content: dict[str, object], place: Place | None) -> None:
    """Writes JSON, whole or not at all. Raises OutputError."""
    if place is None:
        return
    try:
        place.draft.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        place.settle()
    except OSError as error:
        raise OutputError(f"Writing the {what} {place.final} failed: {error.strerror}.", "Give another path.") from None


def _tell(report: CrawlReport, arguments: argparse.Namespace) -> None:
    if arguments.log_format == "json":
        _log.info("The crawl has ended: %s.", report.status, extra={"report": report.to_dict()})
    else:
        print_summary(report, report_path=arguments.report, stream=sys.stderr)


def _place(path: Path | None, what: str) -> Place | None:
    if path is None:
        return None
    try:
        place = place_of(path)
        if not place.final.parent.is_dir():
            raise FileNotFoundError(2, "No such folder")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Cannot write the {what} {path}: {reason_of(error)}.", "Give the path of a file in a folder that exists."
        ) from None
    return place


def _require_apart(settings: Settings, **places: Place | None) -> None:
    """Raises SettingsError where two of the files that a crawl writes would overwrite each other."""
    taken: dict[Path, str] = {}
    if not settings.dry_run and isinstance(settings.sink, FileSettings | LiteSettings):
        output = settings.sink.path.absolute()
        taken = dict.fromkeys((output, output.with_name(output.name + ".part")), "output")
    for what, place in places.items():
        for path in () if place is None else (place.final, place.draft):
            if path in taken:
                raise SettingsError(f"The {taken[path]} and the {what} are both {path}.", "Give them two paths.")
        if place is not None:
            taken |= dict.fromkeys((place.final, place.draft), what)
