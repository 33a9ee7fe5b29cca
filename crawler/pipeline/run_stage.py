"""The stage of runs: many partitions, read by several workers that share the last ones."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import msgspec

from crawler.checkpoint.protocol import Progress
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Run
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.plan import Partition
from crawler.pipeline.source import RunSource
from crawler.pipeline.windows import WindowTracker, split_at
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.telemetry.events import ExperimentDone, Listener, RowsRead, RowsSkipped
from crawler.telemetry.findings import EXPERIMENT_UNREAD, UNREADABLE

Send = Callable[[Iterable[Entity], Ack | None], Awaitable[None]]
"""Hands entities on, with the ack of their window."""


class Scope(msgspec.Struct, eq=False):
    """The experiments of one or several partitions: how many sources still read them, and whether one has failed."""

    names: dict[str, str]
    sources: int
    failed: bool = False


class RunStage:
    """Reads the runs of partitions with at most `workers` pages at a time, and sends what they map to."""

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        send: Send,
        listener: Listener,
        progress: Progress,
        workers: int,
    ) -> None:
        """Map each run with `mapper`, hand its entities to `send`."""
        self._client = client
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._progress = progress
        self._workers = workers
        self._reading: dict[RunSource, Scope] = {}

    async def read(self, partitions: AsyncIterator[tuple[Scope, Partition]]) -> None:
        """Read all partitions to their ends. What fails is a finding, unless the server does."""

        async def sources() -> AsyncIterator[tuple[Scope, RunSource]]:
            async for scope, partition in partitions:
                yield scope, RunSource(partition, self._client.runs)

        await work_through(sources(), self._read, self._workers, self._steal)

    async def _read(self, work: tuple[Scope, RunSource], queue: WorkStealingQueue[tuple[Scope, RunSource]]) -> None:
        scope, source = work
        self._reading[source] = scope
        windows = WindowTracker(source.partition.scope, self._progress.new_ack)
        try:
            while not source.is_done:
                await self._step(scope, source, windows, queue)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._fail(scope, error)
        del self._reading[source]
        scope.sources -= 1
        if not scope.sources:
            self._mapper.forget(scope.names)
            for _ in scope.names:
                self._listener(ExperimentDone())

    async def _step(
        self,
        scope: Scope,
        source: RunSource,
        windows: WindowTracker,
        queue: WorkStealingQueue[tuple[Scope, RunSource]],
    ) -> None:
        """Send the entities of one page, and share what is left of the partition with idle workers."""
        async with source.next_step(hurry=self._room(queue) > 0) as step:
            for part in self._split(scope, source, self._room(queue)):
                queue.give(part)
            for text in step.unreadable:
                self._listener(UNREADABLE["runs"].found(text))
            self._count(step.rows)
            inside, beyond = split_at(step.rows.copy(), step.window)
            step.rows.clear()
            await self._send_runs(inside, windows)
            if step.window is not None:
                windows.end(step.window)
            await self._send_runs(beyond, windows)

    async def _send_runs(self, runs: list[Run], windows: WindowTracker) -> None:
        windows.count(runs)
        await self._send((entity for run in _let_go(runs) for entity in self._mapper.run(run)), windows.ack)

    def _count(self, runs: list[Run]) -> None:
        deleted = sum(run.deleted for run in runs)
        self._listener(RowsRead("runs", len(runs) - deleted))
        if deleted:
            self._listener(RowsSkipped("deleted runs", deleted))

    def _fail(self, scope: Scope, error: CrawlerError) -> None:
        """Name the experiments of a scope whose runs cannot be read to the end, once."""
        for experiment_id, name in scope.names.items():
            sample = f"{experiment_id} {name}: {error}"
            self._listener(EXPERIMENT_UNREAD.found(sample, count=int(not scope.failed)))
            self._client.runs.null_start_times.stop_counting(experiment_id)
        scope.failed = True

    def _steal(self, queue: WorkStealingQueue[tuple[Scope, RunSource]]) -> tuple[Scope, RunSource] | None:
        """Return a part of the source with most pages left that can give one, where MLflow has room for one more."""
        if self._room(queue) < 1:
            return None
        for source in sorted(self._reading, key=lambda source: source.pages_left, reverse=True):
            for part in self._split(self._reading[source], source, 1):
                return part
        return None

    def _split(self, scope: Scope, source: RunSource, parts: int) -> list[tuple[Scope, RunSource]]:
        given = source.split(parts)
        scope.sources += len(given)
        return [(scope, part) for part in given]

    def _room(self, queue: WorkStealingQueue[tuple[Scope, RunSource]]) -> int:
        """Return how many more sources MLflow has room for."""
        return min(queue.idle, self._client.concurrency - (self._workers - queue.idle))


def _let_go(runs: list[Run]) -> Iterator[Run]:
    """Yield the runs, each of which leaves the list.

    Its memory is free, and still in the processor's cache, for what the next one is mapped to.
    """
    runs.reverse()
    while runs:
        yield runs.pop()
