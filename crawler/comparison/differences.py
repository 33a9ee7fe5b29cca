"""What a diff found, as counts with the first few of each."""

from collections import Counter
from typing import Any

import msgspec

from crawler.comparison.difference import AspectDifference, EntityDifference

SAMPLES = 5


class DifferentEntity(msgspec.Struct, frozen=True):
    """An entity that DataHub has, but not as MLflow says it."""

    urn: str
    aspects: list[AspectDifference]


class KindDifferences(msgspec.Struct):
    """What differs among the entities of one type.

    `compared` counts those that MLflow has, the missing ones included. `aspects` counts the different ones by aspect
    and field, `mlModelProperties.description` for example; by the aspect's name alone where DataHub has none. The lists
    have the first few.
    """

    compared: int = 0
    missing: int = 0
    different: int = 0
    orphaned: int = 0
    not_shown: int = 0
    aspects: Counter[str] = msgspec.field(default_factory=Counter)
    first_missing: list[str] = []
    first_different: list[DifferentEntity] = []
    first_orphaned: list[str] = []


class Differences(msgspec.Struct):
    """What differs between MLflow and DataHub, by entity type.

    `complete` is False until the diff has come to its end.

    Example:
        differences = await diff(load("recipe.yml"))
        for entity_type, kind in differences.kinds.items():
            print(entity_type, kind.missing, kind.different, kind.orphaned, kind.aspects)
    """

    kinds: dict[str, KindDifferences] = {}
    complete: bool = False

    @property
    def missing(self) -> int:
        """Entities that MLflow has and DataHub has not."""
        return sum(kind.missing for kind in self.kinds.values())

    @property
    def different(self) -> int:
        """Entities that both have, and of which DataHub has something otherwise."""
        return sum(kind.different for kind in self.kinds.values())

    @property
    def orphaned(self) -> int:
        """Entities that DataHub has and MLflow has not."""
        return sum(kind.orphaned for kind in self.kinds.values())

    @property
    def are_any(self) -> bool:
        """Whether anything differs."""
        return bool(self.missing or self.different or self.orphaned)

    def add(self, entity_type: str, difference: EntityDifference | None) -> None:
        """Count an entity that was compared."""
        kind = self._kind(entity_type)
        kind.compared += 1
        if difference is None:
            return
        urn = difference.wanted.urn
        if difference.missing:
            kind.missing += 1
            _keep(kind.first_missing, urn)
            return
        kind.different += 1
        _keep(kind.first_different, DifferentEntity(urn, difference.aspects))
        kind.aspects.update({name for each in difference.aspects for name in _counted(each)})

    def add_not_shown(self, entity_type: str) -> None:
        """Count an entity that DataHub does not show."""
        self._kind(entity_type).not_shown += 1

    def add_orphan(self, entity_type: str, urn: str) -> None:
        """Count an entity that MLflow has not."""
        kind = self._kind(entity_type)
        kind.orphaned += 1
        _keep(kind.first_orphaned, urn)

    def _kind(self, entity_type: str) -> KindDifferences:
        return self.kinds.setdefault(entity_type, KindDifferences())


def _keep(samples: list[Any], sample: object) -> None:
    if len(samples) < SAMPLES:
        samples.append(sample)


def _counted(difference: AspectDifference) -> set[str]:
    """Return the fields by name, without what is in them: names of properties are without number."""
    if not difference.fields:
        return {difference.aspect}
    return {f"{difference.aspect}.{field.partition('.')[0]}" for field in difference.fields}
