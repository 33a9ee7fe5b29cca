"""What every sink offers to the pipeline."""

from types import TracebackType
from typing import Protocol, Self

from crawler.datahub.batches import Batch
from crawler.datahub.proposals import Proposal


class Sink(Protocol):
    """Where proposals go. Opened and closed by `async with`; raises SettingsError or ServerError where it cannot be
    opened.

    `lanes` is how many batches may be written at once, `max_proposals` and `max_bytes` how large one may be,
    `unsupported` the (entity type, aspect) that this DataHub does not know.
    """

    lanes: int
    max_proposals: int
    max_bytes: int
    unsupported: frozenset[tuple[str, str]]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def encode(self, proposal: Proposal) -> bytes:
        """The proposal as this sink writes it."""
        ...

    async def write(self, batch: Batch) -> None:
        """Delivers the batch. RequestRefused: this batch was not taken; any other error: no batch will be."""
        ...
