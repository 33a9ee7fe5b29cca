"""What a DataHub says that it does not know: an aspect of an entity type, or a whole type. Pure but for its memory.

A refusal that says so is true of all later proposals of the kind: they are left out instead of being refused each.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from crawler.datahub.batching import Batch, EncodedEntity, batch_of
from crawler.datahub.wire.protocol import Wire

_ASPECT = re.compile(r"Unknown aspect '?(\w+)'? for entity '?(\w+)")
_TYPE = re.compile(r"(?:Failed to find entity with name|Unknown entity(?: type)?:?|No entity definition for) '?(\w+)")

Kind = tuple[str, str]
"""An entity type and one of its aspects; an empty aspect stands for all."""


def named_unknown(answer: str) -> Kind | None:
    """Return what a refusal says that the server does not know; None where it says nothing of the sort."""
    if match := _ASPECT.search(answer):
        return match[2], match[1]
    if match := _TYPE.search(answer):
        return match[1], ""
    return None


class UnknownAspects:
    """The kinds that a server has said it does not know, with its words."""

    def __init__(self) -> None:
        self._words: dict[Kind, str] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._words)

    def learn(self, answer: str, batch: Batch, wire: Wire) -> bool:
        """Note what the refusal of a batch names. Returns False where the batch holds none of that.

        Another batch may have been refused for the same before: this one was on its way.
        """
        named = named_unknown(answer)
        if named is None or not any(named in (kind, (kind[0], "")) for kind in _kinds(batch, wire)):
            return False
        self._words.setdefault(named, answer)
        return True

    def words(self, kind: Kind) -> str:
        """Return what the server said of the kind."""
        return self._words[kind]

    def split(self, batch: Batch, wire: Wire) -> tuple[Batch | None, dict[Kind, list[EncodedEntity]]]:
        """Return the batch without what is unknown, None where nothing is left, and what was left out by its kind."""
        known: list[EncodedEntity] = []
        unknown: defaultdict[Kind, list[EncodedEntity]] = defaultdict(list)
        for entity in batch.entities:
            left_out: defaultdict[Kind | None, list[bytes]] = defaultdict(list)
            for proposal in entity.proposals:
                left_out[self._find(entity.entity_type, wire.aspect_name(proposal))].append(proposal)
            if kept := left_out.pop(None, None):
                known.append(entity.holding(kept))
            for kind, proposals in left_out.items():
                if kind is not None:
                    unknown[kind].append(entity.holding(proposals))
        return (batch_of(known) if known else None), unknown

    def _find(self, entity_type: str, aspect_name: str) -> Kind | None:
        """Return the unknown kind to which an aspect belongs."""
        return next((kind for kind in ((entity_type, aspect_name), (entity_type, "")) if kind in self._words), None)


def _kinds(batch: Batch, wire: Wire) -> Iterator[Kind]:
    for entity in batch.entities:
        for proposal in entity.proposals:
            yield entity.entity_type, wire.aspect_name(proposal)
