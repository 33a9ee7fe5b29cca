"""What a state on this machine tells of runs: no checkpoint has them, and MLflow lists none that was purged."""

from collections.abc import Iterator
from typing import Protocol


class KnownRuns(Protocol):
    """The runs that earlier crawls delivered. It hears of removals as any listener does: `Outcome.is_removal`."""

    def count(self) -> int:
        """Return how many there are."""
        ...

    def unseen_runs(self) -> Iterator[str]:
        """Yield the URNs of those that this crawl has not read, neither active nor deleted. It has read all runs."""
        ...
