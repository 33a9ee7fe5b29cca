"""The catalogue of findings: everything that a crawl, a replay or a diff can warn of or name as failed.

`REFUSED.found("urn:li:tag:a: no privilege", status=403)` is one finding. docs/findings.md is generated from here.
"""

from crawler.telemetry.findings import comparison, delivery, mapping, reading, removal
from crawler.telemetry.findings.kind import FindingKind

CATALOGUE: tuple[FindingKind, ...] = (
    *reading.UNREADABLE.values(),
    *reading.MENDED.values(),
    *reading.LISTING_MISSING.values(),
    *reading.LISTING_UNREAD.values(),
    *(
        kind
        for module in (reading, mapping, delivery, removal, comparison)
        for kind in vars(module).values()
        if isinstance(kind, FindingKind)
    ),
)
"""All kinds."""

FOUND_AGAIN = frozenset(kind.code for kind in CATALOGUE if kind.found_again)
"""Codes of what a resumed crawl finds again."""
