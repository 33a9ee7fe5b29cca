"""What became of each entity: confirmed, or given up, named in the report and kept as dead letters."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Refusal
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.dead_letters import DeadLetters
from crawler.errors import RequestRefused
from crawler.telemetry.findings import NOT_TAKEN
from crawler.telemetry.report import CrawlReport

NOT_TAKEN_HERE = {
    "urn": "DataHub takes no such URN, so the entity was not sent. Rename it in MLflow.",
    "aspect_size": "An aspect is larger than DataHub's Kafka takes, so it was not sent.",
    "invalid": "acryl-datahub refuses a proposal (--validate), so it was not sent. Please report this.",
}
NOT_SENT = "It ended before these proposals were delivered. Run it again, or replay the dead letters."
NOT_THERE = "DataHub took it, but does not have it."
NOT_LISTED = "DataHub's answer does not list all that was sent, so what is missing there may not be stored."


class Ledger(Protocol):
    """Keeps what was delivered, for a crawl that goes on later."""

    def begin(self, urn: str, ack: Ack | None) -> bool:
        """Whether the entity is still to be delivered, and not settled by the crawl that this one goes on with."""
        ...

    def settled(self, parcel: EncodedEntity) -> None:
        """The last of an entity that has begun is confirmed, or is given up."""
        ...


class Settlement:
    """Counts in the report, writes dead letters and the ledger. An entity in pieces is settled with the last one.

    Of an entity with dead letters the ledger hears when these are on the disk, which is with the next `sync`.
    """

    def __init__(self, wire: Wire, report: CrawlReport, letters: DeadLetters, ledger: Ledger | None = None) -> None:
        self._wire = wire
        self._report = report
        self._letters = letters
        self._ledger = ledger
        self._incomplete: set[str] = set()
        """Entities that are under way and of which something was given up."""
        self._unkept: set[str] = set()
        """Those of which that could not be kept either: the ledger must not take them for settled."""
        self._unsynced: set[str] = set()
        """Those of which that is not on the disk yet."""
        self._waiting: list[EncodedEntity] = []
        """The last parcels of those, without their proposals."""

    @property
    def goes_on_later(self) -> bool:
        """Whether another crawl may go on with this one."""
        return self._ledger is not None

    def begin(self, urn: str, ack: Ack | None) -> bool:
        """Whether the entity is to be delivered: an earlier crawl, which this one goes on with, may have done that."""
        return self._ledger is None or self._ledger.begin(urn, ack)

    def nothing_left(self, parcel: EncodedEntity) -> None:
        """Nothing of the entity is sent."""
        self._tell_ledger(parcel)

    def kept_back(self, parcel: EncodedEntity, refusals: Sequence[Refusal]) -> None:
        """What DataHub cannot take is not sent; the parcel holds the rest of its entity."""
        for refusal in refusals:
            self._report.rejected += len(refusal.proposals)
            self._report.fail(refusal.code, NOT_TAKEN_HERE[refusal.code], f"{refusal.subject}: {refusal.reason}")
            is_kept = self._letters.write(refusal.proposals, code=refusal.code, reason=refusal.reason)
            (self._unsynced if is_kept else self._unkept).add(parcel.urn)
        if refusals and parcel.proposals:
            self._incomplete.add(parcel.urn)

    def confirmed(self, parcels: Iterable[EncodedEntity]) -> None:
        """The sink has them."""
        if self._report.dry_run:
            return
        for parcel in parcels:
            self._report.proposals += len(parcel.proposals)
            self.settle(parcel)

    def unconfirmed(self, parcel: EncodedEntity, missing: Sequence[bytes]) -> None:
        """DataHub took the parcel, but does not have these of its proposals."""
        self._report.rejected += len(missing)
        self._report.proposals += len(parcel.proposals) - len(missing)
        self._keep([parcel.holding(list(missing))], code="unconfirmed", reason=NOT_THERE)
        self._incomplete.add(parcel.urn)
        self.settle(parcel)

    def refused(self, parcels: Sequence[EncodedEntity], refusal: RequestRefused) -> None:
        """DataHub takes none of them; each is to be `settle`d."""
        code, message = f"refused_{refusal.status}", f"DataHub refuses proposals with status {refusal.status}."
        reason = refusal.answer or refusal.message
        for parcel in parcels:
            self._report.rejected += len(parcel.proposals)
            self._report.fail(code, message, f"{parcel.urn}: {reason}", count=len(parcel.proposals))
        self._keep(parcels, code=code, reason=reason, status=refusal.status)
        self._incomplete.update(parcel.urn for parcel in parcels)

    def left_out(self, batch: Batch, not_taken: Sequence[tuple[str, str]]) -> Batch:
        """The batch without the (URN, aspect) pairs that were not taken, which are given up."""
        left_out = set(not_taken)
        taken: list[EncodedEntity] = []
        lost: list[EncodedEntity] = []
        for parcel in batch.entities:
            missing = [each for each in parcel.proposals if (parcel.urn, self._wire.aspect_name(each)) in left_out]
            if missing:
                lost.append(parcel.holding(missing))
            taken.append(parcel.holding([each for each in parcel.proposals if each not in missing]))
        self._report.rejected += len(left_out)
        for urn, aspect in not_taken:
            self._report.fail(NOT_TAKEN.code, NOT_TAKEN.message, f"{urn}: {aspect}")
        self._keep(lost, code=NOT_TAKEN.code, reason=NOT_LISTED)
        self._incomplete.update(parcel.urn for parcel in lost)
        return Batch(taken, batch.proposals - len(left_out), batch.bytes)

    def abandoned(self, parcels: Sequence[EncodedEntity], reason: str) -> None:
        """The crawl ends before they are delivered. With a ledger the next one goes on with them."""
        if self._ledger is not None:
            return
        for parcel in parcels:
            self._report.rejected += len(parcel.proposals)
            self._report.fail("not_sent", NOT_SENT, parcel.urn, count=len(parcel.proposals))
        self._keep(parcels, code="not_sent", reason=reason)

    def settle(self, parcel: EncodedEntity) -> None:
        """Nothing more will become of this piece; of the last one, of its entity."""
        if not parcel.last:
            return
        delivered = parcel.urn not in self._incomplete
        self._incomplete.discard(parcel.urn)
        self._report.delivered[parcel.entity_type] += delivered
        self._tell_ledger(parcel)

    def sync(self) -> None:
        """Puts the dead letters so far on the disk. To be called now and then, and at the end."""
        if not self._letters.sync():
            self._unkept |= self._unsynced
        self._unsynced.clear()
        if self._ledger is None:
            # Nobody asks.
            self._unkept.clear()
        waiting, self._waiting = self._waiting, []
        for parcel in waiting:
            self._tell_ledger(parcel)

    def _tell_ledger(self, parcel: EncodedEntity) -> None:
        if self._ledger is None:
            return
        if parcel.urn in self._unsynced:
            self._waiting.append(parcel.holding([]))
            return
        is_kept = parcel.urn not in self._unkept
        self._unkept.discard(parcel.urn)
        if is_kept:
            self._ledger.settled(parcel)

    def _keep(self, parcels: Sequence[EncodedEntity], *, code: str, reason: str, status: int | None = None) -> None:
        read = self._wire.proposal
        proposals = (read(parcel, encoded) for parcel in parcels for encoded in parcel.proposals)
        is_kept = self._letters.write(proposals, code=code, reason=reason, status=status)
        (self._unsynced if is_kept else self._unkept).update(parcel.urn for parcel in parcels)
