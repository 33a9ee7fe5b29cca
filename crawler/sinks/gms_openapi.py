"""DataHub's GMS, through its OpenAPI v3 endpoint."""

import msgspec

from crawler.config.settings import Confirm, RestSettings
from crawler.datahub.batching import Batch, PackerByType
from crawler.datahub.encoding import Wire
from crawler.datahub.versions import require_openapi
from crawler.datahub.wire import openapi
from crawler.errors import NotTaken
from crawler.sinks.gms import RestSink
from crawler.telemetry.report import CrawlReport

TRIES = 3
"""Times that a batch is sent where the answer does not list all that was taken."""


class OpenApiSink(RestSink):
    """Writes as RestSink does, one entity type a request, and holds each answer against what was sent."""

    def __init__(self, settings: RestSettings, report: CrawlReport, system_metadata: msgspec.Raw) -> None:
        super().__init__(settings, report, system_metadata)
        self._lists = False
        """Whether an answer has ever listed what was taken."""
        if settings.confirm is not Confirm.NONE:
            self.proof = "answer"

    def packer(self) -> PackerByType:
        """Batches of one entity type, as large as the settings allow."""
        return PackerByType(self._settings.batch_size, self._settings.batch_bytes, openapi.frame)

    @property
    def _is_read_back(self) -> bool:
        # The answers list what was taken: for one aspect of each entity, that is enough.
        return self._settings.confirm is Confirm.STORED

    async def _send(self, batch: Batch, *, asynchronous: bool) -> None:
        """Raises NotTaken where the answer does not list all of the batch."""
        with self._report.time.stage("send"):
            body = self._compressed(openapi.body(batch))
        missing = await self._left_out(batch, body, asynchronous=asynchronous)
        # Without the queue, an answer leaves out what is stored already, as after one that was lost on its way.
        is_in_doubt = bool(missing) and not asynchronous
        if is_in_doubt or (missing is None and self._rests_on_answers):
            again = await self._send_again(batch, body)
            missing = again if missing is None else [each for each in missing if each in again]
        if missing:
            raise NotTaken(
                "DataHub's answer does not list all that was sent, so what is missing there may not be stored.",
                "It may not know these aspects: its version and log tell more.",
                items=missing,
            )

    async def _left_out(self, batch: Batch, body: bytes, *, asynchronous: bool) -> list[tuple[str, str]] | None:
        answer = await self._client.write_entities(
            batch.entities[0].entity_type, body, asynchronous=asynchronous, gzip=self._settings.gzip
        )
        with self._report.time.stage("send"):
            missing = openapi.left_out(batch, answer)
        if missing is not None:
            self._lists = True
            if self._settings.confirm is not Confirm.NONE:
                self.proof = "answer"
        return missing

    @property
    def _rests_on_answers(self) -> bool:
        return self.proof == "answer" and self.store is None

    async def _send_again(self, batch: Batch, body: bytes) -> list[tuple[str, str]]:
        """What the answer was no list for, perhaps since it was spoilt on its way: the same once more does no harm.

        Through the queue, whose answers also list what is stored already. Until the first answer that is a list
        the status counts.
        """
        for _ in range(TRIES - 1):
            missing = await self._left_out(batch, body, asynchronous=True)
            if missing is not None:
                return missing
        if self._lists:
            return [(parcel.urn, self.wire.aspect_name(each)) for parcel in batch.entities for each in parcel.proposals]
        self._trust_status()
        return []

    def _trust_status(self) -> None:
        if self.proof == "answer":
            self.proof = "status"
            self._report.warn(
                "unconfirmed_by_server",
                "DataHub's answers do not list what it took, so that it has it rests on their status. --confirm stored "
                "reads everything back.",
            )

    def _wire(self, system_metadata: msgspec.Raw) -> Wire:
        return openapi.OpenApiWire(system_metadata)

    def _require(self, version: str | None) -> None:
        require_openapi(version)
