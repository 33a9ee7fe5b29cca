"""Each dataset once a crawl, although thousands of runs use it and may each describe it differently.

MLflow knows a dataset only as an input of a run, and different ones share a name (autologging calls them all
"dataset"). Of each aspect the newest run's is written, whatever order the runs are read in.
"""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from crawler.datahub.aspects import (
    Aspect,
    DataPlatformInstance,
    DatasetProperties,
    SchemaMetadata,
    Status,
    UpstreamLineage,
)
from crawler.datahub.proposals import Entity
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mlflow.entities import Run

HELD_DATASETS = 2_000
REMEMBERED_DATASETS = 200_000

Rank = tuple[int, str]
"""Start time (ms since epoch) and id of a run."""
_Facts = dict[str, tuple[Rank, Aspect]]
"""Aspects by name, each with the rank of its run."""

_ASPECTS: dict[str, type[Aspect]] = {
    aspect.NAME: aspect for aspect in (DataPlatformInstance, DatasetProperties, SchemaMetadata, Status, UpstreamLineage)
}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, dict[str, tuple[Rank, msgspec.Raw]]]).decode


class DatasetReducer:
    """Holds datasets until the end of the crawl, at most `held` of them.

    Beyond that the one unused for longest is released; of `remembered` released ones nothing more is taken.
    """

    def __init__(self, held: int = HELD_DATASETS, remembered: int = REMEMBERED_DATASETS) -> None:
        self._limit = held
        self._held: OrderedDict[str, _Facts] = OrderedDict()
        self._released = SeenKeys(remembered)
        self._changed: dict[str, _Facts] | None = None

    def merge(self, dataset: Entity, run: Run) -> list[Entity]:
        """Take one run's description of a dataset; return the dataset that is released for it, if any."""
        if dataset.urn in self._released:
            return []
        rank = (run.info.start_time or 0, run.info.run_id)
        held = self._held.setdefault(dataset.urn, {})
        for aspect in dataset.aspects:
            if aspect.NAME not in held or held[aspect.NAME][0] < rank:
                held[aspect.NAME] = (rank, aspect)
                if self._changed is not None:
                    self._changed[dataset.urn] = held
        self._held.move_to_end(dataset.urn)
        return [self._release()] if len(self._held) > self._limit else []

    def finish(self) -> Iterator[Entity]:
        """Release all datasets that are held."""
        while self._held:
            yield self._release()

    def watch(self) -> None:
        """Begin to note changes for `snapshot`."""
        self._changed = {}

    def snapshot(self) -> Iterator[tuple[str, bytes]]:
        """Yield the URN and the packed facts of each dataset that has changed since the last call."""
        changed, self._changed = self._changed or {}, {}
        for urn, facts in changed.items():
            yield urn, _pack((urn, facts))

    def restore(self, packed: bytes) -> None:
        """Hold the facts of one dataset again.

        Raises:
            msgspec.MsgspecError: They are not the packed facts of a dataset.
        """
        urn, facts = _unpack(packed)
        self._held[urn] = {
            name: (rank, msgspec.msgpack.decode(aspect, type=_aspect_type(name)))
            for name, (rank, aspect) in facts.items()
        }

    def _release(self) -> Entity:
        urn, aspects = self._held.popitem(last=False)
        self._released.add_if_new(urn)
        return Entity("dataset", urn, tuple(aspect for _, aspect in aspects.values()))


def _aspect_type(name: str) -> type[Aspect]:
    if name not in _ASPECTS:
        raise msgspec.ValidationError(f"no dataset has an aspect {name}")
    return _ASPECTS[name]
