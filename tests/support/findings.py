"""Findings as the tests make them up."""

from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.report import Report


def fail(report: Report, code: str, message: str, sample: str = "", count: int = 1) -> None:
    """Name a failure."""
    report(Finding(code, message, "failure", sample, count))


def warn(report: Report, code: str, message: str, sample: str = "", count: int = 1) -> None:
    """Name a warning."""
    report(Finding(code, message, "warning", sample, count))
