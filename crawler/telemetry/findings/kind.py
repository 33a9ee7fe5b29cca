"""What a finding is: something that a crawl, a replay or a diff warns of or names as failed."""

from typing import Literal

import msgspec

from crawler.errors import CrawlerError

Severity = Literal["warning", "failure"]


class Finding(msgspec.Struct, frozen=True):
    """Something to know about `count` things of one kind, of which `sample` describes one.

    A failure makes the exit code 1, a warning does not.

    Example:
        found = []
        await crawl(load("recipe.yml"), listeners=[lambda event: isinstance(event, Finding) and found.append(event)])
        print([finding.code for finding in found])
    """

    code: str
    message: str
    severity: Severity
    sample: str = ""
    count: int = 1


class FindingKind(msgspec.Struct, frozen=True):
    """One row of the catalogue. `code` and `message` may have {placeholders}, `advice` says what to do.

    `found_again` kinds concern what a resumed crawl reads or sends again, so a checkpoint does not keep them.
    """

    code: str
    message: str
    severity: Severity
    advice: str
    found_again: bool = False

    def found(self, sample: str = "", count: int = 1, **fields: object) -> Finding:
        """Return a finding of this kind with the placeholders filled in."""
        if fields:
            return Finding(self.code.format(**fields), self.message.format(**fields), self.severity, sample, count)
        return Finding(self.code, self.message, self.severity, sample, count)


def error_found(error: CrawlerError) -> Finding:
    """Return the failure that an error which ended the crawl or the replay stands for."""
    return Finding(error.code, str(error), "failure")
