"""`diff`: prints what differs between MLflow and DataHub; with `--fix` it is sent first."""

import argparse
import asyncio
import logging
import sys

from crawler.cli.diff_page import as_json, lines
from crawler.cli.interruption import Limits
from crawler.cli.output_paths import letters_of, require_apart
from crawler.cli.run_job import run_job
from crawler.cli.settings import settings_of
from crawler.cli.standard_streams import write_output
from crawler.comparison.differences import Differences
from crawler.comparison.run import diff, require_datahub
from crawler.errors import ExitCode
from crawler.settings.crawl import Settings
from crawler.telemetry.logs import configure_logging, printable
from crawler.telemetry.report import Report

_log = logging.getLogger("crawler")


def diff_command(arguments: argparse.Namespace) -> ExitCode:
    """Compare, print what differs, and return 0 if nothing does, or if all of it was delivered."""
    configure_logging(arguments.log_format, arguments.log_level)
    settings = settings_of(arguments)
    require_datahub(settings)
    require_apart(**letters_of(settings.dead_letters))
    for note in settings.notes:
        _log.info(note)
    report, differences = Report(settings.run_id), Differences()
    live = sys.stderr.isatty() and not arguments.no_progress and arguments.log_level != "error"
    code = _run(settings, report, differences, fix=arguments.fix, live=live)
    if code is ExitCode.OK and differences.are_any and not arguments.fix:
        code = ExitCode.FAILURES
    if arguments.json:
        write_output(f"{as_json(differences, report, fix=arguments.fix)}\n")
    else:
        write_output("".join(f"{printable(line)}\n" for line in lines(differences, report, fix=arguments.fix)))
    return code


def _run(settings: Settings, report: Report, differences: Differences, *, fix: bool, live: bool) -> ExitCode:
    async def job(stop: asyncio.Event) -> None:
        await diff(settings, fix=fix, differences=differences, report=report, stop=stop)

    return run_job(job, report, Limits(settings.grace, settings.max_duration), live=live)
