"""A sink for `--dry-run`: everything is read, mapped and encoded, and nothing is written."""

import msgspec

from crawler.datahub.batching import Batch, Packer
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written


class DryRunSink:
    """Encodes proposals for the Rest.li endpoint and drops them."""

    facts = SinkFacts(target="", verification_method=None, is_dry_run=True)
    lookup: StoreLookup | None = None

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self.wire: Wire = RestliWire(system_metadata)

    def packer(self) -> Packer:
        """Return a packer of batches as Rest.li takes them."""
        return Packer(max_proposals=200, max_bytes=15_000_000)

    async def write(self, batch: Batch) -> Written:  # noqa: ARG002  it is dropped
        """Drop the batch."""
        return Written(None)
