"""The stage of runs: many partitions, read by several workers that share the last ones."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import chain

import msgspec

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import BAD_REQUEST
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mlflow.entities import Run
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import is_of_one_request
from crawler.mlflow.run_traits import RunTraits
from crawler.pipeline.experiment_sets import ExperimentSet, ExperimentState, even_slices
from crawler.pipeline.metric_histories import MetricHistories
from crawler.pipeline.model_files import ModelFiles
from crawler.pipeline.parent_runs import ParentRuns
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.run_choice import shown_name
from crawler.pipeline.source import RunSource
from crawler.pipeline.windows import WindowTracker, split_at
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.telemetry.events import ExperimentDone, RowsRead, RowsSkipped, rows_left_out
from crawler.telemetry.findings.reading import CHANGES_UNTOLD, EXPERIMENT_UNREAD, LISTING_UNREAD, row_findings

REMEMBERED_RUNS = 100_000
"""Of a crawl that asks for runs by several conditions, which one run may meet, one after the other."""


class Reading(msgspec.Struct, eq=False):
    """A source that is read, or waits for a worker, with the state of its experiments and the window at hand."""

    source: RunSource
    experiments: dict[str, ExperimentState]
    windows: WindowTracker


Queue = WorkStealingQueue[Reading]


class RunStage:
    """Reads the runs of partitions, several pages at a time, and sends what they map to."""

    def __init__(
        self, context: ReadContext, parents: ParentRuns, files: ModelFiles, histories: MetricHistories
    ) -> None:
        self._context = context
        self._parents = parents
        self._files = files
        self._histories = histories
        self._underway: dict[Reading, None] = {}
        """In the order in which they were begun, so that the same one is split each time."""
        # Parts of sets that were taken apart. They are read before what is not begun yet.
        self._parts: list[Reading] = []
        self._is_answered = False
        self._missing: CrawlerError | None = None
        """The refusal of a server that has no search of runs."""
        self._tells_changes = True
        """Whether the server takes conditions that are no start times."""
        memory = context.progress.memory
        is_full = memory is None or memory.scope.is_full
        self._seen = None if is_full else SeenKeys(REMEMBERED_RUNS)

    async def read(self, sets: AsyncIterator[ExperimentSet]) -> None:
        """Read all sets to their ends. What fails is a finding, unless the server does.

        A server that has no search of runs is asked once.
        """

        async def readings() -> AsyncIterator[Reading]:
            async for each in sets:
                for partition in each.partitions:
                    yield self._reading(RunSource(partition, self._context.client.runs), each.experiments)

        await work_through(readings(), self._work, self._context.workers, self._steal)
        if self._missing is not None:
            self._context.listener(LISTING_UNREAD[RUNS.name].found(str(self._missing)))

    async def _work(self, reading: Reading, queue: Queue) -> None:
        await self._read(reading, queue)
        while self._parts:
            await self._read(self._parts.pop(), queue)

    async def _read(self, reading: Reading, queue: Queue) -> None:
        """Read to the end, or until a failure or the server's limit asks for fewer experiments."""
        if self._missing is not None:
            self._note_unread(reading)
            self._end(reading)
            return
        if reading.source.partition.has_filter and not self._tells_changes:
            reading = self._without_condition(reading)
        limit = self._context.client.runs.experiment_ids
        if len(reading.experiments) > limit.ids:
            self._take_apart(reading, limit.ids, queue)
            return
        self._underway[reading] = None
        try:
            while not reading.source.is_done:
                await self._step(reading, queue)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            if is_missing(error) and not self._is_answered:
                self._missing = error
                self._underway.pop(reading, None)
                self._note_unread(reading)
                self._end(reading)
                return
            several = len(reading.experiments)
            if several > 1:
                self._underway.pop(reading, None)
                self._take_apart(reading, min(limit.ids, (several + 1) // 2), queue)
                return
            if self._refuses_condition(reading, error):
                self._underway.pop(reading, None)
                await self._read(reading, queue)
                return
            self._fail(reading, error)
        self._underway.pop(reading, None)
        self._end(reading)

    def _refuses_condition(self, reading: Reading, error: CrawlerError) -> bool:
        """Return whether the server may not know what it is to filter by: then no condition is asked for any more."""
        is_refused = isinstance(error, RequestRefused) and error.status == BAD_REQUEST
        if not reading.source.partition.has_filter or not is_refused:
            return False
        if self._tells_changes:
            self._context.listener(CHANGES_UNTOLD.found(str(error)))
        self._tells_changes = False
        return True

    def _without_condition(self, reading: Reading) -> Reading:
        """Return what reads all runs of these start times in its stead."""
        source = RunSource(reading.source.partition.whole(), self._context.client.runs)
        return Reading(source, reading.experiments, reading.windows)

    def _note_unread(self, reading: Reading) -> None:
        if self._context.progress.memory is not None:
            self._context.progress.memory.experiments.forget(reading.experiments)

    def _end(self, reading: Reading) -> None:
        for experiment_id, state in reading.experiments.items():
            state.sources -= 1
            if not state.sources:
                self._context.mapper.forget([experiment_id])
                self._context.listener(ExperimentDone())

    def _take_apart(self, reading: Reading, size: int, queue: Queue) -> None:
        """Let parts of at most `size` experiments go on in its stead; idle workers get theirs at once."""
        scopes = even_slices(reading.source.partition.scope, size)
        parts = [
            Reading(reading.source.of_experiments(scope), {each: reading.experiments[each] for each in scope}, windows)
            for scope, windows in zip(scopes, reading.windows.take_apart(scopes), strict=True)
        ]
        self._parts += reversed(parts)
        while len(self._parts) > 1 and self._room(queue) > 0:
            queue.give(self._parts.pop())

    def _reading(self, source: RunSource, experiments: dict[str, ExperimentState]) -> Reading:
        new_ack = partial(self._context.progress.new_ack, whole=not source.partition.condition)
        return Reading(source, experiments, WindowTracker(source.partition.scope, new_ack))

    async def _step(self, reading: Reading, queue: Queue) -> None:
        """Send the entities of one page, and share what is left of the partition with idle workers."""
        windows = reading.windows
        if hurry := self._room(queue) > 0:
            await reading.source.find_end()
        async with reading.source.next_step(hurry=hurry) as step:
            self._is_answered = True
            for part in self._split(reading, self._room(queue)):
                queue.give(part)
            for finding in row_findings("runs", step.unreadable, step.mended):
                self._context.listener(finding)
            runs = step.rows if self._seen is None else self._unseen(step.rows, self._seen)
            # What another condition brought is not counted here: a crawl that goes on reads the window again.
            is_partial = len(runs) < len(step.rows)
            if is_partial:
                windows.go_on_as(self._context.progress.new_ack(whole=False))
            runs, left_out = self._context.choice.divide(runs)
            self._count(runs, left_out)
            inside, beyond = split_at(runs.copy(), step.window)
            left_inside, left_beyond = split_at(left_out, step.window)
            runs.clear()
            step.rows.clear()
            await self._send_left_out(left_inside, windows)
            await self._send_runs(inside, windows, step.traits)
            if step.window is not None:
                windows.end(step.window)
                if is_partial:
                    windows.go_on_as(self._context.progress.new_ack(whole=False))
            await self._send_left_out(left_beyond, windows)
            await self._send_runs(beyond, windows, step.traits)

    def _unseen(self, runs: list[Run], seen: SeenKeys) -> list[Run]:
        """Return the runs that no other condition has brought: what is sent of one has no order."""
        return [run for run in runs if seen.add_if_new(run.info.run_id)]

    async def _send_runs(self, runs: list[Run], windows: WindowTracker, traits: RunTraits) -> None:
        deleted = self._context.choice.writes_deleted
        windows.count(runs, writes_deleted=deleted)
        parents = await self._parents.of(runs, may_have_any=traits.may_have_parents)
        await self._files.read_of_runs(runs)
        removals = [] if self._context.removals_of is None else await self._context.removals_of(runs)
        map_run = partial(
            self._context.mapper.run,
            parents=parents,
            writes_deleted=deleted,
            is_clean=not traits.may_have_credentials,
        )
        for part in self._histories.parts(runs):
            async with self._histories.read(part):
                await self._context.send(chain.from_iterable(map(map_run, _let_go(part))), windows.ack)
        if removals:
            await self._context.send(removals, windows.ack)

    async def _send_left_out(self, left_out: list[Run], windows: WindowTracker) -> None:
        """Count runs that are not chosen, and send the versions that they made."""
        windows.count_left_out(left_out)
        if left_out:
            await self._files.read_of_runs(left_out)
            versions = map(self._context.mapper.found_run, _let_go(left_out))
            await self._context.send(chain.from_iterable(versions), windows.ack)

    def _count(self, runs: list[Run], left_out: list[Run]) -> None:
        if self._seen is not None:
            runs, left_out = self._context.uncounted(runs), self._context.uncounted(left_out)
        deleted = 0 if self._context.choice.writes_deleted else sum(run.deleted for run in runs)
        self._context.listener(RowsRead(RUNS.name, len(runs) - deleted))
        if deleted:
            self._context.listener(RowsSkipped("deleted runs", deleted))
        if left_out:
            self._context.listener(rows_left_out(RUNS.name, left_out, shown_name))

    def _fail(self, reading: Reading, error: CrawlerError) -> None:
        """Name an experiment whose runs cannot be read to the end, once. The next crawl reads all of them."""
        self._note_unread(reading)
        for experiment_id, state in reading.experiments.items():
            sample = f"{experiment_id} {state.name}: {error}"
            self._context.listener(EXPERIMENT_UNREAD.found(sample, count=int(not state.failed)))
            self._context.client.runs.null_start_times.stop_counting(experiment_id)
            state.failed = True

    def _steal(self, queue: Queue) -> Reading | None:
        """Return a part that waits, or one of the source with most pages left, where MLflow has room for one more."""
        if self._room(queue) < 1:
            return None
        if self._parts:
            return self._parts.pop()
        for reading in sorted(self._underway, key=lambda reading: reading.source.pages_left, reverse=True):
            for part in self._split(reading, 1):
                return part
        return None

    def _split(self, reading: Reading, parts: int) -> Sequence[Reading]:
        given = reading.source.split(parts)
        for state in reading.experiments.values() if given else ():
            state.sources += len(given)
        return [self._reading(part, reading.experiments) for part in given]

    def _room(self, queue: Queue) -> int:
        """Return how many more sources MLflow has room for."""
        return self._context.room(queue.idle)


def _let_go(runs: list[Run]) -> Iterator[Run]:
    """Yield the runs, each of which leaves the list.

    Its memory is free, and still in the processor's cache, for what the next one is mapped to.
    """
    runs.reverse()
    while runs:
        yield runs.pop()
