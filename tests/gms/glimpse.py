"""What can be seen of a body before any check: for the script, and for the notes about what is under way."""

from contextlib import suppress
from typing import Any

import orjson

Proposals = list[dict[str, Any]]


def proposals(body: bytes) -> Proposals:
    """The proposals of a body, as far as it is one."""
    try:
        return [proposal for proposal in orjson.loads(body)["proposals"] if isinstance(proposal, dict)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def count(body: bytes) -> int:
    """How many proposals, told by their key alone: within an aspect's text its quotes are escaped."""
    return body.count(b'"entityUrn"')


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
