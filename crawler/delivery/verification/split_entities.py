"""Entities that were cut: what becomes of their last piece is told last, whichever piece is found first."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from crawler.datahub.batching import EncodedEntity

Tell = Callable[[], None]


class Pieces:
    """Holds back what is known of a last piece while an earlier one is on its way."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._held: defaultdict[str, list[tuple[EncodedEntity, Sequence[bytes], Tell]]] = defaultdict(list)
        """By URN: a file that is replayed may have several parcels of one entity, each with a last piece."""

    def sent(self, parcels: Iterable[EncodedEntity]) -> None:
        """They are on their way."""
        for parcel in parcels:
            if not parcel.last:
                self._under_way[parcel.urn] += 1

    def not_sent(self, parcel: EncodedEntity, tell: Tell) -> None:
        """The piece is not on its way, and what became of it is told already but for `tell`."""
        if parcel.last and parcel.urn in self._under_way:
            self._held[parcel.urn].append((parcel, (), tell))
        else:
            tell()

    def settle(self, parcel: EncodedEntity, missing: Sequence[bytes], tell: Tell) -> None:
        """It is known what became of the piece: calls `tell`, now or when all earlier pieces are settled."""
        urn = parcel.urn
        if parcel.last and urn in self._under_way:
            self._held[urn].append((parcel, missing, tell))
            return
        tell()
        if parcel.last:
            return
        self._under_way[urn] -= 1
        if not self._under_way[urn]:
            del self._under_way[urn]
            for _, _, held in self._held.pop(urn, ()):
                held()

    def parted(self, parcels: Sequence[EncodedEntity]) -> tuple[Sequence[EncodedEntity], Sequence[EncodedEntity]]:
        """Those that are all of their entity, and those that are not."""
        cut = [parcel for parcel in parcels if not parcel.last or parcel.urn in self._under_way]
        whole = [parcel for parcel in parcels if parcel.last and parcel.urn not in self._under_way] if cut else parcels
        return whole, cut

    def drain(self) -> list[EncodedEntity]:
        """What is missing of the pieces that are held back; they are no more kept."""
        held = [each for told in self._held.values() for each in told]
        missing = [structs.replace(parcel, proposals=list(lost)) for parcel, lost, _ in held if lost]
        self._under_way.clear()
        self._held.clear()
        return missing
