"""What DataHub's GMS has stored, read back through OpenAPI v3 whichever endpoint wrote it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from crawler.datahub import readback
from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.proposals import SystemMetadata
from crawler.datahub.readback import Wanted
from crawler.errors import NotTaken, RequestRefused
from crawler.telemetry.report import CrawlReport


class GmsStore:
    """Of one GMS. `write_now` writes a batch without GMS' queue."""

    def __init__(
        self,
        client: GmsClient,
        report: CrawlReport,
        system_metadata: msgspec.Raw,
        packer: Callable[[], Packer | PackerByType],
        write_now: Callable[[Batch], Awaitable[None]],
        *,
        each_aspect: bool,
        queued: bool,
    ) -> None:
        self._client = client
        self._report = report
        self._last_observed = msgspec.json.decode(system_metadata, type=SystemMetadata).last_observed
        self._packer = packer
        self._write_now = write_now
        self._writing_again = asyncio.Lock()
        self.each_aspect = each_aspect
        self.queued = queued

    async def read_back(self, entity_type: str, wanted: Wanted) -> set[tuple[str, str]]:
        """The (URN, aspect) that GMS has as this crawl, or a later one, wrote them."""
        with self._report.time.stage("send"):
            body = readback.body(wanted)
        answer = await self._client.read_back(entity_type, body)
        with self._report.time.stage("send"):
            return readback.proven(answer, self._last_observed)

    async def write_again(self, parcels: Sequence[EncodedEntity]) -> None:
        """Writes at once. What is refused now is left out."""
        packer = self._packer()
        batches = [batch for parcel in parcels for batch in packer.add(parcel)]
        # One entity or version set must not be in two requests at once.
        async with self._writing_again:
            for batch in batches + packer.flush():
                with suppress(RequestRefused, NotTaken):
                    await self._write_now(batch)
