"""What became of each entity: its proposals are counted one by one, and published once none is under way."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from crawler.datahub.batching import EncodedEntity
from crawler.datahub.pending import Pending
from crawler.datahub.proposals import Refusal
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.dead_letters import DeadLetters
from crawler.errors import RequestRefused
from crawler.telemetry.events import Listener, Outcome, Outcomes, ProposalsDecided
from crawler.telemetry.findings.delivery import NOT_SENT, NOT_STORED, NOT_TAKEN, REFUSED, UNCONFIRMED, UNKNOWN_THERE
from crawler.telemetry.findings.kind import FindingKind
from crawler.telemetry.findings.mapping import ASPECT_INVALID, ASPECT_TOO_LARGE, TRANSFORMER_FAILED, URN_INVALID

NOT_STORED_REASON = "DataHub took it, but does not have it."
UNCONFIRMED_REASON = "DataHub took it, but was not seen to have it in time."
_REFUSED_HERE = {
    kind.code: kind
    for kind in (
        *(URN_INVALID, ASPECT_TOO_LARGE, ASPECT_INVALID),
        TRANSFORMER_FAILED,
    )
}


class Memory(Protocol):
    """Keeps what was delivered, for a later crawl."""

    def delivered(self, entity: EncodedEntity) -> None:
        """Note a piece that DataHub has."""
        ...

    def finished(self, urn: str, *, whole: bool) -> None:
        """Note an entity of which nothing is under way any more: whether all of it was delivered."""
        ...


class OutcomePublisher:
    """Decides the proposals of entities under way, writes dead letters, and publishes an `Outcome` for each entity.

    An entity of which something is kept in a file is published once that is on the disk, which the next `sync` sees
    to. With `is_resumable`, another crawl may go on where this one ends, so what was not sent is no failure. Without
    `keeps_unsent`, what was not sent is named and not kept: into what is written there, nothing can be sent later.
    `memory`, where set, is told what was delivered.
    """

    def __init__(
        self,
        wire: Wire,
        listener: Listener,
        letters: DeadLetters | None,
        unconfirmed: DeadLetters | None = None,
        *,
        is_resumable: bool = False,
        keeps_unsent: bool = True,
    ) -> None:
        """Publish to `listener`. Without files for `letters` and the `unconfirmed`, as in a dry run, none are kept."""
        self.is_resumable = is_resumable
        self.memory: Memory | None = None
        self._wire = wire
        self._listener = listener
        self._letters = letters
        self._keeps_unsent = keeps_unsent
        self._unconfirmed = unconfirmed
        self._unsynced: list[Pending] = []
        self._to_publish: list[EncodedEntity] = []

    def delivered(self, entities: Iterable[EncodedEntity], method: str | None) -> None:
        """Count pieces that the sink has; `method` says how that is known, None that nothing was kept."""
        finished: list[EncodedEntity] = []
        delivered = 0
        for entity in entities:
            if not (count := len(entity.proposals)):
                continue
            pending = entity.pending
            pending.outstanding -= count
            if method is not None:
                delivered += count
                pending.delivered += count
                pending.method = method
                if self.memory is not None:
                    self.memory.delivered(entity)
            if not pending.outstanding:
                finished.append(entity)
        if delivered:
            self._listener(ProposalsDecided(delivered=delivered))
        self._finish(finished)

    def unchanged(self, entities: Sequence[EncodedEntity]) -> None:
        """Count entities that are not sent, since the sink has all of them."""
        for entity in entities:
            entity.pending.is_unchanged = True
        self._publish(entities)

    def refused_here(self, entity: EncodedEntity, refusals: Sequence[Refusal]) -> None:
        """Count what is not sent, since DataHub could not take it; `entity` has the rest, perhaps nothing."""
        for refusal in refusals:
            kind = _REFUSED_HERE[refusal.code]
            self._listener(kind.found(f"{refusal.subject}: {refusal.reason}"))
            is_kept = self._letters is None or self._letters.write(
                refusal.proposals, code=refusal.code, reason=refusal.reason
            )
            self._reject(entity.pending, len(refusal.proposals), is_kept=is_kept)
        if not entity.pending.outstanding:
            self._finish([entity])

    def refused(self, entities: Sequence[EncodedEntity], refusal: RequestRefused) -> None:
        """Count pieces that DataHub refuses for good."""
        reason = refusal.answer or refusal.message
        for entity in entities:
            self._listener(REFUSED.found(f"{entity.urn}: {reason}", len(entity.proposals), status=refusal.status))
        self._rejected(entities, code=f"refused_{refusal.status}", reason=reason, status=refusal.status)

    def unknown(self, what: str, entities: Sequence[EncodedEntity], words: str) -> None:
        """Count pieces that are left out, since DataHub does not know `what` they are; `words` are its own."""
        kind = UNKNOWN_THERE
        count = sum(len(entity.proposals) for entity in entities)
        finding = kind.found(entities[0].urn, count, what=what)
        self._listener(finding)
        self._rejected(entities, code=finding.code, reason=words)

    def not_taken(self, entities: Sequence[EncodedEntity]) -> None:
        """Count pieces that an answer does not list although the request was taken."""
        for entity in entities:
            for proposal in entity.proposals:
                self._listener(NOT_TAKEN.found(f"{entity.urn}: {self._wire.aspect_name(proposal)}"))
        self._rejected(entities, code=NOT_TAKEN.code, reason=NOT_TAKEN.message)

    def not_stored(self, entity: EncodedEntity, missing: Sequence[bytes], method: str) -> None:
        """Count a piece that DataHub took, but of which it does not have the `missing` proposals."""
        names = ", ".join(map(self._wire.aspect_name, missing))
        self._listener(NOT_STORED.found(f"{entity.urn}: {names}", len(missing)))
        self._rejected([entity.holding(list(missing))], code=NOT_STORED.code, reason=NOT_STORED_REASON)
        self.delivered([_without(entity, missing)], method)

    def unconfirmed(self, entity: EncodedEntity, missing: Sequence[bytes], method: str | None = None) -> None:
        """Count a piece of which DataHub took the `missing` proposals, but was not seen to have them in time.

        They are no failure, and kept in a file of their own.
        """
        self._listener(UNCONFIRMED.found(entity.urn))
        gone = entity.holding(list(missing))
        pending = entity.pending
        pending.outstanding -= len(missing)
        pending.unconfirmed += len(missing)
        pending.kept &= self._unconfirmed is None or self._unconfirmed.write(
            [self._wire.proposal(gone, each) for each in gone.proposals],
            code=UNCONFIRMED.code,
            reason=UNCONFIRMED_REASON,
        )
        self._unsynced.append(pending)
        self._listener(ProposalsDecided(unconfirmed=len(missing)))
        if not pending.outstanding:
            self._finish([gone])
        self.delivered([_without(entity, missing)], method)

    def abandoned(self, entities: Sequence[EncodedEntity], reason: str, kind: FindingKind = NOT_SENT) -> None:
        """Count pieces that are given up, since all ends: NOT_SENT, or NOT_ANSWERED where the sink may have them."""
        for entity in entities:
            self._listener(kind.found(entity.urn, len(entity.proposals)))
        self._rejected(entities, code=kind.code, reason=reason, keep=self._keeps_unsent)

    def sync(self) -> None:
        """Put the dead letters so far on the disk and publish their entities. Call it now and then, and at the end."""
        synced = [file.sync() for file in (self._letters, self._unconfirmed) if file is not None]
        is_kept = all(synced)
        for pending in self._unsynced:
            pending.kept &= is_kept
        self._unsynced.clear()
        entities, self._to_publish = self._to_publish, []
        self._publish(entities)

    def _rejected(
        self,
        entities: Sequence[EncodedEntity],
        *,
        code: str,
        reason: str,
        status: int | None = None,
        keep: bool = True,
    ) -> None:
        is_kept = True
        if keep and self._letters is not None:
            read = self._wire.proposal
            proposals = (read(entity, encoded) for entity in entities for encoded in entity.proposals)
            is_kept = self._letters.write(proposals, code=code, reason=reason, status=status)
        finished: list[EncodedEntity] = []
        for entity in entities:
            pending, count = entity.pending, len(entity.proposals)
            pending.outstanding -= count
            self._reject(pending, count, is_kept=is_kept)
            if not pending.outstanding:
                finished.append(entity)
        self._finish(finished)

    def _finish(self, entities: Sequence[EncodedEntity]) -> None:
        delivered: list[EncodedEntity] = []
        for entity in entities:
            if entity.pending.rejected or entity.pending.unconfirmed:
                self._to_publish.append(entity.holding([]))
            else:
                delivered.append(entity)
        self._publish(delivered)

    def _publish(self, entities: Sequence[EncodedEntity]) -> None:
        if not entities:
            return
        if self.memory is not None:
            for entity in entities:
                whole = not entity.pending.rejected and not entity.pending.unconfirmed
                self.memory.finished(entity.urn, whole=whole)
        self._listener(Outcomes([_outcome(entity, entity.pending) for entity in entities]))
        for entity in entities:
            pending = entity.pending
            if pending.ack is not None and pending.kept:
                if pending.rejected or pending.unconfirmed:
                    pending.ack.owe()
                pending.ack.done(1)

    def _reject(self, pending: Pending, count: int, *, is_kept: bool) -> None:
        pending.rejected += count
        pending.kept &= is_kept
        self._unsynced.append(pending)
        self._listener(ProposalsDecided(rejected=count))


def _without(entity: EncodedEntity, missing: Sequence[bytes]) -> EncodedEntity:
    gone = set(missing)
    return entity.holding([each for each in entity.proposals if each not in gone])


def _outcome(entity: EncodedEntity, pending: Pending) -> Outcome:
    return Outcome(
        entity.entity_type,
        entity.urn,
        pending.delivered,
        pending.rejected,
        pending.method,
        pending.kept,
        pending.unconfirmed,
        pending.is_removal,
        pending.is_unchanged,
    )
