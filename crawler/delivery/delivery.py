"""From entities to the sink: encoded, sent in batches, verified. The delivery owns the tasks that do so."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from crawler.datahub.batching import EncodedEntity
from crawler.datahub.encoding import Encoder, Validator
from crawler.datahub.pending import Ack, Pending
from crawler.datahub.proposals import Entity, Proposal
from crawler.delivery.feed import Feed
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.queues import SenderQueues
from crawler.delivery.sender import Sender
from crawler.delivery.verification.read_back import ReadBack
from crawler.delivery.verification.recheck import Recheck
from crawler.errors import CrawlerError, cause_of
from crawler.sinks.protocol import Sink
from crawler.telemetry.events import EntitiesMapped, Listener, RowsSkipped
from crawler.telemetry.findings.delivery import NOT_ANSWERED
from crawler.telemetry.findings.mapping import TRANSFORMER_FAILED
from crawler.telemetry.timing import Timing

if TYPE_CHECKING:
    from crawler.checkpoint.sent_entities import SentEntities
    from crawler.delivery.changed_only import ChangedOnly, Encoded

UNKNOWN_ASPECTS = "aspects that this DataHub does not know"
SECONDS_BETWEEN_FLUSHES = 2.0
"""How long an entity may wait for a full batch if another crawl may go on, and dead letters for the disk."""
ENDED_EARLY = "It ended before this was delivered."


class Delivery:
    """Delivers what is added to one open sink.

    `validator`, where given, tells why a proposal must not be sent. `grace` is how many seconds a clean stop may take.
    What DataHub has according to `sent` is not sent again; with `doubts`, DataHub is asked whether it has it.
    """

    def __init__(
        self,
        sink: Sink,
        outcomes: OutcomePublisher,
        listener: Listener,
        timing: Timing,
        validator: Validator | None = None,
        *,
        grace: float = 0.0,
        sent: "SentEntities | None" = None,
        doubts: bool = False,
    ) -> None:
        """Deliver to `sink`; `outcomes` and `listener` hear what becomes of it."""
        self._sink = sink
        self._validator = validator
        self._sent = sent
        self._outcomes = outcomes
        self._listener = listener
        self._timing = timing
        self._encoder = Encoder(sink.wire, sink.facts.unsupported, validator)
        self._filed_urns: set[int] = set()
        """Hashes of those of `add_proposals` and `add_unconfirmed`: a file may have an entity in several places."""
        self._queues = SenderQueues(sink)
        self._read_back = None if sink.lookup is None else ReadBack(sink.lookup, sink.wire, outcomes, listener)
        self._recheck = None if sink.lookup is None else Recheck(sink.lookup, sink.wire, self._arrived, listener)
        self._lookup = sink.lookup
        self._changes = outcomes.memory = None if sent is None else _changed_only(sent, sink, listener, doubts=doubts)
        self._verifying: asyncio.Task[None] | None = None
        self._grace = grace
        self._sender = Sender(sink, outcomes, self._read_back, listener)
        self._flushed_at = _loop_time()

    def add(self, entities: Sequence[Entity], ack: Ack | None = None) -> None:
        """Encode and pack entities; `ack` counts each once it is done. What DataHub cannot take is a finding."""
        mapped: dict[str, int] = {}
        with self._timing.stage("encode"):
            for entity, encoded, refusals in self._encoded(entities, ack):
                if refusals or not encoded.proposals:
                    self._outcomes.refused_here(encoded, refusals)
                if encoded.proposals:
                    self._queues.put(encoded, entity.ordering_key)
                    if not encoded.pending.is_removal:
                        mapped[entity.type] = mapped.get(entity.type, 0) + 1
        for entity_type, count in mapped.items():
            self._listener(EntitiesMapped(entity_type, count))

    def refuse(self, entities: Sequence[tuple[Entity, str]], ack: Ack | None = None) -> None:
        """Keep entities at which a transformer failed as dead letters, each with the reason."""
        for entity, reason in entities:
            encoded = EncodedEntity(entity.type, entity.urn, [], pending=Pending(ack=ack))
            refusal = self._encoder.refused(entity, TRANSFORMER_FAILED.code, reason)
            self._outcomes.refused_here(encoded, [refusal])

    def following(self) -> "Delivery":
        """Return a delivery to the same sink, for when this one has ended."""
        return Delivery(
            self._sink,
            self._outcomes,
            self._listener,
            self._timing,
            self._validator,
            grace=self._grace,
            sent=self._sent,
        )

    def _encoded(self, entities: Sequence[Entity], ack: Ack | None) -> "Iterable[Encoded]":
        """Yield what is to be sent of entities, and what of them DataHub could not take."""
        encoded = ((entity, *self._encoder.encode(entity, ack)) for entity in entities)
        if self._changes is None:
            return encoded
        left = self._changes.left([*encoded])
        self._outcomes.unchanged(self._changes.take_unchanged())
        return left

    @property
    def can_recheck(self) -> bool:
        """Whether DataHub can be asked for what an earlier crawl sent."""
        return self._recheck is not None

    def _arrived(self, entity: EncodedEntity, *, unknown: bool) -> None:  # noqa: ARG002  what is not there is sent
        if self._lookup is not None:
            self._outcomes.delivered([entity], self._lookup.verification_method)

    def add_proposals(self, proposals: Sequence[Proposal], ordering_key: str) -> None:
        """Pack proposals of one entity as they stand, no aspect twice. Those that DataHub does not know are skipped."""
        if (encoded := self._encode_filed(proposals)) is not None:
            self._queues.put(encoded, ordering_key)

    def add_unconfirmed(self, proposals: Sequence[Proposal], ordering_key: str, since: int | None) -> None:
        """Add proposals of one entity that a crawl sent which began at `since` (ms since epoch), if that is known.

        Only what DataHub does not have by now is sent.
        """
        encoded = self._encode_filed(proposals)
        if encoded is not None and self._recheck is not None:
            self._recheck.add(encoded, ordering_key, since)

    def _encode_filed(self, proposals: Sequence[Proposal]) -> EncodedEntity | None:
        """Return what can be sent of proposals of one entity, None if nothing can."""
        encoded, refusals = self._encoder.encode_proposals(proposals)
        sent = len(encoded.proposals) + sum(len(refusal.proposals) for refusal in refusals)
        if unknown := len(proposals) - sent:
            self._listener(RowsSkipped(UNKNOWN_ASPECTS, unknown))
        if refusals or not encoded.proposals:
            self._outcomes.refused_here(encoded, refusals)
        if not encoded.proposals:
            return None
        if (urn_hash := hash(encoded.urn)) not in self._filed_urns:
            self._filed_urns.add(urn_hash)
            self._listener(EntitiesMapped(encoded.entity_type, 1))
        return encoded

    async def wait_for_room(self) -> None:
        """Wait until full batches have a place in their queues: this is what holds reading back.

        Now and then it puts dead letters on the disk, and sends batches that are not full if another crawl may go on.
        """
        if _loop_time() - self._flushed_at > SECONDS_BETWEEN_FLUSHES:
            self._flushed_at = _loop_time()
            with self._timing.on_disk():
                self._outcomes.sync()
            if self._outcomes.is_resumable:
                # What waits for a full batch keeps all that was read with it from being done.
                self._queues.flush()
        if self._recheck is not None and self._recheck.is_full:
            await self._send_missing(self._recheck)
        if self._changes is not None and self._changes.is_full:
            await self._send_changed(self._changes)
        await self._queues.wait_for_room()

    async def _send_missing(self, recheck: "Recheck | ChangedOnly") -> None:
        for entity, ordering_key in await recheck.missing():
            self._queues.put(entity, ordering_key)

    async def _send_changed(self, changes: "ChangedOnly") -> None:
        await self._send_missing(changes)
        self._outcomes.unchanged(changes.take_unchanged())

    async def deliver(self, feed: Feed, stop: asyncio.Event) -> None:
        """Deliver all that the feed has, to its end. Raises its first error, or what ends the delivery.

        What cannot be delivered any more is abandoned, with dead letters on the disk. `stop` ends the waiting for
        DataHub's queue: where everything was taken by then, what is not confirmed is kept, and nothing is raised.
        """
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                self.start(tasks)
                failure = await self._take(feed)
                await self.close()
                await self._wait_for_queue(stop)
            if failure is None:
                self._keep_unverified()
        except* CrawlerError as group:
            failure = group
        finally:
            for chunk in feed.drain():
                chunk.add_to(self)
            self.abandon(ENDED_EARLY if failure is None else str(cause_of(failure)))
        if failure is not None:
            raise cause_of(failure)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to send and to verify, until `close`."""
        for queue in self._queues.all:
            tasks.create_task(self._sender.send(queue))
        if self._read_back is not None:
            self._verifying = tasks.create_task(self._read_back.run())

    async def close(self) -> None:
        """Hand on everything that was added and wait until it is sent. The tasks end once all is verified."""
        if self._recheck is not None:
            await self._send_missing(self._recheck)
        if self._changes is not None:
            await self._send_changed(self._changes)
        await self._queues.close()
        if self._read_back is not None:
            self._read_back.close()

    async def _wait_for_queue(self, stop: asyncio.Event) -> None:
        """Wait until all is verified, but after `stop` for half of the grace only: the rest is for the files."""
        if self._verifying is None:
            return
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({self._verifying, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({self._verifying}, timeout=self._grace / 2)
        finally:
            stopping.cancel()
        self._verifying.cancel()

    def abandon(self, reason: str) -> None:
        """Give up what was added and not delivered; what was taken is not confirmed. Both are on the disk then.

        A resumed crawl would send it.
        """
        unanswered = [entity for batch in self._queues.drain_cut_off() for entity in batch.entities]
        unsent = [entity for batch in self._queues.drain() for entity in batch.entities]
        if self._outcomes.is_resumable:
            if self._read_back is not None:
                self._read_back.forget()
        else:
            self._outcomes.abandoned(unanswered, reason, NOT_ANSWERED)
            self._outcomes.abandoned(unsent, reason)
            self._keep_unverified()
        self._outcomes.sync()

    def _keep_unverified(self) -> None:
        """Give up what was taken, by this crawl or before it, and not seen: a part at a time, as memory is flat."""
        for entities in self._unverified():
            for entity in entities:
                self._outcomes.unconfirmed(entity, entity.proposals)
            self._outcomes.sync()

    def _unverified(self) -> Iterator[list[EncodedEntity]]:
        if self._recheck is not None:
            yield self._recheck.drain()
        if self._read_back is not None:
            yield from self._read_back.drain()

    async def _take(self, feed: Feed) -> BaseException | None:
        """Add all that the feed has. Returns what went wrong, so that what was added is still delivered."""
        try:
            async for chunk in feed:
                chunk.add_to(self)
                await self.wait_for_room()
        except (CrawlerError, ExceptionGroup) as error:
            return error
        return None


def _changed_only(sent: "SentEntities", sink: Sink, listener: Listener, *, doubts: bool) -> "ChangedOnly":
    from crawler.delivery.changed_only import ChangedOnly  # noqa: PLC0415  SQLite takes memory, and only a state needs it

    return ChangedOnly(sent, sink, listener, doubts=doubts)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
