"""What can be seen of a batch before any check: for the script, and for the notes about what is under way."""

from contextlib import suppress
from typing import Any

import orjson

Proposals = list[dict[str, Any]]
"""In Rest.li's form, also where they came by OpenAPI."""


def urns(batch: Proposals) -> frozenset[str]:
    """The entities that a batch writes."""
    return frozenset(str(proposal.get("entityUrn")) for proposal in batch)


def version_sets(batch: Proposals) -> frozenset[str]:
    """The version sets that a batch writes to."""
    found = set()
    for proposal in batch:
        if proposal.get("aspectName") == "versionProperties":
            with suppress(orjson.JSONDecodeError, KeyError, TypeError):
                found.add(str(orjson.loads(proposal["aspect"]["value"])["versionSet"]))
    return frozenset(found)
