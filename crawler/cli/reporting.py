"""How a command ends, whatever happened: with its report, its profile, and words for whoever looks."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crawler.atomic_files import AtomicFile
from crawler.cli.output_paths import write_json
from crawler.errors import CrawlerError
from crawler.telemetry.findings import error_found
from crawler.telemetry.report import Report
from crawler.telemetry.summary import print_summary

_log = logging.getLogger("crawler")


@contextmanager
def settings_told(report: Report, place: AtomicFile | None) -> Iterator[None]:
    """Writes the report to `place` where what is done within finds settings that cannot be used, and raises that."""
    try:
        yield
    except CrawlerError as error:
        report(error_found(error))
        report.finish("failed")
        write_json("report", report.to_dict(), place)
        raise


@contextmanager
def told(report: Report, arguments: argparse.Namespace, place: AtomicFile | None, profile: AtomicFile | None) -> Iterator[None]:
    """Writes the report to `place`, and the profile, then prints the summary, however what is done within ends.

    Raises OutputError where a file could not be written, after the summary.
    """
    try:
        yield
    finally:
        if report.status == "running":
            report.finish("failed")
        try:
            _write(report, place, profile)
        finally:
            _tell(report, arguments)


def _write(report: Report, place: AtomicFile | None, profile: AtomicFile | None) -> None:
    try:
        write_json("report", report.to_dict(), place)
    finally:
        write_json("profile", report.profile(), profile)


def _tell(report: Report, arguments: argparse.Namespace) -> None:
    """The end of the job, for people or as the last log line. That nobody can hear it changes nothing."""
    if arguments.log_format == "json":
        _log.info("Ended: %s.", report.status, extra={"report": report.to_dict()})
        return
    with suppress(OSError):
        print_summary(report, report_path=arguments.report, stream=sys.stderr)
