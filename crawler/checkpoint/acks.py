"""Knows when all that was read in one window of start times has been delivered, or given up."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

RUN = "dataProcessInstance"


class Window(NamedTuple):
    """Runs of one experiment that started from `since` on and before `until` (ms since epoch, None for an open end).

    `rows` of them are there, of which `runs` were read, `deleted` are in the trash and `left_out` are not chosen.
    Something of it is `owed` to DataHub where not all was delivered.
    """

    experiment_id: str
    since: int | None
    until: int | None
    rows: int
    runs: int
    deleted: int
    left_out: int = 0
    owed: bool = False


class WindowAck:
    """Counts the entities of a window that are under way.

    The window is done once it was sealed and each of its entities is; then `done_windows` hears of it, once, and of how
    many of its runs all was delivered.
    """

    __slots__ = ("_delivered", "_done_windows", "_outstanding", "_owed", "_windows")

    def __init__(self, done_windows: Callable[[Sequence[Window], int], None]) -> None:
        """Begin with no entity."""
        self._done_windows = done_windows
        self._delivered = 0
        self._outstanding = 0
        self._owed = False
        self._windows: Sequence[Window] | None = None

    def add(self, entities: int) -> None:
        """Count entities that are under way from now on."""
        self._outstanding += entities

    def done(self, entity_type: str, *, whole: bool) -> None:
        """Count an entity of which nothing is under way any more. What was not delivered whole is owed."""
        if not whole:
            self._owed = True
        elif entity_type == RUN:
            self._delivered += 1
        self._outstanding -= 1
        self._finish()

    def seal(self, windows: Sequence[Window]) -> None:
        """Say that nothing more will be added: this is the window, once for each experiment in it."""
        self._windows = windows
        self._finish()

    def hand_over(self, others: Sequence["WindowAck"]) -> None:
        """Say that nothing more will be added: the window goes on as others, which are not done before this one is."""
        for other in others:
            other.add(1)

        def done(_: Sequence[Window], delivered: int) -> None:
            for other in others:
                other.take_over(delivered, owed=self._owed)
                delivered = 0

        self._done_windows = done
        self.seal([])

    def take_over(self, delivered: int, *, owed: bool) -> None:
        """Count the window that goes on as this one, which is done, and so many delivered runs of it."""
        self._owed |= owed
        self._delivered += delivered
        self._outstanding -= 1
        self._finish()

    def _finish(self) -> None:
        if self._windows is not None and self._outstanding == 0:
            windows, self._windows = self._windows, None
            windows = [each._replace(owed=True) for each in windows] if self._owed else windows
            self._done_windows(windows, self._delivered)
