"""Tells which of what a sink took has arrived."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.delivery.verification.reading_back import Missing, ReadingBack
from crawler.delivery.verification.split_entities import Pieces, Tell
from crawler.sinks.protocol import Sink
from crawler.telemetry.report import CrawlReport


class Confirmer:
    """Is told what was `sent`; `run` beside the crawl finds out what of it arrived. In the end each parcel was given to
    `confirmed` or, with those of its proposals that are not there, to `missing`: exactly once, and the last piece of an
    entity after its others. The sink is open.
    """

    def __init__(
        self, sink: Sink, report: CrawlReport, confirmed: Callable[[Sequence[EncodedEntity]], None], missing: Missing
    ) -> None:
        self._report = report
        self._confirmed = confirmed
        self._missing = missing
        self._pieces = Pieces()
        self._reading = (
            None if sink.lookup is None else ReadingBack(sink.lookup, sink.wire, report, self._arrived, self._lost)
        )

    async def sent(self, batch: Batch, verification_method: str | None) -> None:
        """The sink took the batch. Waits while too much is unconfirmed. Where nothing is read back, a delivery rests
        on the `verification_method`.
        """
        if self._reading is None:
            self._confirm(batch.entities, verification_method)
        else:
            self._pieces.sent(batch.entities)
            await self._reading.sent(batch)

    def refused(self, parcel: EncodedEntity, tell: Tell) -> None:
        """The sink did not take the parcel: calls `tell`, after what is to be told of its entity's earlier pieces."""
        self._pieces.not_sent(parcel, tell)

    async def run(self) -> None:
        """Reads back until `close` and all is confirmed or given up. Raises what ends a crawl, such as
        CredentialsRefused.
        """
        if self._reading is not None:
            await self._reading.run()

    def close(self) -> None:
        """Nothing more will be sent."""
        if self._reading is not None:
            self._reading.close()

    def unconfirmed(self) -> list[EncodedEntity]:
        """What was sent and not found out about, when the crawl ends early. It is no more kept here."""
        return [] if self._reading is None else self._reading.drain() + self._pieces.drain()

    def _arrived(self, parcels: Sequence[EncodedEntity], how: str) -> None:
        whole, cut = self._pieces.parted(parcels)
        self._confirm(whole, how)
        for parcel in cut:
            self._pieces.settle(parcel, (), partial(self._confirm, [parcel], how))

    def _lost(self, parcel: EncodedEntity, lost: Sequence[bytes]) -> None:
        self._pieces.settle(parcel, lost, partial(self._missing, parcel, lost))

    def _confirm(self, parcels: Sequence[EncodedEntity], how: str | None) -> None:
        if how is not None:
            counts = Counter([parcel.entity_type for parcel in parcels if parcel.last and parcel.proposals])
            for entity_type, count in counts.items():
                self._report.confirmed[entity_type][how] += count
        self._confirmed(parcels)
