"""The order of reading: stages, models, versions, experiments with their runs, and what is left over of each."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

import msgspec

from crawler.checkpoint import Checkpoint
from crawler.checkpoint.mark import Mark
from crawler.crawl.windows import WindowTracker, parted
from crawler.crawl.work_stealing import WorkStealingQueue, work_through
from crawler.datahub.proposals import Entity
from crawler.delivery import Delivery
from crawler.errors import CrawlerError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import EXPERIMENTS_A_PAGE, ExperimentsMissing, MlflowClient, RegistryMissing
from crawler.mlflow.entities import Experiment, Run
from crawler.mlflow.paging.keyset import RunWalk
from crawler.mlflow.quirks.null_start_time import EXPERIMENT_IDS_A_REQUEST
from crawler.mlflow.row_errors import is_of_one_request
from crawler.telemetry.report import CrawlReport

RUN_IDS_A_REQUEST = 200
ENTITIES_AT_ONCE = 100

EXPERIMENTS_MISSING = (
    "MLflow is older than 1.28.0 and cannot list experiments, so experiments and runs are skipped. Upgrade MLflow."
)
REGISTRY_MISSING = "This MLflow keeps its data where no model registry can be, so there are no registered models."
EXPERIMENT_UNREAD = "The runs of an experiment could not be read to the end."
UNTIMED_UNKNOWN = (
    "Whether an experiment has runs without start_time, which MLflow cannot list, could not be told. Run it again."
)
RUNS_UNREAD = "The runs of some model versions could not be read, so these carry no params and metrics."
RUNS_NOT_REACHED = (
    "It ended before the runs of these model versions were read, so the versions were not sent. Run it again."
)
RUNS_LOST = "Model versions name runs that MLflow cannot give, so they carry no params and metrics."

Item = TypeVar("Item")


class _Reading(msgspec.Struct):
    """An experiment whose runs are being read, by so many walks at once."""

    experiment: Experiment
    walks: int = 1
    failed: bool = False


_Stretch = tuple[_Reading, RunWalk]


class Reader:
    """Reads one MLflow server once, with at most `workers` pages of runs at a time, and hands the delivery what they
    map to. What an earlier crawl has done by its `journal` is not read again.
    """

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        delivery: Delivery,
        report: CrawlReport,
        workers: int,
        *,
        journal: Checkpoint | None = None,
    ) -> None:
        self._client = client
        self._mapper = mapper
        self._delivery = delivery
        self._report = report
        self._workers = workers
        self._journal = journal
        self._delivering = asyncio.Lock()
        self._is_complete = False
        self._experiment_ids: list[str] = []
        self._walks: list[_Stretch] = []
        self._held: Iterator[Entity] | None = None

    async def read(self) -> None:
        """The whole server. Raises ServerError where it cannot go on."""
        self._report.mlflow.version = await self._client.version()
        await self._deliver(self._mapper.stages())
        try:
            await self._read_registry()
        except* RegistryMissing:
            self._report.warn("registry_missing", REGISTRY_MISSING)
        try:
            await work_through(self._experiment_runs(), self._read_runs, self._workers, self._spare)
        except* ExperimentsMissing:
            self._report.warn("experiments_missing", EXPERIMENTS_MISSING)
        await work_through(self._missing_runs(), self._read_missing, self._workers)
        await self._client.runs.name_untimed(self._tell_untimed_unknown)
        self._is_complete = True

    async def deliver_held(self) -> None:
        """Hands on what was held back, however the reading ended. With a journal it waits for the crawl that goes on:
        later runs may tell other things of the same datasets.
        """
        await self._deliver(self._held_once())

    def add_held(self) -> None:
        """As `deliver_held`, where nothing is delivered any more: what it has not added yet."""
        for entity in self._held_once():
            self._delivery.add(entity)

    def _held_once(self) -> Iterator[Entity]:
        self._held = self._held or self._take_held()
        return self._held

    def _take_held(self) -> Iterator[Entity]:
        if self._is_complete or self._journal is None:
            for urn in self._mapper.waiting_versions():
                self._report.fail("not_read", RUNS_NOT_REACHED, urn)
            yield from self._mapper.held()

    async def _read_registry(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_models())
            tasks.create_task(self._read_versions())
        await self._deliver(self._mapper.versions_complete())

    async def _read_models(self) -> None:
        async for models in self._client.registered_models():
            self._report.read["registered_models"] += len(models)
            await self._deliver(map(self._mapper.registered_model, models))

    async def _read_versions(self) -> None:
        async for versions in self._client.model_versions():
            self._report.read["model_versions"] += len(versions)
            await self._deliver(chain.from_iterable(map(self._mapper.model_version, versions)))

    async def _experiment_runs(self) -> AsyncIterator[_Stretch]:
        """Delivers the containers of all active experiments and yields what there is to read in each."""
        async for experiments in self._client.experiments():
            self._experiment_ids += [experiment.experiment_id for experiment in experiments]
            active = [experiment for experiment in experiments if experiment.lifecycle_stage != "deleted"]
            self._report.read["experiments"] += len(active)
            self._skip("deleted experiments", len(experiments) - len(active))
            await self._deliver(map(self._mapper.experiment, active))
            # A page that is not full is the last one: known before the runs of its experiments are read.
            self._report.experiments_listed = len(experiments) < EXPERIMENTS_A_PAGE
            for experiment in active:
                for stretch in self._unread(experiment):
                    yield stretch

    def _unread(self, experiment: Experiment) -> list[_Stretch]:
        """What of an experiment's runs no earlier crawl has done."""
        if self._journal is None:
            return [(_Reading(experiment), RunWalk())]
        gaps = self._journal.gaps(experiment.experiment_id)
        if gaps != [(None, None)]:
            self._client.runs.add_counted(experiment.experiment_id, self._journal.rows(experiment.experiment_id))
        reading = _Reading(experiment, walks=len(gaps))
        self._report.experiments_done += not gaps
        return [(reading, RunWalk(since, until)) for since, until in gaps]

    async def _read_runs(self, stretch: _Stretch, shares: WorkStealingQueue[_Stretch]) -> None:
        """Reads one stretch of an experiment's runs to its end."""
        reading, walk = stretch
        self._walks.append(stretch)
        trail = WindowTracker(reading.experiment.experiment_id, self._new_mark)
        try:
            while walk.query is not None:
                await self._read_page(reading, walk, trail, shares)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            experiment = reading.experiment
            sample = f"{experiment.experiment_id} {experiment.name}: {error}"
            self._report.fail("experiment", EXPERIMENT_UNREAD, sample, count=not reading.failed)
            reading.failed = True
            self._client.runs.leave_uncounted(experiment.experiment_id)
        self._walks.remove(stretch)
        reading.walks -= 1
        self._report.experiments_done += reading.walks == 0

    async def _read_page(
        self, reading: _Reading, walk: RunWalk, trail: WindowTracker, shares: WorkStealingQueue[_Stretch]
    ) -> None:
        """Delivers a page of runs, and shares what is left of the walk with idle workers."""
        short = walk.is_unproven and self._room(shares) > 0
        async with self._client.runs.next_page(reading.experiment.experiment_id, walk, short=short) as runs:
            for part in self._split(reading, walk, self._room(shares)):
                shares.give(part)
            active = sum(not run.deleted for run in runs)
            self._report.read["runs"] += active
            self._skip("deleted runs", len(runs) - active)
            inside, beyond = parted(runs.copy(), walk.covered)
            runs.clear()
            await self._deliver_runs(inside, trail)
            if walk.covered is not None:
                trail.end_window(walk.covered)
            await self._deliver_runs(beyond, trail)

    async def _deliver_runs(self, runs: list[Run], trail: WindowTracker) -> None:
        trail.count(runs)
        await self._deliver((entity for run in _let_go(runs) for entity in self._mapper.run(run)), trail.mark)

    def _new_mark(self) -> Mark:
        return Mark() if self._journal is None else self._journal.new_mark()

    def _spare(self, shares: WorkStealingQueue[_Stretch]) -> _Stretch | None:
        """A part of the longest walk that can give one, where MLflow has room for one more."""
        if self._room(shares) < 1:
            return None
        rows = self._client.runs.page_rows
        for reading, walk in sorted(self._walks, key=lambda stretch: stretch[1].pages_left(rows), reverse=True):
            for part in self._split(reading, walk, 1):
                return part
        return None

    def _split(self, reading: _Reading, walk: RunWalk, parts: int) -> list[_Stretch]:
        given = walk.split(parts, self._client.runs.page_rows)
        reading.walks += len(given)
        return [(reading, part) for part in given]

    def _room(self, shares: WorkStealingQueue[_Stretch]) -> int:
        """How many more walks MLflow has room for."""
        return min(shares.idle, self._client.limit - (self._workers - shares.idle))

    async def _missing_runs(self) -> AsyncIterator[list[str]]:
        """Run ids that versions name and that did not come by, in batches of one request."""
        for run_ids in _slices(self._mapper.missing_runs, min(RUN_IDS_A_REQUEST, self._client.runs.page_rows)):
            yield run_ids

    async def _read_missing(self, run_ids: list[str], _: object) -> None:
        """Finds runs in deleted experiments and on servers that list none; the versions of the others go without."""
        missing = set(run_ids)
        try:
            await self._find(missing)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._report.fail("runs_of_versions", RUNS_UNREAD, str(error))
        else:
            for run_id in sorted(missing):
                self._report.warn("lost_runs", RUNS_LOST, f"run {run_id}")
        await self._deliver(self._mapper.lost_runs(missing))

    def _tell_unread(self, sample: str) -> None:
        self._report.fail("runs_of_versions", RUNS_UNREAD, sample)

    def _tell_untimed_unknown(self, sample: str) -> None:
        self._report.fail("untimed_unknown", UNTIMED_UNKNOWN, sample)

    async def _find(self, missing: set[str]) -> None:
        """Takes out of `missing` the runs that are found; their versions can leave."""
        for experiment_ids in _slices(self._experiment_ids, EXPERIMENT_IDS_A_REQUEST) or [[]]:
            for run in await self._client.runs.by_id(sorted(missing), experiment_ids, self._tell_unread):
                missing.discard(run.info.run_id)
                await self._deliver(entity for found in (run,) for entity in self._mapper.found_run(found))
            if not missing:
                return

    async def _deliver(self, entities: Iterable[Entity], mark: Mark | None = None) -> None:
        """Maps and hands on what comes, in stretches that are small enough for memory. One at a time maps, or the
        versions of one model could leave out of their order.
        """
        entities = iter(entities)
        async with self._delivering:
            while True:
                with self._report.time.stage("map"):
                    mapped = list(islice(entities, ENTITIES_AT_ONCE))
                with self._report.time.stage("encode"):
                    for entity in mapped:
                        self._delivery.add(entity, mark)
                await self._settle()
                if len(mapped) < ENTITIES_AT_ONCE:
                    return

    async def _settle(self) -> None:
        for notice in self._mapper.take_notices():
            tell = self._report.fail if notice.severity == "failure" else self._report.warn
            tell(notice.code, notice.message, notice.sample)
        await self._delivery.settle()

    def _skip(self, what: str, count: int) -> None:
        if count:
            self._report.skipped[what] += count


def _let_go(runs: list[Run]) -> Iterator[Run]:
    """The runs, each of which leaves the list: its memory is free, and still in the processor's cache, for what comes
    of the next one.
    """
    runs.reverse()
    while runs:
        yield runs.pop()


def _slices(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
