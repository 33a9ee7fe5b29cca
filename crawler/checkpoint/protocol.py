"""What a crawl asks of its checkpoint, and the answers where none is kept."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from crawler.checkpoint.acks import WindowAck
from crawler.checkpoint.intervals import EVERYTHING, Bounds

if TYPE_CHECKING:
    from crawler.checkpoint.memory import Memory


class Reducer(Protocol):
    """Holds entities until the end of a crawl."""

    def watch(self) -> None:
        """Note changes from now on, for `snapshot`."""
        ...

    def snapshot(self) -> Iterator[tuple[str, bytes]]:
        """Return the facts of each entity that has changed since the last call, by URN."""
        ...

    def restore(self, facts: bytes) -> None:
        """Take back facts that `snapshot` returned. Raises msgspec.MsgspecError where they are something else."""
        ...


class Progress(Protocol):
    """What an interrupted crawl has done already, and where this one notes what it does.

    `is_kept` says whether a later crawl goes on with it, `memory` what earlier ones have left, where that counts.
    """

    is_kept: bool
    memory: "Memory | None"

    def gaps(self, experiment_id: str) -> list[Bounds]:
        """Return the windows of start times of which not all runs are delivered."""
        ...

    def rows(self, experiment_id: str) -> int:
        """Return how many runs lie in the windows that are done."""
        ...

    def has_read(self, experiment_id: str, start_time: int) -> bool:
        """Return whether the runs of a start time lie in a window that is done, and are counted as read."""
        ...

    def was_delivered(self, urn: str) -> bool:
        """Return True for entities other than runs that the interrupted crawl delivered or gave up."""
        ...

    def new_ack(self, *, whole: bool = True) -> WindowAck | None:
        """Return the ack of a window that is about to be read; None where nobody waits for it.

        A window that is not `whole` has only some of the runs, so it is read again by a crawl that is resumed.
        """
        ...


class NoProgress:
    """The progress of a crawl without checkpoint: nothing is done, nothing is noted."""

    is_kept = False
    memory: "Memory | None" = None

    def gaps(self, experiment_id: str) -> list[Bounds]:  # noqa: ARG002
        """Return all start times."""
        return [EVERYTHING]

    def rows(self, experiment_id: str) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def has_read(self, experiment_id: str, start_time: int) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def was_delivered(self, urn: str) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def new_ack(self, *, whole: bool = True) -> None:  # noqa: ARG002
        """Return no ack."""
        return
