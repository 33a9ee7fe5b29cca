"""Each dataset once a crawl, although thousands of runs use it and each may tell something else of it.

MLflow knows a dataset only as an input of a run, and different ones share a name (autologging calls them all
"dataset"). The newest run's word on each aspect is what a crawl writes, whatever order the runs are read in.
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
_Told = dict[str, tuple[Rank, Aspect]]

_ASPECTS: dict[str, type[Aspect]] = {
    aspect.NAME: aspect for aspect in (DataPlatformInstance, DatasetProperties, SchemaMetadata, Status, UpstreamLineage)
}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, dict[str, tuple[Rank, msgspec.Raw]]]).decode


class DatasetReducer:
    """Holds datasets until the end of the crawl, at most `held` of them: the one unused for longest is then settled
    early.
    """

    def __init__(self, held: int = HELD_DATASETS, remembered: int = REMEMBERED_DATASETS) -> None:
        self._limit = held
        self._held: OrderedDict[str, _Told] = OrderedDict()
        self._settled = SeenKeys(remembered)
        self._changed: dict[str, _Told] | None = None

    def offer(self, dataset: Entity, run: Run) -> list[Entity]:
        """Takes what one run tells of a dataset; gives the datasets that are settled by that, if any."""
        if dataset.urn in self._settled:
            return []
        rank = (run.info.start_time or 0, run.info.run_id)
        held = self._held.setdefault(dataset.urn, {})
        for aspect in dataset.aspects:
            if aspect.NAME not in held or held[aspect.NAME][0] < rank:
                held[aspect.NAME] = (rank, aspect)
                if self._changed is not None:
                    self._changed[dataset.urn] = held
        self._held.move_to_end(dataset.urn)
        return [self._settle()] if len(self._held) > self._limit else []

    def drain(self) -> Iterator[Entity]:
        """All that is held, at the end of the crawl."""
        while self._held:
            yield self._settle()

    def watch(self) -> None:
        """From now on, what changes is kept for `changes`."""
        self._changed = {}

    def snapshot(self) -> Iterator[tuple[str, bytes]]:
        """What is told now of each dataset of which that has changed since it was asked last, for `restore`."""
        changed, self._changed = self._changed or {}, {}
        for urn, told in changed.items():
            yield urn, _pack((urn, told))

    def restore(self, packed: bytes) -> None:
        """Takes back one dataset. Raises msgspec.MsgspecError where that is something else."""
        urn, told = _unpack(packed)
        self._held[urn] = {
            name: (rank, msgspec.msgpack.decode(aspect, type=_aspect_type(name)))
            for name, (rank, aspect) in told.items()
        }

    def _settle(self) -> Entity:
        urn, aspects = self._held.popitem(last=False)
        self._settled.first(urn)
        return Entity("dataset", urn, tuple(aspect for _, aspect in aspects.values()))


def _aspect_type(name: str) -> type[Aspect]:
    if name not in _ASPECTS:
        raise msgspec.ValidationError(f"no dataset has an aspect {name}")
    return _ASPECTS[name]
