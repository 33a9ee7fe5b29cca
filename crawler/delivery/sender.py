"""Writes the batches of the queues to the sink, and bisects what is refused."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from crawler.datahub import batch_bisection
from crawler.datahub.batching import Batch, EncodedEntity, batch_of
from crawler.datahub.unknown_aspects import UnknownAspects
from crawler.delivery.circuit_breaker import CircuitBreaker
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.queues import SenderQueue
from crawler.delivery.verification.read_back import ReadBack
from crawler.errors import RequestRefused, ServerError, Unreachable
from crawler.http.status_policy import GATEWAY_TIMEOUT, SEND_AGAIN
from crawler.sinks.protocol import Sink
from crawler.telemetry.events import BatchTaken, Listener

THROTTLED_ROUNDS = 3
"""Times that a batch is tried through all its retries while others are answered and it is told to come later."""


class Sender:
    """Sends batches to one sink, as many at once as there are queues."""

    def __init__(self, sink: Sink, outcomes: OutcomePublisher, read_back: ReadBack | None, listener: Listener) -> None:
        """Without `read_back`, a batch is delivered once the sink took it."""
        self._sink = sink
        self._outcomes = outcomes
        self._read_back = read_back
        self._listener = listener
        self._breaker = CircuitBreaker()
        self._unknown = UnknownAspects()
        self._taken: Batch | None = None
        """A proposal that was taken."""

    async def send(self, queue: SenderQueue) -> None:
        """Write the batches of one queue, in order, to its end. Raises what ends a crawl."""
        while await queue.take():
            rounds = 0
            while self._leave_out_unknown(queue):
                try:
                    await self._write(queue)
                    rounds = 0
                except RequestRefused as refused:
                    if self._unknown.learn(refused.body or refused.answer, queue.writing[-1], self._sink.wire):
                        continue
                    # As it stands, it may be taken later: it is not to blame.
                    rounds = rounds + 1 if refused.status in SEND_AGAIN else THROTTLED_ROUNDS
                    if rounds >= THROTTLED_ROUNDS:
                        rounds = 0
                        self._bisect(queue, refused)
                        await self._require_takes_any(refused)
            queue.batch_done()
        queue.batch_done()

    async def _write(self, queue: SenderQueue) -> None:
        """Write the next part of the batch at hand. Raises RequestRefused."""
        part = queue.writing[-1]
        try:
            written = await self._sink.write(part)
        except asyncio.CancelledError:
            queue.cut_off.append(queue.writing.pop())
            raise
        except Unreachable as error:
            if not error.timed_out:
                raise
            # A server that answers others in time was given too much at once.
            raise RequestRefused(error.message, error.hint, status=GATEWAY_TIMEOUT) from error
        self._breaker.taken()
        if not self._sink.facts.is_dry_run:
            self._listener(BatchTaken())
        queue.writing.pop()
        self._taken = self._taken or _one_of(part)
        taken = self._without(part, written.missing) if written.missing else part
        if self._read_back is None:
            self._outcomes.delivered(taken.entities, written.verification_method)
        else:
            await self._read_back.sent(taken)

    def _without(self, batch: Batch, missing: Collection[tuple[str, str]]) -> Batch:
        """Give up what the answer to a batch does not list. Returns the batch without it."""
        taken: list[EncodedEntity] = []
        lost: list[EncodedEntity] = []
        for entity in batch.entities:
            gone = [each for each in entity.proposals if (entity.urn, self._sink.wire.aspect_name(each)) in missing]
            if gone:
                lost.append(entity.holding(gone))
            taken.append(entity.holding([each for each in entity.proposals if each not in gone]))
        self._outcomes.not_taken(lost)
        return Batch(taken, batch.proposals - len(missing), batch.bytes)

    def _bisect(self, queue: SenderQueue, refused: RequestRefused) -> None:
        """Have the parts of a refused batch tried again."""
        given_up, left = batch_bisection.bisect_refused(queue.writing.pop(), refused.status, refused.body)
        queue.writing += reversed(left)
        self._outcomes.refused(given_up, refused)
        if given_up and not left:
            self._breaker.refused(entity.entity_type for entity in given_up)

    async def _require_takes_any(self, refused: RequestRefused) -> None:
        """Raise ServerError where everything is refused, even what was taken before."""
        if not self._breaker.is_open:
            return
        if self._taken is not None:
            with suppress(RequestRefused):
                await self._sink.write(self._taken)
                # Only what is bad was left.
                self._breaker.taken()
                return
        raise ServerError(
            f"DataHub refuses everything: {refused.message}",
            "Mend that, then run it again; with --state, replay the dead letters too.",
        )

    def _leave_out_unknown(self, queue: SenderQueue) -> bool:
        """Take what DataHub does not know out of the next part. Returns whether anything is left to write."""
        while self._unknown and queue.writing:
            known, unknown = self._unknown.split(queue.writing[-1], self._sink.wire)
            if not unknown:
                break
            queue.writing.pop()
            queue.writing += [known] if known else []
            for kind, entities in unknown.items():
                self._outcomes.unknown(".".join(filter(None, kind)), entities, self._unknown.words(kind))
        return bool(queue.writing)


def _one_of(batch: Batch) -> Batch:
    """Return the shortest proposal of the first entity."""
    entity = batch.entities[0]
    return batch_of([entity.holding([min(entity.proposals, key=len)])])
