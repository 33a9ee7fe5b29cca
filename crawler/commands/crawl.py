"""`crawl`: the main job, with progress, signals, summary and report around it."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from crawler.commands.files import grows_at, output_of, place_for, require_apart, write_json
from crawler.commands.job import Limits, run_job
from crawler.commands.settings import settings_of
from crawler.errors import CrawlerError, ExitCode
from crawler.logs import configure_logging
from crawler.outputs import Place
from crawler.pipeline import crawl
from crawler.report import CrawlReport
from crawler.settings import Settings
from crawler.summary import print_summary

_log = logging.getLogger("crawler")


def crawl_command(arguments: argparse.Namespace) -> ExitCode:
    """Crawls, prints the summary and writes the report, whatever happens."""
    configure_logging(arguments.log_format, verbose=arguments.verbose)
    report = CrawlReport(run_id="")
    place = place_for(arguments.report, "report")
    try:
        settings = settings_of(arguments)
        profile = place_for(arguments.profile, "profile")
    except CrawlerError as error:
        report.fail(error.code, str(error))
        report.finish("failed")
        write_json("report", report.to_dict(), place)
        raise
    # No report is written where this fails: it could be what overwrites another file.
    kept = {"state": grows_at(settings.state), "dead_letters": grows_at(settings.dead_letters)}
    require_apart(output=output_of(settings), report=place, profile=profile, **kept)
    report.run_id = settings.run_id
    for note in settings.notes:
        _log.info(note)
    live = sys.stderr.isatty() and not arguments.no_progress
    with told(report, arguments, place, profile):
        return run_crawl(settings, report, live=live)


def run_crawl(settings: Settings, report: CrawlReport, *, live: bool) -> ExitCode:
    """Crawls to the end, to an error or to a signal; the report is finished with what came of it."""

    async def job(stop: asyncio.Event) -> None:
        await crawl(settings, report, stop)

    return run_job(job, report, Limits(settings.grace, settings.max_duration), live=live)


@contextmanager
def told(
    report: CrawlReport, arguments: argparse.Namespace, place: Place | None, profile: Place | None
) -> Iterator[None]:
    """Prints the summary and writes the report to `place`, and the profile, however what is done within ends."""
    try:
        yield
    finally:
        if report.status == "running":
            report.finish("failed")
        _tell(report, arguments)
        try:
            write_json("report", report.to_dict(), place)
        finally:
            write_json("profile", report.profile(), profile)


def _tell(report: CrawlReport, arguments: argparse.Namespace) -> None:
    """The end of the job, for people or as the last log line."""
    if arguments.log_format == "json":
        _log.info("Ended: %s.", report.status, extra={"report": report.to_dict()})
    else:
        print_summary(report, report_path=arguments.report, stream=sys.stderr)
