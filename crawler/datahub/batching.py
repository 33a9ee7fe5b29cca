"""Packing encoded proposals into requests: pure, by count and by bytes, an entity's proposals together and in order."""

from collections.abc import Callable

import msgspec
from msgspec import structs

from crawler.datahub.pending import Pending


class EncodedEntity(msgspec.Struct, frozen=True, gc=False):
    """One entity's encoded proposals, no aspect twice, which travel together.

    Of an entity in several pieces one is the `last`. `pending` is the record that all of them share.
    """

    entity_type: str
    urn: str
    proposals: list[bytes]
    last: bool = True
    pending: Pending = msgspec.field(default_factory=Pending)

    def holding(self, proposals: list[bytes]) -> "EncodedEntity":
        """The same with these of its proposals."""
        return structs.replace(self, proposals=proposals)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one request carries. `bytes` counts the proposals and their entities without the request's frame."""

    entities: list[EncodedEntity]
    proposals: int
    bytes: int


Frame = Callable[[EncodedEntity], int]
"""The bytes that a request spends on an entity beside its proposals."""


def no_frame(_parcel: EncodedEntity) -> int:
    """Of requests in which each proposal names its entity itself."""
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
        self._parcels: list[EncodedEntity] = []
        self._proposals = 0
        self._bytes = 0

    def add(self, parcel: EncodedEntity) -> list[Batch]:
        """Takes one entity; gives the batches that are full now."""
        if not parcel.proposals:
            return []
        size = self._frame(parcel) + _size(parcel.proposals)
        if self._fits(len(parcel.proposals), size):
            self._put(parcel, size)
            return []
        full = []
        for piece, piece_size in self._cut(parcel, size):
            if not self._fits(len(piece.proposals), piece_size):
                full += self.flush()
            self._put(piece, piece_size)
        return full

    def flush(self) -> list[Batch]:
        """The batch begun, if any: none or one."""
        if not self._parcels:
            return []
        batch = Batch(self._parcels, self._proposals, self._bytes)
        self._parcels, self._proposals, self._bytes = [], 0, 0
        return [batch]

    def _fits(self, proposals: int, size: int) -> bool:
        return self._proposals + proposals <= self._max_proposals and self._bytes + size <= self._max_bytes

    def _put(self, parcel: EncodedEntity, size: int) -> None:
        self._parcels.append(parcel)
        self._proposals += len(parcel.proposals)
        self._bytes += size

    def _cut(self, parcel: EncodedEntity, size: int) -> list[tuple[EncodedEntity, int]]:
        """The parcel in pieces that each fit in a batch, with their bytes."""
        if len(parcel.proposals) <= self._max_proposals and size <= self._max_bytes:
            return [(parcel, size)]
        frame = self._frame(parcel)
        pieces: list[list[bytes]] = [[]]
        room = self._max_bytes - frame
        for proposal in parcel.proposals:
            if pieces[-1] and (len(pieces[-1]) == self._max_proposals or len(proposal) >= room):
                pieces.append([])
                room = self._max_bytes - frame
            pieces[-1].append(proposal)
            room -= len(proposal) + 1
        return [
            (
                structs.replace(parcel, proposals=piece, last=parcel.last and number == len(pieces)),
                frame + _size(piece),
            )
            for number, piece in enumerate(pieces, start=1)
        ]


def _size(proposals: list[bytes]) -> int:
    """Bytes in a request, each proposal's comma included."""
    return sum(map(len, proposals)) + len(proposals)


class PackerByType:
    """Fills batches as Packer does, each with entities of one type only."""

    def __init__(self, max_proposals: int, max_bytes: int, frame: Frame = no_frame) -> None:
        self._limits = (max_proposals, max_bytes, frame)
        self._packers: dict[str, Packer] = {}

    def add(self, parcel: EncodedEntity) -> list[Batch]:
        """Takes one entity; gives the batches that are full now."""
        packer = self._packers.get(parcel.entity_type)
        if packer is None:
            packer = self._packers[parcel.entity_type] = Packer(*self._limits)
        return packer.add(parcel)

    def flush(self) -> list[Batch]:
        """The batches begun: at most one a type."""
        return [batch for packer in self._packers.values() for batch in packer.flush()]
