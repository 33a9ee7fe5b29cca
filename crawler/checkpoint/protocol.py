"""What a crawl asks of its checkpoint, and the answers where none is kept."""

from typing import Protocol

from crawler.checkpoint.acks import WindowAck
from crawler.checkpoint.intervals import EVERYTHING, Bounds


class Progress(Protocol):
    """What an interrupted crawl has done already, and where this one notes what it does.

    `is_kept` says whether a later crawl goes on with it.
    """

    is_kept: bool

    def gaps(self, experiment_id: str) -> list[Bounds]:
        """Return the windows of start times of which not all runs are delivered."""
        ...

    def rows(self, experiment_id: str) -> int:
        """Return how many runs lie in the windows that are done."""
        ...

    def was_delivered(self, urn: str) -> bool:
        """Return True for entities other than runs that the interrupted crawl delivered or gave up."""
        ...

    def new_ack(self) -> WindowAck | None:
        """Return the ack of a window that is about to be read; None where nobody waits for it."""
        ...


class NoProgress:
    """The progress of a crawl without checkpoint: nothing is done, nothing is noted."""

    is_kept = False

    def gaps(self, experiment_id: str) -> list[Bounds]:  # noqa: ARG002
        """Return all start times."""
        return [EVERYTHING]

    def rows(self, experiment_id: str) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def was_delivered(self, urn: str) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def new_ack(self) -> None:
        """Return no ack."""
        return
