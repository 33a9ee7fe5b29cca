"""One seed: weeks of edits, with an incremental crawl now and then. After each, DataHub has what a full crawl gives.

Beside the crawls that keep a state, each time a crawl without one writes into another DataHub: what that has then is
right. The other one may differ in what docs/freshness.md excepts, and after a crawl that reads everything in nothing.
In every second seed what vanished is removed, too.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest import mock

import msgspec
from multidict import CIMultiDict

from crawler.checkpoint.checkpoint import Checkpoint
from crawler.http.exchange import Request
from crawler.http.responses import Response
from crawler.mapping.logged_models import logged_model_urn
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent, MlflowSettings, RemovalSettings, Settings
from crawler.settings.mapping import MappingSettings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import Confirm, Endpoint, RestSettings
from crawler.telemetry.events import Event, Outcomes, Started
from crawler.telemetry.report import Report
from tests.mlflow.page_rows import small_pages
from tests.simulation.excepted import MAX_SECONDS, Excepted
from tests.simulation.historian import DAY, HOUR, MINUTE, OVERLAP, Historian
from tests.simulation.metadata_server import Bad, MetadataServer, Share
from tests.simulation.model_historian import ModelHistorian
from tests.simulation.network import Connection, Link, Network, Process
from tests.simulation.promises import counted_twice
from tests.simulation.removals import Removals
from tests.simulation.simulation import _chance_of, _loop_time, _no_collections, _places, _time_of_day
from tests.simulation.tracking_server import TrackingServer
from tests.simulation.virtual_clock import Endless, Outside, Stuck, run_virtually

ROUNDS = 10
MAX_STEPS = 3_000_000

CHECKPOINT = "checkpoint.json"
DATASET = "urn:li:dataset:"

Key = tuple[str, str]
Result = TypeVar("Result")


class Verdict(msgspec.Struct, frozen=True):
    """What a seed came to, and what happened in it."""

    seed: int
    findings: list[str]
    crawls: dict[str, int]
    edits: list[str]
    compared: int
    excepted: int
    removed: int
    trace: list[str]


class Freshness:
    """The servers and the crawls of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._folder = folder
        self._chance = Random(f"freshness {seed}")
        self._lives = 0
        self._last: int | None = None
        self._life_began = self._last_listed = 0
        self._interrupted_reads_all = False
        self._told: dict[str, str] = {}
        """Entity types by URN of what one crawl, with all lives in which it went on, has told the outcomes of."""
        self._unforgotten: set[str] = set()
        """Datasets that no run named in the last crawl of everything, which had failures and so forgot nothing."""
        self.findings: list[str] = []
        self.trace: list[str] = []
        self.crawls: dict[str, int] = {}
        self.compared = self.excepted = 0
        self.mlflow = TrackingServer(_loop_time)
        self.historian = Historian(self.mlflow, self._chance, _time_of_day)
        self._version = self._chance.choice(("v1.3.0", "v1.7.0"))
        self.gms = self._datahub()
        self.settings = self._draw_settings(seed)
        self.logged = self._log_models(Random(f"freshness of logged models {seed}"))
        self._removes = seed % 2 == 0
        self._removes_all = seed % 4 == 0
        """Also where a listing came back empty, or most of it vanished."""
        self._excepted = Excepted(self.mlflow, self.historian, self.settings.mapping)
        self.removals = Removals(self.mlflow, self.gms)
        self.constants = {
            "RUN_IDS_A_REQUEST": self._chance.choice((1, 4, 200)),
            "ENTITIES_AT_ONCE": self._chance.choice((1, 5, 100)),
            "FEWEST_SETS": self._chance.choice((1, 2, 10)),
            "EXPERIMENT_IDS_A_REQUEST": self._chance.choice((1, 2, 100)),
        }
        self.page_rows = {
            "registered_models": self._chance.choice((2, 500)),
            "model_versions": self._chance.choice((2, 2_000)),
            "experiments": self._chance.choice((2, 2_000)),
        }
        self.network = self._network(self.gms)

    def _log_models(self, chance: Random) -> ModelHistorian | None:
        """Return who logs models; None in every third seed, whose MLflow has none."""
        self.mlflow.has_logged_models = chance.random() < 2 / 3
        if not self.mlflow.has_logged_models:
            return None
        return ModelHistorian(self.mlflow, chance, self.historian, _time_of_day, self.settings.mapping)

    def _draw_settings(self, seed: int) -> Settings:
        chance = self._chance
        return Settings(
            run_id=f"seed-{seed}",
            pipeline_name="seeds",
            mlflow=MlflowSettings(
                tracking=ServerSettings(url="http://mlflow:5000", concurrency=chance.choice((1, 2, 4))),
                page_size=chance.choice((1, 2, 5, 1024)),
            ),
            mapping=MappingSettings(
                ui_url="http://mlflow:5000",
                materialize_dataset_inputs=chance.random() < 0.5,
                source_mapping_to_platform={"strange": "hive"},
            ),
            sink=RestSettings(
                server=ServerSettings(url="http://gms:8080", concurrency=chance.choice((1, 4))),
                endpoint=chance.choice(list(Endpoint)),
                confirm=chance.choice(list(Confirm)),
                batch_size=chance.choice((3, 20, 200)),
            ),
        )

    def _removal(self, folder: Path) -> RemovalSettings | None:
        threshold = 100.0 if self._removes_all else 75.0
        checkpoint = folder / CHECKPOINT
        return (
            RemovalSettings(checkpoint=checkpoint, fail_safe_threshold=threshold, is_confirmed=self._removes_all)
            if self._removes
            else None
        )

    def _datahub(self) -> MetadataServer:
        none = Share(0, 0.0)
        return MetadataServer(bad=none, refusal=422, lag=0, loses_queued=none, forbidden=none, version=self._version)

    def _network(self, gms: MetadataServer) -> Network:
        async def mlflow(request: Request, _headers: CIMultiDict[str], _connection: Connection) -> Response:
            return self.mlflow.answer(request)

        links = {"MLflow": Link(latency=0.5), "DataHub": Link(latency=0.5)}
        return Network({"MLflow": mlflow, "DataHub": gms.answer}, links, self._chance, self.trace.append)

    async def run(self) -> None:
        """All rounds; the last crawl reads everything."""
        await asyncio.sleep(30 * DAY / 1_000)
        self.historian.fill()
        if self.logged is not None:
            self.logged.fill()
        await asyncio.sleep(self._chance.choice((1, 5 * HOUR)) / 1_000)
        (self._folder / "0").mkdir()
        for number in range(ROUNDS):
            if number:
                await self._work()
            await self._crawl(full=number == ROUNDS - 1)
            if self.findings:
                return

    async def _work(self) -> None:
        """Some edits, and time that passes."""
        for _ in range(self._chance.choice((0, 1, 3, 8))):
            await asyncio.sleep(self._chance.choice((1, MINUTE, HOUR)) / 1_000)
            self.historian.write()
            self.trace.append(f"{_time_of_day()} {self.historian.edits[-1][1]}")
            if self.logged is not None:
                self.logged.note()
                self.logged.write()
                self.trace.append(f"{_time_of_day()} {self.historian.edits[-1][1]}")
        await asyncio.sleep(self._chance.choice((1, HOUR, 3 * HOUR, DAY, 4 * DAY)) / 1_000)

    async def _crawl(self, *, full: bool) -> None:
        """Crawls until one ends well, with edits between them; then both DataHubs are compared."""
        incremental = not full and self._chance.random() < 0.85
        self.gms.bad = Bad(self._lives, 0.1 if not full and self._chance.random() < 0.3 else 0.0)
        began, first = _time_of_day(), self._lives
        while not (report := await self._live(incremental=incremental)):
            if self._chance.random() < 0.5:
                await self._work()
            if incremental and self._chance.random() < 0.2:
                incremental = False
                if not self._interrupted_reads_all:
                    # What read less is begun anew.
                    began = _time_of_day()
        await self._compare(report, began, is_alone=self._lives == first + 1)

    async def _live(self, *, incremental: bool) -> Report | None:
        """One crawl in a folder of its own; None where it was killed."""
        folder, following = self._folder / str(self._lives), self._folder / str(self._lives + 1)
        self._lives += 1
        self._life_began = _time_of_day()
        report, process = Report(self.settings.run_id), Process()
        self.network.process = process
        wanted = KeepingCurrent(
            incremental=IncrementalSettings(full_every=9 * DAY / 1_000, not_ended_for=5 * DAY / 1_000)
            if incremental
            else None
        )
        settings = msgspec.structs.replace(
            self.settings,
            state=folder / "state",
            changed_only=wanted,
            dead_letters=folder / "letters",
            removal=self._removal(folder),
        )
        self.trace.append(f"{_time_of_day()} crawl {self._lives} begins")
        task = asyncio.ensure_future(crawl(settings, report=report, listeners=[self._hear]))
        if self._chance.random() < 0.3:
            await asyncio.wait({task}, timeout=self._chance.expovariate(1 / 8))
        else:
            await asyncio.wait({task})
        killed = not task.done()
        if killed:
            process.dead = True
            shutil.copytree(folder, following)
            task.cancel()
        await asyncio.wait({task})
        await self.network.settled()
        how = "everything" if report.since is None else f"since {report.since}"
        if killed:
            self._interrupted_reads_all = report.since is None
            self.trace.append(f"{_time_of_day()} crawl {self._lives} was killed; it read {how}")
            return None
        task.result()
        shutil.copytree(folder, following)
        kind = "full" if report.since is None else "incremental"
        self.crawls[kind] = self.crawls.get(kind, 0) + 1
        self.trace.append(f"{_time_of_day()} crawl {self._lives} ended; it read {how}")
        self.findings += counted_twice(self._told, report)
        return report

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started) and event.resumed is None:
            self._told.clear()
        elif isinstance(event, Outcomes):
            self._told |= {each.urn: each.entity_type for each in event.entities if not each.is_removal}

    async def _compare(self, report: Report, began: int, *, is_alone: bool) -> None:
        last, self._last = self._last, began
        # A crawl that goes on with a killed one has seen what became of the experiments until then.
        listed, self._last_listed = self._last_listed, self._life_began
        if report.since is not None and (last is None or report.since != last - OVERLAP):
            self.findings.append(f"a crawl read what changed since {report.since}; the last one began at {last}")
        expected = await self._undisturbed()
        hidden = self.historian.hidden(began, report.since, began - 5 * DAY, listed)
        excepted = self._excepted.urns(hidden, began, {urn for urn, _ in self.gms.aspects})
        if self.logged is not None:
            unseen = self.logged.keep_hidden(began, report.since, listed)
            excepted |= {logged_model_urn(each, self.settings.mapping) for each in unseen}
        if report.since is None:
            unnamed = {urn for urn, _ in self.gms.aspects if urn.startswith(DATASET)} - {urn for urn, _ in expected}
            self._unforgotten = unnamed if report.failures else set()
        excepted |= self._unforgotten
        self.historian.marks = hidden
        for key, value in expected.items():
            self.compared += 1
            if self.gms.aspects.get(key) == value:
                continue
            if key[0] in excepted:
                self.excepted += 1
            elif key[0] not in self.gms.bad:
                self.findings.append(f"{key} is {self.gms.aspects.get(key)}, not {value}")
        if self._removes:
            is_edited = self.historian.edited_since(began)
            self.findings += self.removals.judge(
                report, began, expected, excepted, is_alone=is_alone, is_edited=is_edited
            )
        self.findings += self.gms.violations

    async def _undisturbed(self) -> dict[Key, Any]:
        """What a crawl without a state gives of MLflow as it is."""
        gms = self._datahub()
        with self._network(gms).plugged_in():
            await crawl(msgspec.structs.replace(self.settings, dead_letters=self._folder / "letters"))
        return dict(gms.aspects)


def run_seed(seed: int) -> Verdict:
    """Runs a seed and judges it."""
    with tempfile.TemporaryDirectory(prefix="freshness-") as folder, _chance_of(seed), ExitStack() as stack:
        freshness = Freshness(seed, Path(folder))
        stack.enter_context(_surroundings(freshness))
        try:
            run_virtually(freshness.run, max_steps=MAX_STEPS, max_seconds=MAX_SECONDS)
        except (Stuck, Endless, Outside) as hang:
            freshness.findings.append(f"{type(hang).__name__}: {hang}")
        return Verdict(
            seed,
            freshness.findings,
            freshness.crawls,
            [what for _, what in freshness.historian.edits],
            freshness.compared,
            freshness.excepted,
            freshness.removals.count,
            freshness.trace,
        )


@contextmanager
def _surroundings(freshness: Freshness) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(freshness.network.plugged_in())
        stack.enter_context(small_pages(**freshness.page_rows))
        for module, name in _places(tuple(freshness.constants)):
            stack.enter_context(mock.patch.object(module, name, freshness.constants[name]))
        for place in ("crawler.delivery.open_delivery._now", "crawler.checkpoint.memory._now"):
            stack.enter_context(mock.patch(place, _time_of_day))
        stack.enter_context(mock.patch("asyncio.to_thread", _at_once))
        stack.enter_context(mock.patch("os.fsync"))
        stack.enter_context(mock.patch.dict(Checkpoint.__init__.__kwdefaults__, clock=_loop_time))
        for name in ("crawler", "crawler.http"):
            stack.enter_context(mock.patch.object(logging.getLogger(name), "disabled", new=True))
        stack.enter_context(_no_collections())
        yield


async def _at_once(function: Callable[..., Result], *args: Any) -> Result:
    """In place of a thread, which would end at any time."""
    return function(*args)
