"""Writes docs/findings.md from the catalogue of crawler/telemetry/findings/."""

from pathlib import Path

from crawler.telemetry.findings.catalogue import CATALOGUE
from crawler.telemetry.findings.kind import FindingKind

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"
HEAD = """\
# Findings

What a crawl, a replay or a diff can warn of or name as failed. The report (`--report`) and the summary list them by
code, each with a count and a few samples. A failure makes the exit code 1, a warning does not.
`python -m scripts.findings_page` writes this page from `crawler/telemetry/findings/`.

"""
ERRORS = """
An error that ends a crawl or a replay is a failure too, under its own code: `settings`, `input`, `output`, `server`,
`unreachable`, `credentials`, `wrong_server`, `stalled`, `refused`, `unexpected_answer`, `answer_too_large`.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    rows = "".join(_row(kind) for kind in CATALOGUE)
    return f"{HEAD}| code | | what it means | what to do |\n| --- | --- | --- | --- |\n{rows}{ERRORS}"


def _row(kind: FindingKind) -> str:
    again = " (found again by a resumed crawl)" if kind.found_again else ""
    return f"| `{kind.code}` | {kind.severity} | {kind.message} | {kind.advice}{again} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
