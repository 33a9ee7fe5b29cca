"""Sizes: `1000000`, `500MB`, `1.5GiB`; `500M` is 500 MiB, as rclone has it."""

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s?([KMGT]?)(I?B)?", re.ASCII | re.IGNORECASE)


class Size(int):
    """A size in bytes."""


def size(text: str) -> Size:
    """Return the bytes of `text`, a number with or without a unit. Raises ValueError with a message for users."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 500MB or 1GiB, got {text[:40]!r}")
    number, unit, end = match[1], match[2].upper(), (match[3] or "").upper()
    factor = 1000 ** list(_UNITS).index(unit) if end == "B" else _UNITS[unit]
    return Size(float(number) * factor)
