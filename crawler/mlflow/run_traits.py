"""What the bytes of a page tell of all its runs, so that not each of them has to be looked at. Pure."""

import re

import msgspec

from crawler.mlflow.entities import PARENT_TAG
from crawler.url_credentials import may_have_credentials

_PARENT_TAG = PARENT_TAG.encode()
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
"""A letter or sign as a number: few servers do that, but then the bytes do not show what a text holds."""


class RunTraits(msgspec.Struct, frozen=True):
    """Of some runs: whether any may name a parent, and whether URLs in them may hold credentials."""

    may_have_parents: bool = True
    may_have_credentials: bool = True


def traits_of(body: bytes) -> RunTraits:
    """Return the traits of the runs of a page."""
    # Only JSON in UTF-16 or UTF-32 has such bytes, and it can be decoded as well.
    if b"\0" in body or (b"\\" in body and _ESCAPED_ASCII.search(body)):
        return RunTraits()
    return RunTraits(_PARENT_TAG in body, may_have_credentials(body))
