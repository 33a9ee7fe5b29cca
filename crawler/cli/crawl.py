"""`crawl`: the main job, with progress, signals, summary and report around it."""

import argparse
import asyncio
import logging
import sys

from crawler.cli.interruption import Limits
from crawler.cli.output_paths import checkpoint_of, grows_at, letters_of, output_of, require_apart
from crawler.cli.reporting import final_report, report_settings_errors
from crawler.cli.run_job import run_job
from crawler.cli.settings import settings_of
from crawler.cli.show_config import show_config
from crawler.errors import ExitCode
from crawler.json_files import place_for
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.telemetry.logs import configure_logging
from crawler.telemetry.report import Report

_log = logging.getLogger("crawler")


def crawl_command(arguments: argparse.Namespace) -> ExitCode:
    """Crawl, then write the report and print the summary, whatever happens."""
    configure_logging(arguments.log_format, arguments.log_level)
    if arguments.show_config:
        return show_config(arguments)
    report = Report(run_id="")
    place = place_for(arguments.report, "report")
    with report_settings_errors(report, place):
        settings = settings_of(arguments)
        profile = place_for(arguments.profile, "profile")
    # No report is written where this fails: it could be what overwrites another file.
    grown = {"state": grows_at(settings.state), **letters_of(settings.dead_letters), **checkpoint_of(settings)}
    require_apart(output=output_of(settings), report=place, profile=profile, **grown)
    report.run_id = settings.run_id
    for note in settings.notes:
        _log.info(note)
    live = sys.stderr.isatty() and not arguments.no_progress and arguments.log_level != "error"
    with final_report(report, arguments, place, profile):
        return run_crawl(settings, report, live=live)


def run_crawl(settings: Settings, report: Report, *, live: bool) -> ExitCode:
    """Crawl to the end, an error or a signal, and finish the report."""

    async def job(stop: asyncio.Event) -> None:
        await crawl(settings, report=report, stop=stop)

    return run_job(job, report, Limits(settings.grace, settings.max_duration), live=live)
