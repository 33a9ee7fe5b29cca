"""DataHub's GMS, through either of its endpoints."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from crawler.datahub.batching import Batch, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.unknown_aspects import named_unknown
from crawler.datahub.versions import patches_status, reads_back, require_openapi, unsupported_aspects
from crawler.datahub.wire.openapi import OpenApiWire
from crawler.datahub.wire.protocol import GmsWire, Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.http import Response, Server
from crawler.http.traffic import Traffic
from crawler.settings.sinks import Confirm, Endpoint, RestSettings
from crawler.sinks.gms_lookup import GmsLookup
from crawler.sinks.gms_writer import GmsWriter
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written
from crawler.telemetry.events import Listener, OutputOpened
from crawler.telemetry.findings.delivery import OLD_DATAHUB, UNVERIFIABLE_VERSION
from crawler.telemetry.timing import Timing


@asynccontextmanager
async def open_gms_sink(
    settings: RestSettings, system_metadata: msgspec.Raw, traffic: Traffic, timing: Timing, listener: Listener
) -> AsyncIterator["GmsSink"]:
    """Connect to a GMS.

    Raises:
        SettingsError: Its version does not have the endpoint of the settings.
        ServerError: It cannot be reached, or is no GMS.
    """
    async with Server("DataHub", settings.server, traffic, counts="sent", is_final=_names_unknown) as server:
        client = GmsClient(server)
        version = await client.version()
        if settings.endpoint is Endpoint.OPENAPI:
            require_openapi(version)
        wire = wire_of(settings, system_metadata, patches_status=patches_status(version, is_cloud=client.is_cloud))
        writer = GmsWriter(client, wire, settings, timing, listener)
        facts = SinkFacts(
            target=server.url,
            version=version,
            writers=settings.server.concurrency,
            unsupported=unsupported_aspects(version),
            verification_method=writer.verification_method,
        )
        listener(OutputOpened(facts.target, version))
        if facts.unsupported:
            names = ", ".join(sorted({aspect for _, aspect in facts.unsupported}))
            listener(OLD_DATAHUB.found(version=version, aspects=names))
        lookup = None
        if needs_lookup(settings):
            if reads_back(version):
                lookup = GmsLookup(client, writer, settings, system_metadata, timing, listener)
            else:
                listener(UNVERIFIABLE_VERSION.found(version=version))
        yield GmsSink(facts, writer, lookup, settings)


_WORDS = 64_000


class GmsSink:
    """Writes to one GMS."""

    def __init__(self, facts: SinkFacts, writer: GmsWriter, lookup: StoreLookup | None, settings: RestSettings) -> None:
        self.facts = facts
        self.wire: Wire = writer.wire
        self.lookup = lookup
        self._writer = writer
        self._asynchronous = settings.asynchronous

    def packer(self) -> Packer | PackerByType:
        """Return a packer of batches as large as the settings allow."""
        return self._writer.packer()

    async def write(self, batch: Batch) -> Written:
        """Send the batch as one request."""
        async with self._writer.gate.shared():
            return await self._writer.write(batch, asynchronous=self._asynchronous)


_WIRES: dict[Endpoint, type[RestliWire] | type[OpenApiWire]] = {
    Endpoint.RESTLI: RestliWire,
    Endpoint.OPENAPI: OpenApiWire,
}


def _names_unknown(response: Response) -> bool:
    """Return whether the answer says that GMS does not know an aspect or entity type: the next one will, too."""
    return named_unknown(response.body[:_WORDS].decode(errors="replace")) is not None


def wire_of(settings: RestSettings, system_metadata: msgspec.Raw, *, patches_status: bool = False) -> GmsWire:
    """Return the wire of the endpoint that is written to."""
    return _WIRES[settings.endpoint](system_metadata, patches_status=patches_status)


def needs_lookup(settings: RestSettings) -> bool:
    """Return whether DataHub is asked for what it stored: answers that list it are enough for ENTITIES."""
    lists_taken = _WIRES[settings.endpoint].lists_taken
    return settings.confirm is Confirm.STORED or (settings.confirm is Confirm.ENTITIES and not lists_taken)
