"""What DataHub's GMS has stored, read back through OpenAPI v3 whichever endpoint wrote it."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from crawler.datahub import readback
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.client import GmsClient
from crawler.datahub.proposals import SystemMetadata
from crawler.datahub.queue_offsets import QueueOffsets
from crawler.datahub.readback import Expected, Wanted
from crawler.errors import CredentialsRefused, DecodeError, RequestRefused, Unreachable, WrongServer
from crawler.settings.sinks import Confirm, RestSettings
from crawler.sinks.gms_writer import GmsWriter
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.delivery import NO_SYSTEM_METADATA
from crawler.telemetry.timing import Timing


class GmsLookup:
    """Reads back from one GMS, and writes again what it has not."""

    def __init__(
        self,
        client: GmsClient,
        writer: GmsWriter,
        settings: RestSettings,
        system_metadata: msgspec.Raw,
        timing: Timing,
        listener: Listener,
    ) -> None:
        self.each_aspect = settings.confirm is Confirm.STORED
        self.queued = settings.asynchronous
        self.confirm_wait = settings.confirm_wait
        self.max_unconfirmed = settings.max_unconfirmed
        self._client = client
        self._writer = writer
        self._last_observed = msgspec.json.decode(system_metadata, type=SystemMetadata).last_observed
        self._timing = timing
        self._listener = listener
        self._shows_metadata: bool | None = None
        """Whether answers show system metadata; None until that is known."""
        self._tells_offsets = settings.asynchronous

    @property
    def verification_method(self) -> str:
        """What a delivery rests on that was read back."""
        if self._shows_metadata is False:
            return "present"
        return "stored" if self.each_aspect else "read back"

    async def read_back(
        self, entity_type: str, wanted: Wanted, *, since: int | None = None, expected: Expected | None = None
    ) -> set[tuple[str, str]]:
        """Return the (URN, aspect) pairs that GMS has as this crawl, or a later one, wrote them, or as `expected`.

        `since` (ms since epoch) is when another crawl began that wrote them, if one did. As long as GMS shows no system
        metadata at all, what is there counts.
        """
        with self._timing.stage("send"):
            body = readback.body(wanted)
        answer = await self._client.read_back(entity_type, body)
        with self._timing.stage("send"):
            proof = readback.prove(answer, since or self._last_observed, expected)
        if proof.shows_metadata:
            self._shows_metadata = True
        elif proof.unproven and self._shows_metadata is None:
            self._shows_metadata = False
            self._listener(NO_SYSTEM_METADATA.found())
        return proof.proven | proof.unproven if self._shows_metadata is False else proof.proven

    async def queue_offsets(self) -> QueueOffsets | None:
        """Return how far GMS' consumer is, None where it does not tell, or not to this user."""
        if not self._tells_offsets:
            return None
        try:
            return await self._client.queue_offsets()
        except (RequestRefused, DecodeError, WrongServer, CredentialsRefused):
            self._tells_offsets = False
        except Unreachable as error:
            if not error.timed_out:
                raise
            self._tells_offsets = False
        return None

    async def write_again(self, entities: Sequence[EncodedEntity]) -> None:
        """Write without GMS' queue. What is refused is left out."""
        packer = self._writer.packer()
        batches = [batch for entity in entities for batch in packer.add(entity)] + packer.flush()
        # One entity or version set must not be in two requests at once, and the senders are at work.
        async with self._writer.gate.alone():
            for batch in batches:
                with suppress(RequestRefused):
                    await self._writer.write(batch, asynchronous=False)
