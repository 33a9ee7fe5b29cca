"""One record for each entity under way: what of it is still to be decided, and who waits for its end."""

from typing import Protocol

import msgspec


class Ack(Protocol):
    """Counts the entities of one window of a listing: the window is done once all of them are."""

    def add(self, entities: int) -> None:
        """Count entities that are under way from now on."""
        ...

    def owe(self) -> None:
        """Note that something of an entity was not delivered, before it is done."""
        ...

    def done(self, entities: int) -> None:
        """Count entities of which nothing is under way any more."""
        ...


class Pending(msgspec.Struct, gc=False):
    """The fate of one entity, shared by all pieces in which it is sent.

    `outstanding` proposals are undecided; 0 ends the record. `delivered`, `rejected` and `unconfirmed` count the
    others, `method` is the verification method of those delivered. `kept` is False where one that is not delivered
    could not be written to its file. `ack` counts it in its window. `is_removal` tells an entity that is only marked as
    removed, `is_unchanged` one that need not be sent.
    """

    outstanding: int = 0
    delivered: int = 0
    rejected: int = 0
    method: str | None = None
    kept: bool = True
    ack: Ack | None = None
    unconfirmed: int = 0
    is_removal: bool = False
    is_unchanged: bool = False
