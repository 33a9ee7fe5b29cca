"""The report of a crawl in the form of `datahub ingest`, which DataHub's Ingestion page takes apart."""

import io
import json
import platform
import sys
from collections.abc import Iterable

import msgspec

from crawler import __version__
from crawler.settings.durations import human_seconds
from crawler.telemetry.report import Report, peak_rss_bytes
from crawler.telemetry.summary import human_bytes, print_summary
from crawler.telemetry.tally import FindingSummary

VERSION = f"mlflow-datahub-crawler {__version__}"


def official_report(report: Report, sink_type: str) -> dict[str, object]:
    """Return a finished report in that form; `crawler` has it in our own form.

    The page shows failures and warnings by title, message and context, and counts entities by type: each of ours has
    one aspect `status`.
    """
    took = human_seconds(report.duration)
    counted = {kind: {"status": count} for kind, count in sorted(report.delivered.items()) if count}
    return {
        "cli": {
            "cli_version": VERSION,
            "py_version": sys.version,
            "os_details": platform.platform(),
            "peak_memory_usage": human_bytes(peak_rss_bytes()),
        },
        "source": {
            "type": "mlflow",
            "report": {
                "platform": "mlflow",
                "events_produced": report.proposals + report.rejected + report.tally.unconfirmed_proposals,
                "aspects": counted,
                "aspects_by_subtypes": {kind: {"unknown": aspects} for kind, aspects in counted.items()},
                "failures": _items(report.failures),
                "warnings": _items(report.warnings),
                "infos": [],
                "start_time": str(report.started_at),
                "running_time": took,
            },
        },
        "sink": {
            "type": sink_type,
            "report": {
                "total_records_written": report.proposals,
                "gms_version": report.datahub.version,
                "failures": [],
                "warnings": [],
                "total_duration_in_seconds": round(report.duration, 2),
            },
        },
        "crawler": msgspec.to_builtins(report.to_dict(), enc_hook=str),
    }


def report_text(report: Report, structured: dict[str, object], log: Iterable[str]) -> str:
    """Return what the page shows as the output of a run: our summary, the report, the log."""
    summary = io.StringIO()
    print_summary(report, report_path=None, stream=summary)
    lines = "\n".join(log)
    told = json.dumps(structured, indent=2)
    return f"{summary.getvalue()}\n~~~~ Ingestion Report ~~~~\n{told}\n\n~~~~ Ingestion Logs ~~~~\n{lines}\n"


def _items(findings: Iterable[FindingSummary]) -> list[dict[str, object]]:
    return [
        {"title": f"{each.count:,} × {each.code}", "message": each.message, "context": each.samples}
        for each in findings
    ]
