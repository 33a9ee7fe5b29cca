"""What must hold of every body, in the words of whoever finds that it does not."""

import re

import msgspec

from crawler.telemetry.logs import printable

_TRICKS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What a terminal obeys instead of showing it, and what no UTF-8 can hold."""


class Broken(Exception):
    """A promise that does not hold."""


def promise(holds: object, otherwise: str) -> None:
    """Raises Broken with these words unless it holds."""
    if not holds:
        raise Broken(otherwise)


def can_be_told(text: str) -> None:
    """A text for people, of which a part may be a server's: it can be written to a report, and to a terminal once it
    is made printable.
    """
    try:
        msgspec.json.encode(text)
    except UnicodeEncodeError:
        raise Broken(f"no report can hold the text {ascii(text)[:300]}") from None
    promise(not _TRICKS.search(printable(text)), f"a terminal would obey {ascii(text)[:300]}")


def is_plain(text: str) -> None:
    """A text that is shown as it stands."""
    can_be_told(text)
    promise(not _TRICKS.search(text), f"shown as it stands, a terminal would obey {ascii(text)[:300]}")
