"""Knows when all that was read in one window of start times has been delivered, or given up."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


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

    The window is done once it was sealed and each of its entities is; then `done_windows` hears of it, once.
    """

    __slots__ = ("_done_windows", "_outstanding", "_owed", "_windows")

    def __init__(self, done_windows: Callable[[Sequence[Window]], None]) -> None:
        """Begin with no entity."""
        self._done_windows = done_windows
        self._outstanding = 0
        self._owed = False
        self._windows: Sequence[Window] | None = None

    def add(self, entities: int) -> None:
        """Count entities that are under way from now on."""
        self._outstanding += entities

    def done(self, entities: int) -> None:
        """Count entities of which nothing is under way any more."""
        self._outstanding -= entities
        self._finish()

    def owe(self) -> None:
        """Say that something of an entity was not delivered: the windows are owed."""
        self._owed = True

    def seal(self, windows: Sequence[Window]) -> None:
        """Say that nothing more will be added: this is the window, once for each experiment in it."""
        self._windows = windows
        self._finish()

    def hand_over(self, others: Sequence["WindowAck"]) -> None:
        """Say that nothing more will be added: the window goes on as others, which are not done before this one is."""
        for other in others:
            other.add(1)

        def done(_: Sequence[Window]) -> None:
            for other in others:
                if self._owed:
                    other.owe()
                other.done(1)

        self._done_windows = done
        self.seal([])

    def _finish(self) -> None:
        if self._windows is not None and self._outstanding == 0:
            windows, self._windows = self._windows, None
            self._done_windows([each._replace(owed=True) for each in windows] if self._owed else windows)
