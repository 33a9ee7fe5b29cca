"""The counts of a crawl that a resumed crawl goes on with."""

from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.logs import encodable
from crawler.url_credentials import strip_text

SAMPLES = 5


class FindingSummary(msgspec.Struct):
    """All findings of one code: how many there were, and a few samples."""

    code: str
    message: str
    count: int = 0
    samples: list[str] = []


class Tally(msgspec.Struct):
    """Counts of proposals, of delivered entities by type, of findings by code and of dead letters.

    `confirmed` counts delivered entities by type and by what proves that DataHub has them, `unconfirmed` those that
    DataHub took, but was not seen to have in time. `removed` counts entities by type that were marked as removed,
    `unchanged` those that were not sent.
    """

    warnings: dict[str, FindingSummary] = {}
    failures: dict[str, FindingSummary] = {}
    delivered: Counter[str] = msgspec.field(default_factory=Counter)
    confirmed: defaultdict[str, Counter[str]] = msgspec.field(default_factory=lambda: defaultdict(Counter))
    removed: Counter[str] = msgspec.field(default_factory=Counter)
    unchanged: Counter[str] = msgspec.field(default_factory=Counter)
    proposals: int = 0
    rejected: int = 0
    dead_letters: int = 0
    dead_letters_path: Path | None = None
    unconfirmed: int = 0
    unconfirmed_proposals: int = 0
    unconfirmed_path: Path | None = None
    read_again: set[str] = set()
    """URNs of runs under way that are counted. Not kept: a crawl that goes on hears of them again."""

    def count_at_most(self, entity_type: str, most: int) -> None:
        """Let no more than `most` entities of a type count as delivered or unchanged."""
        left = max(0, most - self.delivered[entity_type])
        self.unchanged -= Counter({entity_type: max(0, self.unchanged[entity_type] - left)})
        excess = self.delivered[entity_type] - most
        if excess <= 0:
            return
        self.delivered[entity_type] = most
        for method, count in self.confirmed[entity_type].most_common():
            self.confirmed[entity_type][method] = max(0, count - excess)
            excess = max(0, excess - count)

    def lose_delivered(self) -> None:
        """Let nothing count as delivered: what was is rejected."""
        self.rejected += self.proposals
        self.proposals = 0
        self.delivered.clear()
        self.removed.clear()
        self.confirmed.clear()

    def add_finding(self, finding: Finding) -> None:
        """Count a finding under its code."""
        found = self.failures if finding.severity == "failure" else self.warnings
        summary = found.setdefault(finding.code, FindingSummary(finding.code, encodable(finding.message)))
        summary.count += finding.count
        if finding.sample and len(summary.samples) < SAMPLES:
            summary.samples.append(strip_text(encodable(finding.sample)))
