"""Packs encoded proposals into batches by count and by bytes, an entity's together and in order: pure."""

from collections.abc import Callable

import msgspec
from msgspec import structs

from crawler.datahub.pending import Pending


class EncodedEntity(msgspec.Struct, frozen=True, gc=False):
    """One entity's encoded proposals, or a piece of them, which travel together."""

    entity_type: str
    urn: str
    proposals: list[bytes]
    """No aspect twice."""
    last: bool = True
    """Whether this is the last of an entity's pieces, or all of it."""
    pending: Pending = msgspec.field(default_factory=Pending)
    """The record that all pieces of an entity share."""

    def holding(self, proposals: list[bytes]) -> "EncodedEntity":
        """Return the same with these of its proposals."""
        return structs.replace(self, proposals=proposals)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one request carries."""

    entities: list[EncodedEntity]
    proposals: int
    bytes: int
    """Of the proposals and their entities, without the frame of the request."""


def batch_of(entities: list[EncodedEntity]) -> Batch:
    """Return one batch of these entities, whatever its size."""
    proposals = [proposal for entity in entities for proposal in entity.proposals]
    return Batch(entities, len(proposals), _size(proposals))


Frame = Callable[[EncodedEntity], int]
"""Returns the bytes that a request spends on an entity beside its proposals."""


def no_frame(_entity: EncodedEntity) -> int:
    """Return 0, for requests in which each proposal names its entity itself."""
    return 0


class Packer:
    """Fills batches of at most `max_proposals` and `max_bytes`.

    An entity that alone is larger than a batch is cut, in order, since DataHub takes no larger request; a single
    proposal larger than `max_bytes` travels alone. Nothing is lost, doubled or reordered within an entity.
    """

    def __init__(self, max_proposals: int, max_bytes: int, frame: Frame = no_frame) -> None:
        self._max_proposals = max_proposals
        self._max_bytes = max_bytes
        self._frame = frame
        self._entities: list[EncodedEntity] = []
        self._proposals = 0
        self._bytes = 0

    def add(self, entity: EncodedEntity) -> list[Batch]:
        """Add one entity and return the batches that are full now."""
        if not entity.proposals:
            return []
        size = self._frame(entity) + _size(entity.proposals)
        if len(entity.proposals) <= self._max_proposals and size <= self._max_bytes:
            return self._put(entity, size)
        return [batch for piece in self._cut(entity) for batch in self._put(*piece)]

    def flush(self) -> list[Batch]:
        """Return the batch that is not full yet: none or one."""
        if not self._entities:
            return []
        batch = Batch(self._entities, self._proposals, self._bytes)
        self._entities, self._proposals, self._bytes = [], 0, 0
        return [batch]

    def _put(self, entity: EncodedEntity, size: int) -> list[Batch]:
        """Put an entity into the batch at hand, or where it does not fit into the next. Returns the batch before it."""
        full: list[Batch] = []
        proposals = len(entity.proposals)
        if self._proposals + proposals > self._max_proposals or self._bytes + size > self._max_bytes:
            full = self.flush()
        self._entities.append(entity)
        self._proposals += proposals
        self._bytes += size
        return full

    def _cut(self, entity: EncodedEntity) -> list[tuple[EncodedEntity, int]]:
        """Return a large entity in pieces that each fit in a batch, with their bytes."""
        frame = self._frame(entity)
        pieces: list[list[bytes]] = [[]]
        room = self._max_bytes - frame
        for proposal in entity.proposals:
            if pieces[-1] and (len(pieces[-1]) == self._max_proposals or len(proposal) >= room):
                pieces.append([])
                room = self._max_bytes - frame
            pieces[-1].append(proposal)
            room -= len(proposal) + 1
        return [
            (
                structs.replace(entity, proposals=piece, last=entity.last and number == len(pieces)),
                frame + _size(piece),
            )
            for number, piece in enumerate(pieces, start=1)
        ]


def _size(proposals: list[bytes]) -> int:
    """Return the bytes in a request, each proposal's comma included."""
    return sum(map(len, proposals)) + len(proposals)


class PackerByType:
    """Fills batches as Packer does, each with entities of one type only."""

    def __init__(self, max_proposals: int, max_bytes: int, frame: Frame = no_frame) -> None:
        self._limits = (max_proposals, max_bytes, frame)
        self._packers: dict[str, Packer] = {}

    def add(self, entity: EncodedEntity) -> list[Batch]:
        """Add one entity and return the batches that are full now."""
        packer = self._packers.get(entity.entity_type)
        if packer is None:
            packer = self._packers[entity.entity_type] = Packer(*self._limits)
        return packer.add(entity)

    def flush(self) -> list[Batch]:
        """Return the batches that are not full yet: at most one for each type."""
        return [batch for packer in self._packers.values() for batch in packer.flush()]
