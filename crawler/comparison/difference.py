"""What a crawl would write beside what DataHub has, entity by entity: pure."""

from collections.abc import Iterator, Mapping

import msgspec

from crawler.comparison.normal_form import Value, normal_form
from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.entities import GlobalTags
from crawler.datahub.proposals import Entity
from crawler.mapping.stages import stage_tags

_STAGE_TAGS = frozenset(tag.urn for tag in stage_tags())


class AspectDifference(msgspec.Struct, frozen=True):
    """One aspect that DataHub has otherwise. Without `fields` it does not have the aspect.

    A field within a record or a map is named by its path, `customProperties.team` for example.
    """

    aspect: str
    fields: list[str] = []


class EntityDifference(msgspec.Struct, frozen=True):
    """How one entity differs. `wanted` is the entity with those aspects only that DataHub lacks or has otherwise."""

    wanted: Entity
    aspects: list[AspectDifference]
    missing: bool
    """Whether DataHub has none of its aspects."""


def compare(entity: Entity, stored: Mapping[str, Value]) -> EntityDifference | None:
    """Return how the entity differs from the aspects that DataHub has of it, by name; None where it does not."""
    wanted: list[Aspect] = []
    differences: list[AspectDifference] = []
    for aspect in entity.aspects:
        value = stored.get(aspect.NAME)
        fields = [] if value is None else differing_fields(aspect.NAME, msgspec.to_builtins(aspect), value)
        if fields or value is None:
            wanted.append(aspect)
            differences.append(AspectDifference(aspect.NAME, fields))
    if not differences:
        return None
    differing = msgspec.structs.replace(entity, aspects=tuple(wanted))
    return EntityDifference(differing, differences, missing=not stored)


def differing_fields(aspect_name: str, wanted: Value, stored: Value) -> list[str]:
    """Return the fields in which two values of an aspect differ in meaning, sorted.

    Of tags, DataHub may have more than those wanted, since its users set some; but not another stage of MLflow's.
    """
    if wanted == stored:
        return []
    if aspect_name == GlobalTags.NAME:
        return [] if _tags(wanted) == _tags(stored) & (_tags(wanted) | _STAGE_TAGS) else ["tags"]
    return sorted(_differing(normal_form(aspect_name, wanted), normal_form(aspect_name, stored), ""))


def _differing(wanted: Value, stored: Value, prefix: str) -> Iterator[str]:
    for name in wanted.keys() | stored.keys():
        left, right = wanted.get(name), stored.get(name)
        if left == right:
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _differing(left, right, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _tags(value: Value) -> frozenset[str]:
    try:
        return frozenset(each.tag for each in msgspec.convert(value, GlobalTags).tags)
    except msgspec.ValidationError:
        return frozenset()
