"""What every sink offers to the pipeline."""

from types import TracebackType
from typing import Protocol, Self

from crawler.datahub.batches import Batch, Packer, PackerByType
from crawler.datahub.proposals import Proposal


class Sink(Protocol):
    """Where proposals go. Opened and closed by `async with`; raises SettingsError or ServerError where it cannot be
    opened.

    `lanes` is how many batches may be written at once, `unsupported` the (entity type, aspect) that this DataHub does
    not know.
    """

    lanes: int
    unsupported: frozenset[tuple[str, str]]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def packer(self) -> Packer | PackerByType:
        """What fills the batches of one lane, within the limits of this sink."""
        ...

    def encode(self, proposal: Proposal) -> bytes:
        """The proposal as this sink writes it."""
        ...

    async def write(self, batch: Batch) -> None:
        """Delivers the batch. RequestRefused: this batch was not taken; NotTaken: some of it was not; any other error:
        no batch will be.
        """
        ...
