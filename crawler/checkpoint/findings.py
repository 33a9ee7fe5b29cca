"""What a report tells of entities that the crawl that goes on will not meet again."""

from collections import Counter
from pathlib import Path

import msgspec

from crawler.telemetry.logs import encodable
from crawler.telemetry.report import CrawlReport, Finding

FOUND_AGAIN = frozenset(
    {
        "experiment",
        "experiments_missing",
        "max_duration",
        "old_datahub",
        "registry_missing",
        "unconfirmed_by_server",
        "unreadable_experiments",
        "unreadable_model_versions",
        "unreadable_registered_models",
        "untimed_unknown",
        "urn_taken",
    }
)
"""Findings about what is read or delivered once more."""


class Findings(msgspec.Struct, frozen=True):
    """The part of a report that is kept. `proposals` and `delivered` count what was written, so what is written once
    more counts once more.
    """

    warnings: list[Finding]
    failures: list[Finding]
    delivered: dict[str, int]
    confirmed: dict[str, dict[str, int]]
    proposals: int
    rejected: int
    dead_letters: int
    dead_letters_path: str | None


def keep(report: CrawlReport) -> bytes:
    """The findings so far."""
    findings = Findings(
        warnings=[each for each in report.warnings if each.code not in FOUND_AGAIN],
        failures=[each for each in report.failures if each.code not in FOUND_AGAIN],
        delivered=dict(report.delivered),
        confirmed={entity_type: dict(ways) for entity_type, ways in report.confirmed.items()},
        proposals=report.proposals,
        rejected=report.rejected,
        dead_letters=report.dead_letters,
        dead_letters_path=None if report.dead_letters_path is None else encodable(str(report.dead_letters_path)),
    )
    return msgspec.json.encode(findings)


def restore(kept: bytes, report: CrawlReport) -> None:
    """Adds kept findings to a report. Raises msgspec.MsgspecError where they are none."""
    findings = msgspec.json.decode(kept, type=Findings)
    for tell, found in ((report.warn, findings.warnings), (report.fail, findings.failures)):
        for each in found:
            tell(each.code, each.message, count=each.count)
            for sample in each.samples:
                tell(each.code, each.message, sample, count=0)
    report.delivered.update(findings.delivered)
    for entity_type, ways in findings.confirmed.items():
        report.confirmed[entity_type] += Counter(ways)
    report.proposals += findings.proposals
    report.rejected += findings.rejected
    report.dead_letters += findings.dead_letters
    if findings.dead_letters_path is not None:
        report.dead_letters_path = Path(findings.dead_letters_path)
