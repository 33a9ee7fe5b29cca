"""What fills a delivery."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from crawler.delivery.delivery import Delivery


class Feed(Protocol):
    """What fills a delivery, chunk by chunk. It raises at its end what went wrong, after all that it could hand on."""

    def __aiter__(self) -> AsyncIterator["Chunk"]:
        """Return the chunks, in order."""
        ...

    def drain(self) -> Iterator["Chunk"]:
        """Remove and return the chunks that were not iterated over, where all ends at once."""
        ...


class Chunk(Protocol):
    """Some entities to deliver."""

    def add_to(self, delivery: "Delivery") -> None:
        """Add them."""
        ...
