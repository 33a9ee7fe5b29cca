"""What all stages of one reading share: the client to read with, the mapper, where entities go, what is chosen."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from crawler.checkpoint.protocol import Progress
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.runs import run_urn
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Run
from crawler.pipeline.run_choice import RunChoice
from crawler.settings.selection import Selection
from crawler.telemetry.events import Listener, RunReadAgain

Send = Callable[[Iterable[Entity], Ack | None], Awaitable[None]]
"""Hands entities on, with the ack of their window."""
RemovalsOf = Callable[[Sequence[Run]], Awaitable[list[Entity]]]
"""Returns what marks the deleted ones of some runs as removed."""


class ReadContext(msgspec.Struct, frozen=True, eq=False):
    """What a server, or one workspace of it, is read with.

    Rows that are chosen are mapped with `mapper` and handed to `send`; `listener` hears of them and of what fails. What
    `progress` says is done is not read again. Each stage has at most `workers` requests in flight. Without
    `removals_of`, deleted runs stay in DataHub.
    """

    client: MlflowClient
    mapper: CrawlMapper
    send: Send
    listener: Listener
    progress: Progress
    choice: RunChoice
    workers: int
    removals_of: RemovalsOf | None = None

    @property
    def selection(self) -> Selection:
        """What the settings choose."""
        return self.choice.selection

    def uncounted(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs that are not counted yet. Tell of the others: a crawl that goes on has counted them."""
        uncounted: list[Run] = []
        for run in runs:
            if not self.progress.has_read(run.info.experiment_id, run.info.start_time or 0):
                uncounted.append(run)
            elif self.choice.writes(run):
                self.listener(RunReadAgain(run_urn(run.info.run_id)))
        return uncounted

    def room(self, idle: int) -> int:
        """Return how many more pages MLflow has room for, one at most for each of the `idle` workers."""
        return min(idle, self.client.concurrency - (self.workers - idle))
