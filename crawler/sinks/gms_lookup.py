"""What DataHub's GMS has stored, read back through OpenAPI v3 whichever endpoint wrote it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from crawler.config.settings import Confirm, RestSettings
from crawler.datahub import readback
from crawler.datahub.batching import EncodedEntity
from crawler.datahub.client import GmsClient
from crawler.datahub.proposals import SystemMetadata
from crawler.datahub.readback import Wanted
from crawler.errors import RequestRefused
from crawler.sinks.gms_writer import GmsWriter
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
    ) -> None:
        self.each_aspect = settings.confirm is Confirm.STORED
        self.queued = settings.asynchronous
        self._client = client
        self._writer = writer
        self._last_observed = msgspec.json.decode(system_metadata, type=SystemMetadata).last_observed
        self._timing = timing
        self._writing_again = asyncio.Lock()

    async def read_back(self, entity_type: str, wanted: Wanted) -> set[tuple[str, str]]:
        """Return the (URN, aspect) pairs that GMS has as this crawl, or a later one, wrote them."""
        with self._timing.stage("send"):
            body = readback.body(wanted)
        answer = await self._client.read_back(entity_type, body)
        with self._timing.stage("send"):
            return readback.proven(answer, self._last_observed)

    async def write_again(self, entities: Sequence[EncodedEntity]) -> None:
        """Write without GMS' queue. What is refused is left out."""
        packer = self._writer.packer()
        batches = [batch for entity in entities for batch in packer.add(entity)] + packer.flush()
        # One entity or version set must not be in two requests at once.
        async with self._writing_again:
            for batch in batches:
                with suppress(RequestRefused):
                    await self._writer.write(batch, asynchronous=False)
