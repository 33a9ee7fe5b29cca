"""One seed: the real pipeline against models of both servers, on a virtual clock, from first crawl to last promise."""

import asyncio
import gc
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any
from unittest import mock
from zlib import crc32

import msgspec
from multidict import CIMultiDict

from crawler.checkpoint.checkpoint import Checkpoint
from crawler.datahub.proposals import Entity
from crawler.delivery.delivery import Delivery
from crawler.errors import CrawlerError, Interrupted, Stalled
from crawler.http.exchange import Request
from crawler.http.responses import Response
from crawler.mlflow.paging.offset import OVERLAP
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import KeepingCurrent, Settings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import Confirm, Endpoint, RestSettings
from crawler.telemetry.events import Event, Outcomes, Started
from crawler.telemetry.findings.reading import (
    LISTING_MISSING,
    LISTING_UNREAD,
    RUNS_OF_VERSIONS_UNREAD,
    ZEROS_UNKNOWN,
)
from crawler.telemetry.report import Report
from tests.mlflow.page_rows import small_pages
from tests.simulation import promises
from tests.simulation.mapped import Mapped
from tests.simulation.metadata_server import MetadataServer, Share, ShareOfAspects
from tests.simulation.model_logger import ModelLogger
from tests.simulation.network import Connection, Network, Process
from tests.simulation.promises import Told
from tests.simulation.schedule import Fate, Life, Schedule, draw
from tests.simulation.tracking_server import VERSION, TrackingServer
from tests.simulation.virtual_clock import Endless, Outside, Stuck, run_virtually
from tests.simulation.writer import NEWEST, Writer

MAX_STEPS = 3_000_000
MAX_SECONDS = 100_000.0
"""Of virtual time: a crawl of a hundred runs that takes a day does not end."""
SAMPLES = 1_000_000
LETTERS = "dead-letters.jsonl"
_REGISTRY = {"registered_models": "mlModelGroup", "model_versions": "mlModel"}
"""Listings that are read once each, and the entity types of their rows."""
UNCONFIRMED = "unconfirmed.jsonl"


class Killed(Exception):
    """In place of how a crawl ended that was not let end."""


class Crawl(msgspec.Struct, frozen=True):
    """One life: virtual times, how it ended (None: well), and where in GMS' history it began."""

    began: float
    ended: float
    end: BaseException | None
    report: Report
    first_write: int


class Verdict(msgspec.Struct, frozen=True):
    """What a seed came to. `digest` is the same whenever the same happened; `trace` is every exchange."""

    seed: int
    findings: list[str]
    digest: int
    requests: int
    crawls: int
    virtual_seconds: float
    trace: list[str]


class Simulation:
    """The servers, the network between, and the crawls that follow each other. `folder` is for what these leave."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self._schedule = schedule
        self._folder = folder
        self._chance = Random(schedule.seed)
        self._writes = schedule.writes
        self._crawls: list[Crawl] = []
        self._ahead = 0
        self._mapped: dict[str, Entity] = {}
        self._outcomes: set[str] = set()
        self._handed: dict[str, str] = {}
        """Entity types by URN of what one crawl, with all lives in which it went on, handed to its delivery."""
        self.trace: list[str] = []
        self.findings: list[str] = []
        self.requests = 0
        self.mlflow = TrackingServer(self._now)
        self.mlflow.id_limit, self.mlflow.forbidden = schedule.id_limit, schedule.forbidden_experiments
        self.mlflow.allowed_searches = schedule.allowed_searches
        self.mlflow.version = schedule.mlflow_version
        self.writer = Writer(self.mlflow, self._chance, schedule.amounts)
        self._logger = self._log_models()
        sink = schedule.settings.sink
        assert isinstance(sink, RestSettings)
        self.gms = MetadataServer(
            bad=Share(schedule.seed, schedule.bad),
            refusal=schedule.refusal,
            lag=schedule.lag,
            loses_queued=_lost(schedule, sink),
            forbidden=Share(schedule.seed + 1, schedule.forbidden),
            **schedule.gms,
        )
        self.network = Network(
            {"MLflow": self._mlflow_answer, "DataHub": self.gms.answer}, schedule.links, self._chance, self._note
        )

    async def run(self) -> None:
        """All lives, the last one in calm, and the judgement."""
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        self.writer.fill()
        if self._logger is not None:
            self._logger.fill()
        await asyncio.sleep(1)
        calming = asyncio.get_running_loop().call_later(self._schedule.calm_after, self._calm)
        self._plan_queue()
        for life in self._schedule.lives:
            await self._live(life)
            if self._crawls[-1].end is None:
                break
        calming.cancel()
        if self._crawls[-1].end is not None:
            self._calm()
            await self._live(Life(Fate.LEFT_ALONE))
            if (end := self._crawls[-1].end) is not None:
                self.findings.append(f"with all faults off the crawl ended with {end!r}")
        self._judge()

    def _log_models(self) -> ModelLogger | None:
        """Return who logs models to MLflow, where it has a listing of them."""
        logged = self._schedule.logged
        if logged is None:
            return None
        self.mlflow.has_logged_models = True
        chance = Random(f"logged models of {self._schedule.seed}")
        return ModelLogger(self.mlflow, chance, self._schedule.amounts, logged)

    def _plan_queue(self) -> None:
        """Have the consumer of DataHub's queue pause."""
        loop, queue = asyncio.get_running_loop(), self._schedule.queue
        if queue.stands_still_after is not None:
            loop.call_later(queue.stands_still_after, self.gms.shelf.queue.clear)
        for begin, end in queue.pauses:
            loop.call_later(begin, self.gms.shelf.queue.clear)
            loop.call_later(end, self.gms.shelf.queue.set)

    def note_mapped(self, entity: Entity) -> None:
        """The crawl hands this to its delivery."""
        if entity.urn in self._mapped:
            self.findings.append(f"mapped twice in one crawl: {entity.urn}")
        self._mapped[entity.urn] = entity
        self._handed[entity.urn] = entity.type

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started) and event.resumed is None:
            self._handed.clear()
        elif isinstance(event, Outcomes):
            self._outcomes.update(outcome.urn for outcome in event.entities)

    @property
    def crawls(self) -> int:
        """How many there were."""
        return len(self._crawls)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Nobody asked what became of a task."""
        if not self.network.process.dead:
            self.findings.append(f"{context['message']}: {context.get('exception')!r}")

    def _now(self) -> float:
        return _loop_time()

    def _calm(self) -> None:
        self.network.calm = True

    def _note(self, what: str) -> None:
        self.requests += 1
        self.trace.append(f"{self._now():.6f} {what}")

    async def _mlflow_answer(self, request: Request, headers: CIMultiDict[str], connection: Connection) -> Response:
        if self._writes and self._chance.random() < self._schedule.write_chance:
            self._writes -= 1
            self.writer.write()
        if self._logger is not None:
            self._logger.before_answer(request.url)
        response = self.mlflow.answer(request)
        self._ahead = max(self._ahead, len(self.mlflow.runs_given) - len(self.gms.runs_taken))
        return response

    async def _live(self, life: Life) -> None:
        """One crawl in a folder of its own, which begins with what the one before has left there."""
        number = len(self._crawls)
        folder, following = self._folder / str(number), self._folder / str(number + 1)
        folder.mkdir(exist_ok=True)
        self._begin_counting()
        unconfirmed_before = self._kept(folder, UNCONFIRMED)
        report, stop, process = Report(self._schedule.settings.run_id), asyncio.Event(), Process()
        self.network.process = process
        began, first_write = self._now(), len(self.gms.history)
        self.trace.append(f"{began:.6f} crawl {number} begins, to be {life.fate.value}")
        task = asyncio.ensure_future(crawl(self._settings(folder), listeners=[self._hear], report=report, stop=stop))
        if life.fate is not Fate.LEFT_ALONE:
            await asyncio.wait({task}, timeout=life.after)
        if life.fate is Fate.KILLED and not task.done():
            # What the process does from here on is no part of its life: nobody hears it, and its files are elsewhere.
            process.dead = True
            shutil.copytree(folder, following)
            task.cancel()
        elif life.fate is Fate.STOPPED and not task.done():
            stop.set()
            await self._end_by_grace(task, life.grace)
        await asyncio.wait({task})
        ended = self._now()
        await self.network.settled()
        if not following.exists():
            shutil.copytree(folder, following)
        end = asyncio.CancelledError() if task.cancelled() else task.exception()
        crawled = Crawl(began, ended, Killed() if process.dead else end, report, first_write)
        self._crawls.append(crawled)
        self.trace.append(f"{ended:.6f} crawl {number} ended: {crawled.end!r}")
        if not process.dead:
            self._judge_end(crawled, process, stopped=stop.is_set())
            self._judge_missing_listing(report)
            unconfirmed = self._kept(folder, UNCONFIRMED) - unconfirmed_before
            self._judge_unconfirmed(crawled, unconfirmed, stopped=stop.is_set())
            if end is None:
                self.findings += [f"without an outcome: {urn}" for urn in self._mapped if urn not in self._outcomes]
            if end is None or not self._schedule.keeps_state:
                # What a crawl with a state leaves undone is left to the next one.
                told = Told(promises.failures_of(report), self._letters(folder))
                self.findings += promises.unaccounted(self._mapped, self.gms, told)
            self.findings += promises.counted_twice(self._handed, report)
            if not self._schedule.keeps_state:
                # A crawl that goes on does not write again what the lives before it have.
                self.findings += promises.claimed(self._mapped, self.gms, report)
                self.findings += promises.unseen(self._mapped, self.gms, report)

    async def _end_by_grace(self, task: asyncio.Task[Report], grace: float) -> None:
        """As the process does after a signal; a second one ends the grace sooner (crawler/cli/interruption.py)."""
        asyncio.get_running_loop().call_later(grace, task.cancel)
        await asyncio.wait({task}, timeout=grace + 1)
        if not task.done():
            self.findings.append(f"a stop took longer than its grace of {grace} s")

    def _begin_counting(self) -> None:
        self._mapped.clear()
        self._outcomes.clear()
        self.mlflow.runs_given.clear()
        self.gms.runs_taken.clear()

    def _judge_end(self, crawled: Crawl, process: Process, *, stopped: bool) -> None:
        """A crawl ends well, or with an error of its own that is true."""
        end = crawled.end
        if end is None or (stopped and isinstance(end, (Interrupted, asyncio.CancelledError))):
            return
        if not isinstance(end, CrawlerError):
            self.findings.append(f"a crawl ended with {end!r}, which is no error of its own")
        if isinstance(end, Stalled):
            self.findings.append(f"hung: {end}")
        if isinstance(end, Interrupted):
            self.findings.append("a crawl says that it was stopped, and nobody stopped it")
        for name, server in self._servers():
            link = self._schedule.links[name]
            outage = link.outage_at(crawled.ended)
            if outage is None or self.network.calm or link.faults:
                continue
            if (
                process.answered.get(name, outage.end) < outage.begin
                and outage.end - outage.begin < server.patience / 2
            ):
                self.findings.append(f"a crawl did not sit out an outage of {outage.end - outage.begin:.0f} s: {end!r}")

    def _judge_missing_listing(self, report: Report) -> None:
        """A server without logged models costs no failure, and is only named where its version should have them."""
        codes = {finding.code for finding in (*report.failures, *report.warnings)}
        lacks_them = self._schedule.logged is None
        if LISTING_MISSING["logged_models"].code in codes and not (
            lacks_them and self._schedule.mlflow_version == VERSION
        ):
            self.findings.append("logged models are said to be missing")
        link = self._schedule.links["MLflow"]
        if lacks_them and LISTING_UNREAD["logged_models"].code in codes and not (link.faults or link.outages):
            self.findings.append("that a server has no logged models is a failure")

    def _judge_unconfirmed(self, crawled: Crawl, unconfirmed: set[tuple[str, str]], *, stopped: bool) -> None:
        """What was not confirmed was taken; a crawl that ended by itself waited for a queue that moves."""
        self.findings += promises.never_taken(unconfirmed, self.gms)
        if crawled.end is not None or stopped:
            return
        sink = self._schedule.settings.sink
        assert isinstance(sink, RestSettings)
        longest_lag = max(self._schedule.gms["lag_seconds"] + 100, 900)
        if sink.confirm_wait >= longest_lag and not self._schedule.queue.is_idle_at_times:
            self.findings += promises.not_waited_for(unconfirmed, self.gms)

    def _servers(self) -> list[tuple[str, ServerSettings]]:
        sink = self._schedule.settings.sink
        assert isinstance(sink, RestSettings)
        return [("MLflow", self._schedule.settings.mlflow.tracking), ("DataHub", sink.server)]

    def _settings(self, folder: Path) -> Settings:
        settings = msgspec.structs.replace(self._schedule.settings, dead_letters=folder / LETTERS)
        if not self._schedule.keeps_state:
            return settings
        changed_only = KeepingCurrent() if self._schedule.sends_changes_only else None
        return msgspec.structs.replace(settings, state=folder / "state.sqlite", changed_only=changed_only)

    def _judge(self) -> None:
        mapping, last = self._schedule.settings.mapping, self._crawls[-1]
        told_of = {
            finding.code for crawl in self._crawls for finding in (*crawl.report.failures, *crawl.report.warnings)
        }
        untold = {
            "runs_unread": RUNS_OF_VERSIONS_UNREAD.code in told_of,
            "zeros_unknown": ZEROS_UNKNOWN.code in told_of,
        }
        whole = Mapped(self.mlflow, mapping, self._crawls[0].began, last.ended, **untold)
        self.findings += promises.wrong(whole, self.gms)
        self.findings += self.gms.violations
        bounds = [*(crawl.first_write for crawl in self._crawls), len(self.gms.history)]
        for number in range(len(self._crawls)):
            written = self.gms.history[bounds[number] : bounds[number + 1]]
            self.findings += promises.two_values(written)
            self.findings += promises.out_of_order(written, set(self.gms.lost))
        self._judge_memory()
        # Where all attempts for a page of experiments met a fault, what the others hold is not named one by one.
        is_listed = all(each.code != LISTING_UNREAD["experiments"].code for each in last.report.failures)
        if last.end is None and is_listed:
            failures = promises.failures_of(last.report)
            letters = self._letters(self._folder / str(len(self._crawls) - 1))
            told = Told(failures, letters, promises.gaps_of(failures, self.mlflow), self._unread(last.report))
            # A crawl that goes on with another one has delivered what that one read.
            began = (self._crawls[0] if self._schedule.keeps_state else last).began
            finished = Mapped(self.mlflow, mapping, began, last.ended, **untold)
            self.findings += promises.missing(finished, self.gms, told)
            self.findings += promises.stale(finished, self.gms, told)
            self.findings += promises.wrong_outputs(self.mlflow, self.gms, whole, finished, told)

    def _unread(self, report: Report) -> tuple[str, ...]:
        """The entity types of which a listing is said to be unread, and may be so."""
        link, codes = self._schedule.links["MLflow"], {finding.code for finding in report.failures}
        if not (link.faults or link.outages):
            return ()
        return tuple(each for listing, each in _REGISTRY.items() if LISTING_UNREAD[listing].code in codes)

    def _judge_memory(self) -> None:
        """Between the servers are, at most: a page for each request to MLflow, the entities at hand, and for DataHub a
        batch on its way and one queued in each lane, and one that is being filled.
        """
        link, settings = self._schedule.links["MLflow"], self._schedule.settings
        sink = settings.sink
        assert isinstance(sink, RestSettings)
        if link.faults or link.outages:
            # A page that was lost on its way was given, and its runs are never taken.
            return
        pages = settings.mlflow.tracking.concurrency * 3 * max(settings.mlflow.page_size, OVERLAP)
        batches = (2 * sink.server.concurrency + 1) * sink.batch_size
        bound = pages + batches + self._schedule.constants["ENTITIES_AT_ONCE"] + self._schedule.writes
        if self._ahead > bound:
            self.findings.append(f"memory: {self._ahead} runs were read and not yet sent, of at most {bound}")

    def _letters(self, folder: Path) -> set[tuple[str, str]]:
        return self._kept(folder, LETTERS) | self._kept(folder, UNCONFIRMED)

    def _kept(self, folder: Path, name: str) -> set[tuple[str, str]]:
        path = folder / name
        lines = path.read_bytes().splitlines() if path.exists() else []
        proposals = [msgspec.json.decode(line)["proposal"] for line in lines]
        return {(proposal["entityUrn"], proposal["aspectName"]) for proposal in proposals}


def _lost(schedule: Schedule, sink: RestSettings) -> Share:
    """What DataHub loses behind a success, as far as this kind of confirmation promises to see it."""
    if sink.confirm is Confirm.STORED:
        return ShareOfAspects(schedule.seed + 2, schedule.lost)
    sees = sink.confirm is Confirm.ENTITIES and sink.endpoint is Endpoint.RESTLI
    return Share(schedule.seed + 2, schedule.lost if sees else 0.0)


def simulate(seed: int, *, logged_models: bool = True) -> Verdict:
    """Runs a seed and judges it; without `logged_models` it is the world that it was before there were any."""
    schedule = draw(seed)
    return run_schedule(schedule if logged_models else schedule.without_logged_models())


def run_schedule(schedule: Schedule) -> Verdict:
    """Runs a schedule and judges it."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder, _chance_of(schedule.seed):
        simulation = Simulation(schedule, Path(folder))
        seconds = 0.0

        async def run() -> None:
            nonlocal seconds
            try:
                await simulation.run()
            finally:
                seconds = asyncio.get_running_loop().time()

        with _surroundings(schedule, simulation), _no_collections():
            try:
                run_virtually(run, max_steps=MAX_STEPS, max_seconds=MAX_SECONDS)
            except (Stuck, Endless, Outside) as hang:
                simulation.findings.append(f"{type(hang).__name__}: {hang}")
        return Verdict(
            schedule.seed,
            simulation.findings,
            crc32("\n".join([*simulation.trace, *simulation.findings]).encode()),
            simulation.requests,
            simulation.crawls,
            seconds,
            simulation.trace,
        )


@contextmanager
def _chance_of(seed: int) -> Iterator[None]:
    """What draws from Python's own source of chance, as the pauses before retries do, draws the same each time."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Python's collector ends generators that were left at moments of its own choice."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _surroundings(schedule: Schedule, simulation: Simulation) -> Iterator[None]:
    """Small pages, so that few rows take many; a report that keeps every sample, so that what is named is known; the
    virtual clock's time of day. What a killed process wrote is there, so nothing has to wait for the disk.
    """
    with ExitStack() as stack:
        stack.enter_context(simulation.network.plugged_in())
        stack.enter_context(small_pages(**schedule.page_rows))
        for module, name in _places(tuple(schedule.constants)):
            stack.enter_context(mock.patch.object(module, name, schedule.constants[name]))
        stack.enter_context(mock.patch("crawler.telemetry.tally.SAMPLES", SAMPLES))
        stack.enter_context(mock.patch("crawler.delivery.open_delivery._now", _time_of_day))
        stack.enter_context(mock.patch("crawler.checkpoint.memory._now", _time_of_day))
        stack.enter_context(mock.patch("os.fsync"))
        stack.enter_context(mock.patch.dict(Checkpoint.__init__.__kwdefaults__, clock=_loop_time))
        stack.enter_context(_overheard(simulation))
        stack.enter_context(mock.patch.object(logging.getLogger("crawler"), "disabled", new=True))
        stack.enter_context(mock.patch.object(logging.getLogger("crawler.http"), "disabled", new=True))
        yield


@cache
def _places(names: tuple[str, ...]) -> list[tuple[ModuleType, str]]:
    """Where constants of the crawler are looked up."""
    modules = [module for name, module in sys.modules.items() if name.startswith("crawler.")]
    return [(module, name) for module in modules for name in names if hasattr(module, name)]


@contextmanager
def _overheard(simulation: Simulation) -> Iterator[None]:
    """The simulation learns what is handed to the delivery: all of that must have come to something in the end."""
    add = Delivery.add

    def noted(delivery: Delivery, entities: Sequence[Entity], *more: Any, **options: Any) -> None:
        for entity in entities:
            simulation.note_mapped(entity)
        add(delivery, entities, *more, **options)

    with mock.patch.object(Delivery, "add", noted):
        yield


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _time_of_day() -> int:
    """In ms since epoch."""
    return NEWEST + int(_loop_time() * 1_000)
