"""A sink for `--dry-run`: everything is read, mapped, encoded and packed, and nothing is written."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import structs

from crawler.datahub.batching import Batch, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.versions import patches_status, unsupported_aspects
from crawler.datahub.wire.protocol import GmsWire, Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.errors import CrawlerError
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.settings.sinks import RestSettings, SinkSettings
from crawler.sinks.gms import needs_lookup, wire_of
from crawler.sinks.protocol import Sink, SinkFacts, StoreLookup, Written
from crawler.telemetry.events import BatchPlanned, Listener, OutputOpened, OutputProbed
from crawler.telemetry.findings.comparison import NOT_PROBED

PROBES = 3
PROBE_ATTEMPTS = 2

_FACTS = SinkFacts(target="", verification_method=None, is_dry_run=True)


@asynccontextmanager
async def open_dry_run_sink(
    sink: SinkSettings, system_metadata: msgspec.Raw, traffic: Traffic, listener: Listener
) -> AsyncIterator[Sink]:
    """Open a sink that packs what it gets as the sink of the settings would, and drops it.

    DataHub is asked for its version and how fast it answers. Where it cannot be reached, that is a warning.
    """
    if not isinstance(sink, RestSettings):
        yield DroppingSink(system_metadata)
        return
    version, patches = await _probe(sink, traffic, listener)
    facts = structs.replace(
        _FACTS, version=version, unsupported=unsupported_aspects(version), writers=sink.server.concurrency
    )
    yield PlanningSink(sink, wire_of(sink, system_metadata, patches_status=patches), facts, listener)


class DroppingSink:
    """Encodes proposals for the Rest.li endpoint and drops them."""

    facts = _FACTS
    lookup: StoreLookup | None = None

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self.wire: Wire = RestliWire(system_metadata)

    def packer(self) -> Packer:
        """Return a packer of batches as Rest.li takes them."""
        return Packer(max_proposals=200, max_bytes=15_000_000)

    async def write(self, batch: Batch) -> Written:  # noqa: ARG002  it is dropped
        """Drop the batch."""
        return Written(None)


class PlanningSink:
    """Makes the requests that would be sent to DataHub, says how large they are, and drops them."""

    lookup: StoreLookup | None = None

    def __init__(self, settings: RestSettings, wire: GmsWire, facts: SinkFacts, listener: Listener) -> None:
        self.facts = facts
        self.wire: Wire = wire
        self._wire = wire
        self._settings = settings
        self._listener = listener

    def packer(self) -> Packer | PackerByType:
        """Return a packer of batches as large as the settings allow."""
        return self._wire.packer(self._settings.batch_size, self._settings.batch_bytes)

    async def write(self, batch: Batch) -> Written:
        """Drop the batch, once its requests are made."""
        requests = self._wire.requests(batch, asynchronous=self._settings.asynchronous)
        proposals: Counter[str] = Counter()
        for entity in batch.entities:
            proposals[entity.entity_type] += len(entity.proposals)
        self._listener(BatchPlanned(dict(proposals), len(requests), sum(len(each.body) for each in requests)))
        return Written(None)


async def _probe(sink: RestSettings, traffic: Traffic, listener: Listener) -> tuple[str | None, bool]:
    """Return DataHub's version and whether its status is patched, and tell how long it takes for an answer."""
    impatient = structs.replace(sink.server, attempts=PROBE_ATTEMPTS, patience=0.0)
    clock = asyncio.get_running_loop().time
    try:
        async with Server("DataHub", impatient, traffic, counts="sent") as server:
            client = GmsClient(server)
            # The first one makes the connection.
            version = await client.version()
            begin = clock()
            for _ in range(PROBES):
                await client.version()
            listener(OutputOpened(server.url, version))
            listener(OutputProbed((clock() - begin) / PROBES, sink.server.concurrency, needs_lookup(sink)))
    except CrawlerError as error:
        listener(NOT_PROBED.found(str(error)))
        return None, False
    return version, patches_status(version, is_cloud=client.is_cloud)
