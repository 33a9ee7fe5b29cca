"""Transformers one behind the other: pure, but for what they ask DataHub."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from crawler.datahub.proposals import Entity
from crawler.transformers.draft import Draft

BROWSE_PATHS = "browsePathsV2"


class Step(Protocol):
    """What one transformer does."""

    def wants(self, entity_type: str) -> bool:
        """Return whether it may change entities of this type."""
        ...

    def apply(self, draft: Draft) -> list[Draft]:
        """Change an entity, and return it with what else comes of it."""
        ...

    def apply_to_more(self, draft: Draft) -> list[Draft]:
        """Change more aspects of an entity that came before: what it lacked, it got then."""
        ...

    def end(self) -> list[Draft]:
        """Return what comes after all entities."""
        ...


class NamedStep(msgspec.Struct, frozen=True):
    """A step, and how messages name its transformer."""

    name: str
    step: Step


class Transformed(msgspec.Struct):
    """What became of some entities, in their order.

    `failed` are those at which a transformer failed, as they came, with the reason. `adds` is True at the end, where
    the entities may have been handed on before, and these are more aspects of them; `errors` say what failed there.
    """

    entities: list[Entity] = []
    failed: list[tuple[Entity, str]] = []
    adds: bool = False
    errors: list[str] = []


class WithoutBrowsePaths:
    """The flag `generate_browse_path_v2: false`, which leaves out the browse paths."""

    def wants(self, entity_type: str) -> bool:
        """Return whether entities of this type have one."""
        return entity_type == "container"

    def apply(self, draft: Draft) -> list[Draft]:
        """Leave it out."""
        draft.put(BROWSE_PATHS, None)
        return [draft]

    def apply_to_more(self, draft: Draft) -> list[Draft]:
        """Leave it out."""
        return self.apply(draft)

    def end(self) -> list[Draft]:
        """Return nothing."""
        return []


class Chain:
    """Hands each entity to the steps that want it. One that none wants stays as it is, as does a removal."""

    def __init__(self, steps: Sequence[NamedStep], spent: Callable[[float], None] = lambda _: None) -> None:
        """Apply these steps in this order; `spent` hears of the seconds of CPU for each entity."""
        self._steps = steps
        self._spent = spent
        self._wanted: dict[str, bool] = {}

    def wants(self, entity_type: str) -> bool:
        """Return whether any step may change entities of this type."""
        if (known := self._wanted.get(entity_type)) is None:
            known = self._wanted[entity_type] = any(each.step.wants(entity_type) for each in self._steps)
        return known

    def take(self, entities: Iterable[Entity]) -> Transformed:
        """Transform entities. One at which a transformer fails is left out, and the others are not."""
        done = Transformed()
        for entity in entities:
            if entity.is_removal or not self.wants(entity.type):
                done.entities.append(entity)
                continue
            start = time.thread_time()
            self._transform(entity, done)
            self._spent(time.thread_time() - start)
        return done

    def _transform(self, entity: Entity, done: Transformed) -> None:
        drafts = [Draft(entity)]
        name = ""
        try:
            for each in self._steps:
                name = each.name
                drafts = _apply(each.step, each.step.apply, drafts)
            done.entities += _entities(drafts)
        except Exception as error:  # noqa: BLE001  whatever a transformer raises
            done.failed.append((entity, _reason(name, error)))

    def end(self) -> Transformed:
        """Return what the transformers make at the end; what one makes goes through those behind it."""
        done = Transformed(adds=True)
        drafts: list[Draft] = []
        for each in self._steps:
            try:
                drafts = _apply(each.step, each.step.apply_to_more, drafts) + each.step.end()
            except Exception as error:  # noqa: BLE001  whatever a transformer raises
                done.errors.append(_reason(each.name, error))
        done.entities += _entities(drafts)
        return done


def _apply(step: Step, apply: Callable[[Draft], list[Draft]], drafts: Iterable[Draft]) -> list[Draft]:
    return [made for draft in drafts for made in (apply(draft) if step.wants(draft.type) else [draft])]


def _entities(drafts: Iterable[Draft]) -> list[Entity]:
    return [entity for entity in (draft.entity() for draft in drafts) if entity is not None]


def _reason(name: str, error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{name}: {type(error).__name__}{f': {said}' if said else ''}"
