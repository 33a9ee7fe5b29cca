"""A moment from which on something counts: so long ago (`30d`), or a date (`2026-01-01`)."""

from datetime import UTC, datetime

from crawler.settings.durations import duration

LONGEST = 36_525 * 86_400.0
"""A century: before that there are no runs, and not much further back databases have no times."""
_EXPECTED = "expected a duration such as 30d, or a date such as 2026-01-01"


class Since(str):
    """A moment as users write it. A duration counts from the beginning of each crawl."""

    __slots__ = ()

    def start(self, now: int) -> int:
        """Return the moment; both are in ms since epoch. A date without a time zone is one in UTC."""
        if self[-1:].isalpha() and self[-1:] not in "zZ":
            return now - round(1_000 * duration(self, LONGEST))
        moment = datetime.fromisoformat(self)
        return round(1_000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def since(text: str) -> Since:
    """Return a moment. Raises ValueError with a message for users."""
    moment = Since(text.strip())
    if moment.isdecimal():
        raise ValueError(f"{_EXPECTED}, got {text[:40]!r}")
    try:
        moment.start(0)
    except (ValueError, OverflowError):
        raise ValueError(f"{_EXPECTED}, got {text[:40]!r}") from None
    return moment
