"""One partition of runs, read step by step; what is left of it can be split, by start time or by experiment."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from crawler.mlflow.entities import Run
from crawler.mlflow.paging.keyset import RunCursor
from crawler.mlflow.paging.step import Step
from crawler.mlflow.run_reader import RunReader
from crawler.pipeline.plan import Partition


class RunSource:
    """Reads the runs of one partition, in the order of their start times."""

    def __init__(self, partition: Partition, runs: RunReader, cursor: RunCursor | None = None) -> None:
        """Read through `runs`, from the start of the partition on."""
        self.partition = partition
        self._runs = runs
        self._cursor = cursor or RunCursor(partition.since, partition.until, partition.condition, partition.chosen)

    @property
    def is_done(self) -> bool:
        """Whether all its pages have been read."""
        return self._cursor.query is None

    @property
    def pages_left(self) -> float:
        """How many whole pages there may be behind the next one, as far as the last page tells."""
        return self._cursor.pages_left(self._runs.page_rows)

    async def find_end(self) -> None:
        """Learn where an open end lies, once a page was read, so that the rest can be split among any number."""
        await self._runs.find_end(self.partition.scope, self._cursor)

    def next_step(self, *, hurry: bool) -> AbstractAsyncContextManager[Step[Run]]:
        """Read the next page. With `hurry`, ask for a short one until it is known whether the partition can be split.

        Only one step of a server is decoded at a time: others wait until its context is left.
        """
        short = hurry and self._cursor.is_unproven
        return self._runs.next_page(self.partition.scope, self._cursor, short=short)

    def split(self, parts: int) -> list["RunSource"]:
        """Give later parts of what is left to at most `parts` other sources, each worth some pages."""
        cursors = self._cursor.split(parts, self._runs.page_rows)
        parts_given = [RunSource(self.partition.only(*cursor.bounds), self._runs, cursor) for cursor in cursors]
        if cursors:
            self.partition = self.partition.only(self.partition.since, cursors[0].bounds[0])
        return parts_given

    def of_experiments(self, experiment_ids: Sequence[str]) -> "RunSource":
        """Return a source that goes on in its stead, from where it is, for some of its experiments."""
        partition = self.partition.of_experiments(experiment_ids)
        return RunSource(partition, self._runs, self._cursor.of_experiments(experiment_ids))
