"""One entity on its way through transformers; an aspect is acryl-datahub's object once a transformer has seen it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import orjson
from msgspec import structs

from crawler.datahub.aspects.aspect import Aspect, foreign_aspect
from crawler.datahub.proposals import Entity

if TYPE_CHECKING:
    from datahub.metadata.schema_classes import _Aspect as OfficialAspect


class Draft:
    """An entity whose aspects may be looked at, replaced, left out and added; they keep their order.

    An aspect that nobody looks at stays as it is: it is not converted, which takes a hundred times as long as to map
    it.
    """

    def __init__(self, entity: Entity) -> None:
        """Begin with the aspects of an entity; it may have none."""
        self._entity = entity
        self._ours = {aspect.NAME: aspect for aspect in entity.aspects}
        self._theirs: dict[str, OfficialAspect] = {}
        """Those that were looked at, or added."""
        self._order = dict.fromkeys(self._ours)

    @property
    def type(self) -> str:
        """The entity's type."""
        return self._entity.type

    @property
    def urn(self) -> str:
        """The entity's URN."""
        return self._entity.urn

    def names(self) -> list[str]:
        """Return the names of the aspects."""
        return list(self._order)

    def get(self, name: str) -> "OfficialAspect | None":
        """Return an aspect as acryl-datahub's object, None if there is none."""
        if name in self._ours:
            self._theirs[name] = _official(self._ours.pop(name))
        return self._theirs.get(name)

    def put(self, name: str, aspect: "OfficialAspect | None") -> None:
        """Replace an aspect, or add it behind the others; None leaves it out."""
        self._ours.pop(name, None)
        if aspect is None:
            self._theirs.pop(name, None)
            self._order.pop(name, None)
        else:
            self._theirs[name] = aspect
            self._order.setdefault(name)

    def put_json(self, name: str, aspect: bytes) -> None:
        """Replace an aspect by its JSON, or add it."""
        self._theirs.pop(name, None)
        self._ours[name] = foreign_aspect(name)(msgspec.Raw(aspect))
        self._order.setdefault(name)

    def entity(self) -> Entity | None:
        """Return the entity as it is now; None if no aspect is left."""
        if not self._order:
            return None
        return structs.replace(self._entity, aspects=tuple(self._aspects()))

    def _aspects(self) -> Iterator[Aspect]:
        for name in self._order:
            ours = self._ours.get(name)
            yield foreign_aspect(name)(msgspec.Raw(_json(self._theirs[name]))) if ours is None else ours


def _official(aspect: Aspect) -> "OfficialAspect":
    from datahub.emitter.aspect import ASPECT_MAP  # noqa: PLC0415
    from datahub.emitter.serialization_helper import post_json_transform  # noqa: PLC0415

    plain = orjson.loads(aspect.to_json())
    return ASPECT_MAP[aspect.NAME].from_obj(post_json_transform(plain))


def _json(aspect: "OfficialAspect") -> bytes:
    from datahub.emitter.serialization_helper import pre_json_transform  # noqa: PLC0415

    return orjson.dumps(pre_json_transform(aspect.to_obj()))
