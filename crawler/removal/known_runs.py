"""What a state on this machine tells of runs: no checkpoint has them, and MLflow lists none that was purged."""

from collections.abc import Iterable, Iterator
from typing import Protocol


class KnownRuns(Protocol):
    """The runs that earlier crawls delivered, without those that were marked as removed since."""

    def count(self) -> int:
        """Return how many there are."""
        ...

    def forget(self, urns: Iterable[str]) -> None:
        """Forget runs that DataHub does not show, as it should not."""
        ...

    def unseen_runs(self) -> Iterator[str]:
        """Yield the URNs of those that this crawl has not read, neither active nor deleted. It has read all runs."""
        ...
