"""Which start times of an experiment have been read completely, as windows with the number of their runs."""

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

import msgspec

from crawler.mlflow.entities import Run

EARLIEST = -(2**63)
LATEST = 2**62
"""No start time is later; a database cannot compare with one beyond 2**63."""
UNKNOWN_EXPERIMENT = ""

_experiment_id = attrgetter("info.experiment_id")


class Window(msgspec.Struct, frozen=True):
    """Start times in [since, until) (ms since epoch, None: no bound) whose runs have all been read.

    `rows` counts its runs by experiment id, deleted ones included. Runs that were left out are counted too, under
    UNKNOWN_EXPERIMENT where they may belong to several.
    """

    since: int | None
    until: int | None
    rows: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many runs lie in the window."""
        return sum(self.rows.values())


class Coverage:
    """Counts the runs of the window that is being read, and completes one window after the other."""

    def __init__(self, since: int | None) -> None:
        self._since = since
        self._rows: Counter[str] = Counter()

    def add(self, runs: list[Run]) -> None:
        """Count runs that were read from the current window on, in the order of start time."""
        self._rows.update(map(_experiment_id, runs))

    def add_unordered(self, runs: Iterable[Run], until: int | None) -> None:
        """Count those of these runs that lie between the start of the current window and `until`."""
        since = EARLIEST if self._since is None else self._since
        end = LATEST if until is None else until
        self.add([run for run in runs if run.info.start_time is not None and since <= run.info.start_time < end])

    def skip(self, rows: int) -> None:
        """Count runs that were left out."""
        if rows:
            self._rows[UNKNOWN_EXPERIMENT] += rows

    def restart(self) -> None:
        """Forget what was counted of the current window: it is read again."""
        self._rows.clear()

    def of_experiments(self, experiment_ids: Iterable[str]) -> "Coverage":
        """Return a copy that counts on for some of the experiments."""
        part = Coverage(self._since)
        part._rows.update({each: self._rows[each] for each in experiment_ids})
        return part

    def complete(self, until: int | None, beyond: Iterable[str] = ()) -> Window:
        """Return the window that ends before `until`, without the runs `beyond`, named by their experiment ids.

        The next window begins with these.
        """
        following = Counter(beyond)
        self._rows.subtract(following)
        window = Window(self._since, until, {each: rows for each, rows in self._rows.items() if rows})
        self._since, self._rows = until, following
        return window
