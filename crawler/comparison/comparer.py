"""Compares entities of the stream with what DataHub has, and notes what differs."""

from collections.abc import Sequence

from crawler.comparison.difference import compare
from crawler.comparison.differences import Differences
from crawler.comparison.seen_urns import SeenUrns
from crawler.comparison.value_reader import ValueReader
from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.datahub.stored_values import Wanted


class Comparer:
    """Compares chunk by chunk."""

    def __init__(self, reader: ValueReader, differences: Differences, seen: SeenUrns) -> None:
        """Count in `differences`, and keep in `seen` which entities MLflow has."""
        self._reader = reader
        self._differences = differences
        self._seen = seen

    async def compare(self, entities: Sequence[Entity]) -> list[Entity]:
        """Return the entities that differ, in order, each with the aspects only in which it does."""
        for entity in entities:
            self._seen.add(entity.urn)
        # DataHub can have no entity of a URN that it does not take, and refuses to be asked for one.
        stored = await self._reader.read([_wanted(each) for each in entities if not urns.problem(each.urn)])
        differing: list[Entity] = []
        for entity in entities:
            if entity.urn in stored.not_shown:
                self._differences.add_not_shown(entity.type)
                continue
            difference = compare(entity, stored.values.get(entity.urn, {}))
            self._differences.add(entity.type, difference)
            if difference is not None:
                differing.append(difference.wanted)
        return differing


def _wanted(entity: Entity) -> Wanted:
    return Wanted(entity.type, entity.urn, [aspect.NAME for aspect in entity.aspects])
