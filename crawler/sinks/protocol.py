"""What every sink offers to the pipeline."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.queue_offsets import QueueOffsets
from crawler.datahub.readback import Expected, Wanted
from crawler.datahub.wire.protocol import Wire


class SinkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a sink once it is open."""

    target: str
    """The URL or path that is written to; empty where nothing is."""
    version: str | None = None
    """DataHub's version; None for a file, and where the server does not tell."""
    writers: int = 1
    """How many batches may be written at once."""
    unsupported: frozenset[tuple[str, str]] = frozenset()
    """(Entity type, aspect) pairs that this DataHub does not know."""
    verification_method: str | None
    """What a delivery rests on where nothing is looked up: "written", "status" or "answer". None: nothing is kept."""
    is_dry_run: bool = False


class Written(msgspec.Struct, frozen=True):
    """What became of a batch that a sink took.

    `verification_method` is as in SinkFacts, for this batch: which one holds may turn out while batches are written.
    """

    verification_method: str | None
    missing: Sequence[tuple[str, str]] = ()
    """(URN, aspect) pairs that were not taken."""


class StoreLookup(Protocol):
    """Reads back what DataHub has stored."""

    each_aspect: bool
    """Whether each aspect is to be proven, not just one of each entity."""
    queued: bool
    """Whether DataHub may store what it took only later."""
    confirm_wait: float
    """How many seconds to wait for what it took while nothing moves."""
    max_unconfirmed: int
    """How many bytes of what waits may be kept on the disk, compressed."""

    @property
    def verification_method(self) -> str:
        """What a delivery rests on that was read back: "read back", "stored", or "present" without system metadata."""
        ...

    async def read_back(
        self, entity_type: str, wanted: Wanted, *, since: int | None = None, expected: Expected | None = None
    ) -> set[tuple[str, str]]:
        """Return the (URN, aspect) pairs that are stored as this crawl, or a later one, wrote them, or as `expected`.

        `since` (ms since epoch) is when another crawl began that wrote them, if one did.

        Raises:
            RequestRefused, WrongServer, DecodeError, AnswerTooLarge: These entities cannot be looked up.
            Unreachable: The same where it timed out, else that nothing can be, like any other error.
        """
        ...

    async def queue_offsets(self) -> QueueOffsets | None:
        """Return how far DataHub is in its queue, None where it does not tell."""
        ...

    async def write_again(self, entities: Sequence[EncodedEntity]) -> None:
        """Write without a queue. What is refused is left out."""
        ...


class Sink(Protocol):
    """An open sink."""

    facts: SinkFacts
    wire: Wire
    lookup: StoreLookup | None
    """None where nothing can be read back, or need not be."""

    def packer(self) -> Packer | PackerByType:
        """Return a packer of batches within the limits of this sink."""
        ...

    async def write(self, batch: Batch) -> Written:
        """Write the batch.

        Raises:
            RequestRefused: This batch was not taken.
            Unreachable: The same where it timed out, else that no batch will be, like any other error.
        """
        ...
