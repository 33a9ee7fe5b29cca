"""Leaves out what DataHub has already, as far as the state tells, and notes what it has from now on."""

from collections.abc import Sequence
from hashlib import blake2b

from crawler.checkpoint.sent_entities import DIGEST_BYTES, MAY_RETURN, Known, SentEntities
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.proposals import Entity, Refusal
from crawler.datahub.readback import TIMESERIES
from crawler.delivery.verification.recheck import Recheck
from crawler.sinks.protocol import Sink
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.delivery import NO_MORE_THERE

Encoded = tuple[Entity, EncodedEntity, list[Refusal]]
"""An entity, what is to be sent of it, and what of it DataHub could not take."""


class ChangedOnly:
    """Compares hashes of aspects. As the memory of an OutcomePublisher it notes what was delivered, nothing else."""

    def __init__(self, sent: SentEntities, sink: Sink, listener: Listener, *, doubts: bool = False) -> None:
        """Compare with `sent`. With `doubts`, the sink is asked too; `listener` hears of what it has no more."""
        self._sent = sent
        self._wire = sink.wire
        self._is_read_back = sink.lookup is not None
        self._asked = (
            Recheck(sink.lookup, sink.wire, self._is_there, listener) if doubts and sink.lookup is not None else None
        )
        self._gone: dict[str, bytes] = {}
        """Digests of what is there of entities of which not all is, by URN."""
        self._unchanged: list[EncodedEntity] = []
        self._listener = listener
        self._notes: dict[str, bytes] = {}
        """Of entities that are under way, by URN."""

    def left(self, entities: Sequence[Encoded]) -> list[Encoded]:
        """Return what has changed of entities. The state has lost their former values by then."""
        left: list[Encoded] = []
        kept: dict[str, bytes] = {}
        was_known = False
        for each, known in zip(entities, self._sent.of([encoded.urn for _, encoded, _ in entities]), strict=True):
            entity, encoded, refusals = each
            if entity.is_removal:
                was_known |= bool(known.digests)
                kept[entity.urn] = b""
                left.append(each)
                continue
            changed, same = self._compare(encoded.proposals, known)
            if changed:
                was_known |= bool(known.digests)
                # Of what is not known there is nothing to lose, if it comes once.
                if known.digests or entity.urn.startswith(MAY_RETURN):
                    kept[entity.urn] = same
                self._expect(entity, refusals)
                left.append((entity, self._holding(encoded, changed), refusals))
            elif refusals or not encoded.proposals:
                left.append((entity, self._holding(encoded, []), refusals))
            else:
                self._leave_out(entity, encoded, known)
        if kept:
            self._sent.begin(kept, known=was_known)
        return left

    def take_unchanged(self) -> list[EncodedEntity]:
        """Remove and return the entities that need not be sent."""
        unchanged, self._unchanged = self._unchanged, []
        return unchanged

    @property
    def is_full(self) -> bool:
        """Whether there is enough that the sink is to be asked for."""
        return self._asked is not None and self._asked.is_full

    async def missing(self) -> list[tuple[EncodedEntity, str | None]]:
        """Return what the sink was asked for and does not have, with its ordering keys, in order."""
        if self._asked is None:
            return []
        missing = await self._asked.missing()
        gone, self._gone = self._gone, {}
        if gone:
            self._sent.begin(gone, known=True)
        return missing

    def delivered(self, entity: EncodedEntity) -> None:
        """Note a piece that DataHub has."""
        if entity.pending.is_removal:
            self._sent.remove(entity.urn)
            return
        self._sent.add(entity.urn, b"".join(map(self._digest, entity.proposals)))

    def finished(self, urn: str, *, whole: bool) -> None:
        """Note an entity of which nothing is under way any more: whether all of it was delivered."""
        note = self._notes.pop(urn, None)
        if note is not None and whole:
            self._sent.note(urn, note)

    def _compare(self, proposals: list[bytes], known: Known) -> tuple[list[bytes], bytes]:
        """Return the proposals that DataHub does not have, and the digests of the others, joined."""
        if not known.digests:
            return proposals, b""
        digests = [*map(self._digest, proposals)]
        same = [digest for digest in digests if known.has(digest)]
        if len(same) == len(digests):
            return [], b""
        changed = [each for each, digest in zip(proposals, digests, strict=True) if not known.has(digest)]
        return self._with_proof(changed, proposals), b"".join(same)

    def _with_proof(self, changed: list[bytes], proposals: list[bytes]) -> list[bytes]:
        """Return the changed ones, with the shortest other one where none of them can be read back."""
        if not self._is_read_back or not all(map(self._is_timeseries, changed)):
            return changed
        return sorted((each for each in proposals if not self._is_timeseries(each)), key=len)[:1] + changed

    def _is_timeseries(self, proposal: bytes) -> bool:
        return self._wire.aspect_name(proposal) in TIMESERIES

    def _expect(self, entity: Entity, refusals: list[Refusal]) -> None:
        if entity.note and not refusals:
            self._notes[entity.urn] = entity.note

    def _leave_out(self, entity: Entity, encoded: EncodedEntity, known: Known) -> None:
        if self._asked is not None:
            self._notes[entity.urn] = entity.note
            self._asked.add(encoded, entity.ordering_key, since=None)
            return
        if entity.note != known.note:
            self._notes[entity.urn] = entity.note
        self._unchanged.append(encoded)

    def _is_there(self, there: EncodedEntity, *, unknown: bool) -> None:
        """Note what the sink has of an entity; what it does not tell is sent, too."""
        there.pending.outstanding -= len(there.proposals)
        if there.pending.outstanding:
            if not unknown:
                self._listener(NO_MORE_THERE.found(there.urn))
            self._gone[there.urn] = b"".join(map(self._digest, there.proposals))
        else:
            self._unchanged.append(there)

    def _holding(self, encoded: EncodedEntity, proposals: list[bytes]) -> EncodedEntity:
        encoded.pending.outstanding = len(proposals)
        return encoded.holding(proposals)

    def _digest(self, proposal: bytes) -> bytes:
        return blake2b(self._wire.content(proposal), digest_size=DIGEST_BYTES).digest()
