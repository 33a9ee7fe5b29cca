"""A sink for `--dry-run`: everything is read and mapped, nothing is written."""

from types import TracebackType
from typing import Self

import msgspec

from crawler.datahub.batching import Batch, Packer
from crawler.datahub.encoding import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.sinks.protocol import Store


class DryRunSink:
    """Encodes proposals as the Rest.li endpoint would take them and drops them."""

    lanes = 1
    unsupported: frozenset[tuple[str, str]] = frozenset()
    store: Store | None = None
    proof: str | None = None

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self.wire: Wire = RestliWire(system_metadata)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def packer(self) -> Packer:
        """Batches as Rest.li would take them."""
        return Packer(max_proposals=200, max_bytes=15_000_000)

    async def write(self, batch: Batch) -> None:
        """Drops the batch."""
