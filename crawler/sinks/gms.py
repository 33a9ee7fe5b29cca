"""DataHub's GMS, through its Rest.li batch endpoint."""

import zlib
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from crawler.config.settings import Confirm, RestSettings
from crawler.datahub.batching import Batch, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.encoding import Wire
from crawler.datahub.versions import reads_back, unsupported_aspects
from crawler.datahub.wire import restli
from crawler.http import Server
from crawler.sinks.gms_store import GmsStore
from crawler.sinks.protocol import Store
from crawler.telemetry.report import CrawlReport

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
        self.store: Store | None = self._store(system_metadata) if self._is_read_back else None
        self.proof: str | None = "status"

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
        if self.store is not None and not reads_back(version):
            self.store = None
            self._report.warn(
                "unconfirmed_by_server",
                f"DataHub {version} is older than 1.0.1 and cannot be asked whether it has what it took: that rests on "
                "the status of its answers.",
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
        await self._send(batch, asynchronous=self._settings.asynchronous)

    @property
    def _is_read_back(self) -> bool:
        return self._settings.confirm is not Confirm.NONE

    def _store(self, system_metadata: msgspec.Raw) -> Store:
        return GmsStore(
            self._client,
            self._report,
            system_metadata,
            self.packer,
            lambda batch: self._send(batch, asynchronous=False),
            each_aspect=self._settings.confirm is Confirm.STORED,
            queued=self._settings.asynchronous,
        )

    async def _send(self, batch: Batch, *, asynchronous: bool) -> None:
        with self._report.time.stage("send"):
            encoded = [proposal for parcel in batch.entities for proposal in parcel.proposals]
            body = self._compressed(restli.body(encoded, asynchronous=asynchronous))
        await self._client.ingest(body, gzip=self._settings.gzip)

    def _wire(self, system_metadata: msgspec.Raw) -> Wire:
        return restli.RestliWire(system_metadata)

    def _require(self, version: str | None) -> None:
        """Raises SettingsError for a server that this endpoint cannot write to: Rest.li can to any."""

    def _compressed(self, body: bytes) -> bytes:
        return zlib.compress(body, GZIP_LEVEL, GZIP_FORMAT) if self._settings.gzip else body
