"""From entities to the sink: checked, encoded, sent in batches. What is refused is taken apart."""

import asyncio
from collections.abc import Sequence
from functools import partial

from crawler.datahub import batch_bisection as apart
from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.encoding import Encoder, Validator
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity, Proposal
from crawler.delivery.circuit_breaker import Breaker
from crawler.delivery.outcomes import Settlement
from crawler.delivery.queues import Lane, Lanes
from crawler.delivery.verification import Confirmer
from crawler.errors import RequestRefused, ServerError, Unreachable
from crawler.sinks.protocol import Sink
from crawler.telemetry.report import CrawlReport

UNKNOWN_ASPECTS = "aspects that this DataHub does not know"
SECONDS_BETWEEN_FLUSHES = 2.0
"""So long what is added may wait for a full batch, where another crawl may go on, and dead letters for the disk."""
THROTTLED_ROUNDS = 3
"""Times that a batch is tried through all its retries while others are answered and it is told to come later."""
_GATEWAY_TIMEOUT = 504
_LATER = {408, 425, 429, 503}


class Delivery:
    """Takes entities with `add`, hands full batches on with `settle`, the rest with `close`.

    `send` runs once for each lane, beside `confirmer.run`. `validator`, where given, tells why a proposal must not be
    sent.
    """

    def __init__(
        self, sink: Sink, report: CrawlReport, settlement: Settlement, validator: Validator | None = None
    ) -> None:
        self._sink = sink
        self._report = report
        self._settlement = settlement
        self._encoder = Encoder(sink.wire, sink.facts.unsupported, validator)
        self._lanes = Lanes(sink)
        self._breaker = Breaker()
        self.confirmer = Confirmer(sink, report, settlement.confirmed, settlement.unconfirmed)
        self._flushed_at = _loop_time()

    @property
    def lanes(self) -> list[Lane]:
        """As many as the sink may write batches at once."""
        return self._lanes.all

    def add(self, entity: Entity, ack: Ack | None = None) -> None:
        """Checks, encodes and packs one entity. What DataHub cannot take is named in the report. `ack` counts the
        entity in its window.
        """
        if not self._settlement.begin(entity.urn, ack):
            return
        parcel, refusals = self._encoder.encode(entity, ack)
        if refusals:
            self._settlement.kept_back(parcel, refusals)
        self._pack(parcel, entity.ordering_key)

    def add_proposals(self, proposals: Sequence[Proposal], ordering_key: str) -> None:
        """As `add`, of some proposals of one entity, no aspect twice, as they stand. What the sink's DataHub does not
        know is skipped.
        """
        parcel, refusals = self._encoder.encode_proposals(proposals)
        if unknown := len(proposals) - len(parcel.proposals) - sum(len(refusal.proposals) for refusal in refusals):
            self._report.skipped[UNKNOWN_ASPECTS] += unknown
        self._settlement.kept_back(parcel, refusals)
        self._pack(parcel, ordering_key)

    async def settle(self) -> None:
        """Waits until full batches have a place in their lanes: this is what holds reading back. Now and then it puts
        dead letters on the disk, and sends batches that are not full where another crawl may go on.
        """
        if _loop_time() - self._flushed_at > SECONDS_BETWEEN_FLUSHES:
            self._flushed_at = _loop_time()
            self._settlement.sync()
            if self._settlement.goes_on_later:
                # What waits for a full batch keeps all that was read with it from being done.
                self._lanes.flush()
        await self._lanes.settle()

    async def close(self) -> None:
        """Hands on everything that was added; the lanes then end by themselves, and the confirmer when it knows all."""
        await self._lanes.close()
        self.confirmer.close()

    async def send(self, lane: Lane) -> None:
        """Writes what comes to one lane, until `close`. Errors that end the crawl are raised."""
        while (batch := await lane.queue.get()) is not None:
            lane.writing = [batch]
            while lane.writing:
                await self._write(lane)
            lane.load -= 1
            lane.queue.task_done()
        lane.queue.task_done()

    def abandon(self, reason: str) -> None:
        """Gives up what was added and not delivered, where the crawl ends early. Dead letters are on the disk then."""
        parcels = [parcel for batch in self._lanes.drain() for parcel in batch.entities]
        self._settlement.abandoned([*parcels, *self.confirmer.unconfirmed()], reason)
        self._settlement.sync()

    async def _write(self, lane: Lane) -> None:
        """Writes the next part of what the lane has at hand."""
        part = lane.writing[-1]
        try:
            written = await self._sink.write(part)
        except RequestRefused as refused:
            self._refused(lane, part, refused)
        except Unreachable as error:
            if not error.timed_out:
                raise
            # A server that answers others in time was given too much at once.
            self._refused(lane, part, RequestRefused(error.message, error.hint, status=_GATEWAY_TIMEOUT))
        else:
            taken = self._settlement.left_out(part, written.missing) if written.missing else part
            await self._taken(lane, taken, written.verification_method)

    async def _taken(self, lane: Lane, part: Batch, verification_method: str | None) -> None:
        """The sink has the part that the lane had at hand."""
        self._breaker.taken()
        lane.rounds = 0
        self._report.batches += not self._sink.facts.is_dry_run
        lane.writing.pop()
        await self.confirmer.sent(part, verification_method)

    def _refused(self, lane: Lane, part: Batch, refused: RequestRefused) -> None:
        """Has what is perhaps not to blame tried again. Raises ServerError where everything is refused."""
        if refused.status in _LATER:
            lane.rounds += 1
            if lane.rounds < THROTTLED_ROUNDS:
                return
        lane.rounds = 0
        given_up, left = apart.bisect_refused(part, refused.status, refused.body)
        lane.writing.pop()
        lane.writing += reversed(left)
        self._settlement.refused(given_up, refused)
        for parcel in given_up:
            self.confirmer.refused(parcel, partial(self._settlement.settle, parcel))
        if given_up and not left:
            self._breaker.refused(parcel.entity_type for parcel in given_up)
        if self._breaker.is_open:
            raise ServerError(
                f"DataHub refuses everything: {refused.message}",
                "Mend that, then run it again; with --state, replay the dead letters too.",
            )

    def _pack(self, parcel: EncodedEntity, ordering_key: str | None) -> None:
        if not parcel.proposals:
            self._settlement.nothing_left(parcel)
            return
        self._report.mapped[parcel.entity_type] += 1
        self._lanes.put(parcel, ordering_key)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
