"""What every sink offers to the pipeline."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.encoding import Wire
from crawler.datahub.readback import Wanted


class Store(Protocol):
    """What DataHub has stored, as far as it can be read back.

    `each_aspect` says that each is to be proven, not one of each entity. `queued` says that what was taken may be
    stored only later.
    """

    each_aspect: bool
    queued: bool

    async def read_back(self, entity_type: str, wanted: Wanted) -> set[tuple[str, str]]:
        """The (URN, aspect) that this crawl has written. RequestRefused, WrongServer, DecodeError, AnswerTooLarge or
        an Unreachable that timed out: that cannot be told of these, any other error: of none.
        """
        ...

    async def write_again(self, parcels: Sequence[EncodedEntity]) -> None:
        """Writes at once, without a queue. What is refused now is left out."""
        ...


class Sink(Protocol):
    """Where proposals go. Opened and closed by `async with`; raises SettingsError or ServerError where it cannot be
    opened.

    `lanes` is how many batches may be written at once, `wire` the form of their proposals, `unsupported` the (entity
    type, aspect) that this DataHub does not know. `store` tells what arrived; where there is none, `proof` names what
    that rests on: that it was written, the answer's status or the answer. None: nothing is kept.
    """

    lanes: int
    wire: Wire
    unsupported: frozenset[tuple[str, str]]
    store: Store | None
    proof: str | None

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
