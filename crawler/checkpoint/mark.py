"""Knows when all that was read in one window of start times has been delivered, or given up."""

from collections.abc import Callable
from typing import NamedTuple


class Window(NamedTuple):
    """Runs of one experiment that started from `since` on and before `until` (ms since epoch, None for an open end).

    `rows` of them are there, of which `runs` were read and `deleted` are in the trash.
    """

    experiment_id: str
    since: int | None
    until: int | None
    rows: int
    runs: int
    deleted: int


class Mark:
    """What the entities of a window carry. The window is done when it was sealed and each entity that was added has
    been settled; it is told once.
    """

    __slots__ = ("_done", "_outstanding", "_window", "deleted", "runs")

    def __init__(self, done: Callable[[Window], None] = lambda _window: None) -> None:
        self._done = done
        self._outstanding = 0
        self._window: Window | None = None
        self.runs = 0
        self.deleted = 0

    def add(self, entities: int) -> None:
        """Count entities that are under way from now on."""
        self._outstanding += entities

    def done(self, entities: int) -> None:
        """Count entities that have arrived, or are given up."""
        self._outstanding -= entities
        self._tell()

    def seal(self, window: Window) -> None:
        """Nothing more will be added: this is the window."""
        self._window = window
        self._tell()

    def _tell(self) -> None:
        if self._window is not None and self._outstanding == 0:
            window, self._window = self._window, None
            self._done(window)
