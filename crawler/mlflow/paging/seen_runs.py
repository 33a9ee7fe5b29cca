"""Runs that a cursor has read and may get again."""

from collections.abc import Callable, Collection
from operator import attrgetter

from crawler.mlflow.deduplicate import deduplicate
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST

run_id: Callable[[Run], str] = attrgetter("info.run_id")

SEEN_AT_MOST = 10_000
"""Run ids that a cursor remembers of one start time."""


class SeenRuns:
    """The ids of runs that started last. `ties` are those that come first again, with the ids of their experiments."""

    def __init__(self) -> None:
        self.ties: dict[str, str] = {}
        self._seen: set[str] = set()
        self._latest = EARLIEST

    def split(self, runs: list[Run]) -> tuple[list[Run], list[Run]]:
        """Return the new ones among these runs, each once, and those that differ from another one of their id."""
        run_ids = set(map(run_id, runs))
        if len(run_ids) == len(runs) and self._seen.isdisjoint(run_ids):
            return [*runs], []
        return deduplicate([run for run in runs if run.info.run_id not in self._seen], run_id)

    def add(self, runs: list[Run]) -> None:
        """Remember runs that may come again.

        Where rows fail or are purged, a cursor steps back among equal start times: more than a page comes again.
        """
        if len(self._seen) > SEEN_AT_MOST:
            self._seen = set(self.ties)
        self._seen = self._seen.union(run.info.run_id for run in runs)

    def go_on_from(self, start_time: int, runs: list[Run], ties: list[Run]) -> None:
        """Remember those of a page's runs, `ties`, that started at `start_time`, the last one of the page."""
        self.ties = {run.info.run_id: run.info.experiment_id for run in ties}
        if start_time > self._latest:
            self._seen = set(self.ties)
        else:
            # The cursor has stepped back: what was read of later ones comes again.
            self.add(runs)

    def reached(self, start_time: int) -> None:
        """Note the last start time of a page."""
        self._latest = max(self._latest, start_time)

    def of_experiments(self, experiment_ids: Collection[str]) -> "SeenRuns":
        """Return a copy for a cursor of some of the experiments."""
        part = SeenRuns()
        part.ties = {run: experiment for run, experiment in self.ties.items() if experiment in experiment_ids}
        part._seen, part._latest = self._seen, self._latest
        return part

    def clear(self) -> None:
        """Forget all runs, because they are read again."""
        self.ties = {}
        self._seen = set()
