"""Packing encoded proposals into requests: pure, by count and by bytes, an entity's proposals together and in order."""

import msgspec


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """One entity's encoded proposals, which travel together. Of an entity that was cut one piece is the `last`."""

    entity_type: str
    urn: str
    proposals: list[bytes]
    last: bool = True


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one request carries. `bytes` counts the proposals without the request's frame."""

    parcels: list[Parcel]
    proposals: int
    bytes: int


class Packer:
    """Fills batches of at most `max_proposals` and `max_bytes`.

    An entity that alone is larger than a batch is cut, in order, since DataHub takes no larger request; a single
    proposal larger than `max_bytes` travels alone. Nothing is lost, doubled or reordered within an entity.
    """

    def __init__(self, max_proposals: int, max_bytes: int) -> None:
        self._max_proposals = max_proposals
        self._max_bytes = max_bytes
        self._parcels: list[Parcel] = []
        self._proposals = 0
        self._bytes = 0

    def add(self, parcel: Parcel) -> list[Batch]:
        """Takes one entity; gives the batches that are full now."""
        full: list[Batch] = []
        for piece in self._cut(parcel):
            size = _size(piece)
            if not self._fits(len(piece.proposals), size):
                full += self.flush()
            self._parcels.append(piece)
            self._proposals += len(piece.proposals)
            self._bytes += size
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

    def _cut(self, parcel: Parcel) -> list[Parcel]:
        if len(parcel.proposals) <= self._max_proposals and _size(parcel) <= self._max_bytes:
            return [parcel] if parcel.proposals else []
        pieces: list[list[bytes]] = [[]]
        room = self._max_bytes
        for proposal in parcel.proposals:
            size = len(proposal) + 1
            if pieces[-1] and (len(pieces[-1]) == self._max_proposals or size > room):
                pieces.append([])
                room = self._max_bytes
            pieces[-1].append(proposal)
            room -= size
        return [
            Parcel(parcel.entity_type, parcel.urn, piece, last=number == len(pieces))
            for number, piece in enumerate(pieces, start=1)
        ]


def _size(parcel: Parcel) -> int:
    """Bytes in a request, each proposal's comma included."""
    return sum(map(len, parcel.proposals)) + len(parcel.proposals)
