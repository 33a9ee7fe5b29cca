"""Each dataset once a crawl, although thousands of runs use it and may each describe it differently.

MLflow knows a dataset only as an input of a run, and different ones share a name (autologging calls them all
"dataset"). Of each aspect the newest run's is written, whatever order the runs are read in; but lineage only if all
runs that use the name tell the same, since a wrong upstream is worse than none.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b

import msgspec

from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.datasets import DatasetProperties, SchemaMetadata, UpstreamLineage
from crawler.datahub.aspects.entities import DataPlatformInstance, Status
from crawler.datahub.proposals import Entity
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mlflow.entities import Run

HELD_DATASETS = 2_000
REMEMBERED_DATASETS = 200_000

Rank = tuple[int, str]
"""Start time (ms since epoch) and id of a run."""
_AFTER_ALL_RUNS: Rank = (2**62, "")
_NO_UPSTREAM = UpstreamLineage(upstreams=[])

_ASPECTS: dict[str, type[Aspect]] = {
    aspect.NAME: aspect for aspect in (DataPlatformInstance, DatasetProperties, SchemaMetadata, Status, UpstreamLineage)
}


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """What a state keeps of a dataset that was delivered: whose word each aspect has, and a hash of its lineage."""

    ranks: dict[str, Rank]
    upstream: bytes


class _Facts(msgspec.Struct):
    """What runs say of one dataset: aspects by name, each with the rank of its run."""

    aspects: dict[str, tuple[Rank, Aspect]] = {}
    variant: int | None = None
    """The variant of the first use."""
    differs: bool = False
    """Whether there was a use of another variant."""
    noted: _Note | None = None
    """What an earlier crawl has delivered, where this one does not read all runs."""

    def counts(self, rank: Rank, name: str) -> bool:
        """Return whether the first word on an aspect counts, which is not older than what DataHub has."""
        noted = None if self.noted is None else self.noted.ranks.get(name)
        return noted is None or rank >= noted

    def to_note(self) -> bytes:
        """Return what is to be kept once they are delivered."""
        noted = self.noted or _Note({}, b"")
        ranks = noted.ranks | {name: rank for name, (rank, _) in self.aspects.items()}
        upstream = self.aspects.get(UpstreamLineage.NAME)
        return _pack(_Note(dict(sorted(ranks.items())), noted.upstream if upstream is None else _hash(upstream[1])))


class _Packed(msgspec.Struct, array_like=True):
    urn: str
    variant: int | None
    differs: bool
    aspects: dict[str, tuple[Rank, msgspec.Raw]]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Packed).decode
_unpack_note = msgspec.msgpack.Decoder(_Note).decode


class DatasetReducer:
    """Holds datasets until the end of the crawl, at most `held` of them.

    Beyond that the one unused for longest is released; of `remembered` released ones nothing more is taken.
    `noted(urn)` returns the note of a dataset that an earlier crawl delivered: what it has of newer runs stays.
    """

    def __init__(
        self,
        held: int = HELD_DATASETS,
        remembered: int = REMEMBERED_DATASETS,
        noted: Callable[[str], bytes] | None = None,
    ) -> None:
        self._noted = noted
        self._limit = held
        self._held: OrderedDict[str, _Facts] = OrderedDict()
        self._released = SeenKeys(remembered)
        self._changed: dict[str, _Facts] | None = None

    def merge(self, dataset: Entity, run: Run) -> list[Entity]:
        """Take one run's description of a dataset; return the dataset that is released for it, if any."""
        if dataset.urn in self._released:
            return []
        rank = (run.info.start_time or 0, run.info.run_id)
        facts = self._held.get(dataset.urn)
        is_first = facts is None
        if facts is None:
            facts = self._held[dataset.urn] = _Facts(noted=self._note_of(dataset.urn))
        if not (is_first and facts.noted is None) and _has_another_upstream(dataset, facts):
            self._set(dataset.urn, facts, _AFTER_ALL_RUNS, _NO_UPSTREAM)
        for aspect in dataset.aspects:
            known = facts.aspects.get(aspect.NAME)
            if rank > known[0] if known is not None else facts.counts(rank, aspect.NAME):
                self._set(dataset.urn, facts, rank, aspect)
        self._held.move_to_end(dataset.urn)
        return self._release() if len(self._held) > self._limit else []

    def is_another(self, urn: str, variant: int) -> bool:
        """Return True the first time that a dataset which is held is used in another variant than before."""
        facts = self._held.get(urn)
        if facts is None or facts.differs or facts.variant == variant:
            return False
        facts.differs = facts.variant is not None
        facts.variant = variant
        if self._changed is not None:
            self._changed[urn] = facts
        return facts.differs

    def finish(self) -> Iterator[Entity]:
        """Release all datasets that are held."""
        while self._held:
            yield from self._release()

    def watch(self) -> None:
        """Begin to note changes for `snapshot`."""
        self._changed = {}

    def snapshot(self) -> Iterator[tuple[str, bytes]]:
        """Yield the URN and the packed facts of each dataset that has changed since the last call."""
        changed, self._changed = self._changed or {}, {}
        for urn, facts in changed.items():
            yield urn, _pack((urn, facts.variant, facts.differs, facts.aspects))

    def restore(self, packed: bytes) -> None:
        """Hold the facts of one dataset again.

        Raises:
            msgspec.MsgspecError: They are not the packed facts of a dataset.
        """
        kept = _unpack(packed)
        aspects = {
            name: (rank, msgspec.msgpack.decode(aspect, type=_aspect_type(name)))
            for name, (rank, aspect) in kept.aspects.items()
        }
        self._held[kept.urn] = _Facts(aspects, kept.variant, kept.differs, self._note_of(kept.urn))

    def _set(self, urn: str, facts: _Facts, rank: Rank, aspect: Aspect) -> None:
        facts.aspects[aspect.NAME] = (rank, aspect)
        if self._changed is not None:
            self._changed[urn] = facts

    def _note_of(self, urn: str) -> _Note | None:
        note = self._noted(urn) if self._noted is not None else b""
        return _unpack_note(note) if note else None

    def _release(self) -> list[Entity]:
        """Return one dataset, nothing if only runs spoke of it whose word does not count."""
        urn, facts = self._held.popitem(last=False)
        self._released.add_if_new(urn)
        aspects = tuple(aspect for _, aspect in facts.aspects.values())
        note = b"" if self._noted is None else facts.to_note()
        return [Entity("dataset", urn, aspects, note=note)] if aspects else []


def _has_another_upstream(dataset: Entity, facts: _Facts) -> bool:
    told = next((aspect for aspect in dataset.aspects if isinstance(aspect, UpstreamLineage)), None)
    known = facts.aspects.get(UpstreamLineage.NAME)
    if known is not None:
        return known[1] != told
    if facts.noted is None:
        return told is not None
    if facts.noted.ranks.get(UpstreamLineage.NAME) == _AFTER_ALL_RUNS:
        return False
    return facts.noted.upstream != (b"" if told is None else _hash(told))


def _hash(aspect: Aspect) -> bytes:
    return blake2b(msgspec.msgpack.encode(aspect), digest_size=16).digest()


def _aspect_type(name: str) -> type[Aspect]:
    if name not in _ASPECTS:
        raise msgspec.ValidationError(f"no dataset has an aspect {name}")
    return _ASPECTS[name]
