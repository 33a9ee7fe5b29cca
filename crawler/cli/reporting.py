"""How a command ends, whatever happened: it writes its report and profile, and tells its user."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crawler.atomic_files import AtomicFile
from crawler.errors import CrawlerError
from crawler.json_files import write_json
from crawler.telemetry.findings.kind import error_found
from crawler.telemetry.report import Report
from crawler.telemetry.summary import print_summary

_log = logging.getLogger("crawler")


@contextmanager
def report_settings_errors(report: Report, report_place: AtomicFile | None) -> Iterator[None]:
    """Write the report where the settings turn out to be wrong, and raise that error."""
    try:
        yield
    except CrawlerError as error:
        report(error_found(error))
        report.finish("failed")
        write_json("report", report.to_dict(), report_place)
        raise


@contextmanager
def final_report(
    report: Report, arguments: argparse.Namespace, report_place: AtomicFile | None, profile_place: AtomicFile | None
) -> Iterator[None]:
    """Write the report and the profile, then the summary, however the command ends.

    Raises:
        OutputError: A file could not be written. The summary is printed before.
    """
    try:
        yield
    finally:
        if report.status == "running":
            report.finish("failed")
        try:
            _write_files(report, report_place, profile_place)
        finally:
            _write_summary(report, arguments)


def _write_files(report: Report, report_place: AtomicFile | None, profile_place: AtomicFile | None) -> None:
    try:
        write_json("report", report.to_dict(), report_place)
    finally:
        write_json("profile", report.profile(), profile_place)


def _write_summary(report: Report, arguments: argparse.Namespace) -> None:
    """Write the summary for people, or the report as the last log line."""
    if arguments.log_format == "json":
        why = f" {report.failures[-1].message}" if report.status == "failed" and report.failures else ""
        level = logging.ERROR if report.status == "failed" else logging.INFO
        _log.log(level, "Ended: %s.%s", report.status, why, extra={"report": report.to_dict()})
        return
    if arguments.log_level == "error" and report.status == "success":
        return
    with suppress(OSError):
        print_summary(report, report_path=arguments.report, stream=sys.stderr)
