"""DataHub's GMS, through its OpenAPI v3 endpoint."""

import msgspec

from crawler.datahub import openapi
from crawler.datahub.batches import Batch, PackerByType
from crawler.datahub.encoding import Wire
from crawler.datahub.versions import require_openapi
from crawler.errors import NotTaken
from crawler.sinks.rest import RestSink


class OpenApiSink(RestSink):
    """Writes as RestSink does, one entity type a request, and holds each answer against what was sent."""

    def packer(self) -> PackerByType:
        """Batches of one entity type, as large as the settings allow."""
        return PackerByType(self._settings.batch_size, self._settings.batch_bytes, openapi.frame)

    async def write(self, batch: Batch) -> None:
        """Sends the batch as one request. Raises NotTaken where the answer does not list all of it."""
        with self._report.time.stage("send"):
            body = self._compressed(openapi.body(batch))
        answer = await self._client.write_entities(
            batch.parcels[0].entity_type, body, asynchronous=self._settings.asynchronous, gzip=self._settings.gzip
        )
        with self._report.time.stage("send"):
            missing = openapi.left_out(batch, answer)
        if missing:
            raise NotTaken(
                "DataHub's answer does not list all that was sent, so what is missing there may not be stored.",
                "It may not know these aspects: its version and log tell more. In mode SYNC it also leaves out what it "
                "had stored already when a lost answer made us send again: crawl again to see.",
                items=missing,
            )

    def _wire(self, system_metadata: msgspec.Raw) -> Wire:
        return openapi.OpenApiWire(system_metadata)

    def _require(self, version: str | None) -> None:
        require_openapi(version)
