"""DataHub's GMS, through its Rest.li batch endpoint."""

import zlib
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from crawler.datahub import restli
from crawler.datahub.batches import Batch, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.encoding import Wire
from crawler.datahub.versions import unsupported_aspects
from crawler.http import Server
from crawler.report import CrawlReport
from crawler.settings import RestSettings

GZIP_LEVEL = 1
GZIP_FORMAT = 31


class RestSink:
    """Writes to one GMS by Rest.li, `server.concurrency` batches at once."""

    def __init__(self, settings: RestSettings, report: CrawlReport, system_metadata: msgspec.Raw) -> None:
        self.lanes = settings.server.concurrency
        self._settings = settings
        self._report = report
        self.wire = self._wire(system_metadata)
        self._server = Server("DataHub", settings.server, report.datahub, counts="sent")
        self._client = GmsClient(self._server)
        self._opened: AsyncExitStack
        self.unsupported: frozenset[tuple[str, str]] = frozenset()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self._server)
            version = await self._client.version()
            self._require(version)
            # Whoever is no GMS is left again above; from here on __aexit__ closes.
            self._opened = opened.pop_all()
        self._report.datahub.version = version
        self._report.output = self._server.url
        self.unsupported = unsupported_aspects(version)
        if self.unsupported:
            names = ", ".join(sorted({aspect for _, aspect in self.unsupported}))
            self._report.warn(
                "old_datahub",
                f"DataHub {version} is older than 1.0 and cannot hold all that MLflow tells: left out are {names}.",
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def packer(self) -> Packer | PackerByType:
        """Batches as large as the settings allow."""
        return Packer(self._settings.batch_size, self._settings.batch_bytes)

    async def write(self, batch: Batch) -> None:
        """Sends the batch as one request."""
        with self._report.time.stage("send"):
            encoded = [proposal for parcel in batch.parcels for proposal in parcel.proposals]
            body = self._compressed(restli.body(encoded, asynchronous=self._settings.asynchronous))
        await self._client.ingest(body, gzip=self._settings.gzip)

    def _wire(self, system_metadata: msgspec.Raw) -> Wire:
        return restli.RestliWire(system_metadata)

    def _require(self, version: str | None) -> None:
        """Raises SettingsError for a server that this endpoint cannot write to: Rest.li can to any."""

    def _compressed(self, body: bytes) -> bytes:
        return zlib.compress(body, GZIP_LEVEL, GZIP_FORMAT) if self._settings.gzip else body
