"""What every sink offers to the pipeline."""

from types import TracebackType
from typing import Protocol, Self

from crawler.datahub.batches import Batch, Packer, PackerByType
from crawler.datahub.encoding import Wire


class Sink(Protocol):
    """Where proposals go. Opened and closed by `async with`; raises SettingsError or ServerError where it cannot be
    opened.

    `lanes` is how many batches may be written at once, `wire` the form of their proposals, `unsupported` the (entity
    type, aspect) that this DataHub does not know.
    """

    lanes: int
    wire: Wire
    unsupported: frozenset[tuple[str, str]]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def packer(self) -> Packer | PackerByType:
        """What fills batches, within the limits of this sink."""
        ...

    async def write(self, batch: Batch) -> None:
        """Delivers the batch. RequestRefused: this batch was not taken; NotTaken: some of it was not; any other error:
        no batch will be.
        """
        ...
