"""A small crawl, once without and many times with one fault, and what must be the same afterwards.

The whole program runs, from its command line to its exit code, on the virtual clock of tests/simulation and between its
models of both servers. A process that is killed reaches nobody any more, and its files are those of that very moment.
"""

import asyncio
import gc
import io
import json
import logging
import os
import random
import shutil
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from unittest import mock

import msgspec
from multidict import CIMultiDict

from crawler.checkpoint import memory
from crawler.checkpoint.checkpoint import Checkpoint
from crawler.cli import run_job
from crawler.cli.main import main
from crawler.delivery import open_delivery
from crawler.http.exchange import Request
from crawler.http.responses import Response
from crawler.mapping.runs import run_urn
from crawler.telemetry.events import Event, Outcomes
from tests.gms import batch_get, intake
from tests.gms.batch_get import timeseries_in
from tests.gms.intake import _record as record
from tests.gms.urn_rules import illegal
from tests.mlflow.page_rows import small_pages
from tests.simulation.metadata_server import MetadataServer, Share
from tests.simulation.network import Connection, Process
from tests.simulation.tracking_server import TrackingServer
from tests.simulation.virtual_clock import VirtualLoop, run_virtually
from tests.simulation.writer import NEWEST, Amounts, Writer
from tests.support.crawls import values
from tests.torture import disk, exchanges
from tests.torture.disk import Disk
from tests.torture.exchanges import Exchanges
from tests.torture.replacing import replaced

PAGE = 3
WORKERS = 2
BATCH = 20
AMOUNTS = Amounts(experiments=2, runs=20, models=2, versions=4, ties=0.3)
ROWS_SEED = 8
SMALL_PAGES = {
    "crawler.pipeline.entities": {"ENTITIES_AT_ONCE": 5},
    "crawler.pipeline.version_runs": {"RUN_IDS_A_REQUEST": 2},
}
FILE, LOSSY = "file", "lossy"
TARGETS = ("restli", "openapi", FILE)
"""DataHub by its two endpoints, and a file; LOSSY is DataHub by Rest.li that loses a run behind a success."""
MILLISECONDS_BETWEEN_LIVES = 10_000_000

Key = tuple[str, str]
"""URN and aspect."""
Fault = exchanges.Fault | disk.Fault


class Killed(BaseException):
    """Ends all that the process was doing."""


class Outcome(msgspec.Struct, frozen=True):
    """What a life left: its exit code (None where it was killed), and what it said; `report` is what it wrote."""

    code: int | None
    said: str
    report: dict[str, Any]
    letters: frozenset[Key]

    @property
    def is_traceback(self) -> bool:
        """Whether it ended with an error that nobody foresaw."""
        return "raceback" in self.said

    @property
    def is_cut_short(self) -> bool:
        """Whether an error ended it, which it told."""
        return '"level":"ERROR"' in self.said

    @property
    def failures(self) -> dict[str, tuple[int, frozenset[str]]]:
        """Counts and samples by code."""
        found = self.report.get("failures", [])
        return {each["code"]: (each["count"], frozenset(each["samples"])) for each in found}


class Torture:
    """One MLflow, one DataHub and the lives of a crawl between them, each in a folder of its own below `folder`."""

    def __init__(self, folder: Path, target: str) -> None:
        """`target` is one of TARGETS, or LOSSY."""
        self._root = folder
        self._target = target
        self._endpoint = "restli" if target == LOSSY else target
        self._lives = 0
        self._left = self._folder(0)
        self._left.mkdir()
        self._process = Process()
        self._time = 0
        self.trace: list[str] = []
        self.mlflow = _mlflow()
        self.gms = MetadataServer(bad=Share(0, 0.0), refusal=400, lag=1)
        refused, lost = _two_runs(self.mlflow)
        # So each crawl has dead letters to write.
        self.gms.bad = set() if target == LOSSY else {refused}  # type: ignore[assignment]
        self.gms.loses_queued = {lost} if target == LOSSY else set()
        self.network = Exchanges(
            {"MLflow": self._mlflow_answer, "DataHub": self.gms.answer}, self._note, lambda: self._kill(_nothing)
        )
        self.disk = Disk(self._kill)
        self.pages: list[list[tuple[str, int]]] = []
        """URNs and start times of the runs on each page that MLflow gave in this life, but for deleted ones."""
        self._settled: list[tuple[str, int]] = []
        """What was settled in this life, with the number of commits before."""
        self.kept: set[str] = set()
        """URNs of what was settled in the last life before a commit of its state."""
        self.finished = False
        """Whether the next life starts afresh."""
        self.first_write = 0

    @property
    def aspects(self) -> dict[Key, Any]:
        """What is there now: the value of each aspect, without what differs between two crawls. Raises ValueError
        where the file is no list of proposals.
        """
        if self._target != FILE:
            return self.gms.aspects
        path = self._left / "proposals.json"
        return values(json.loads(path.read_bytes()) if path.exists() else [])

    def live(self, fault: Fault | None = None, at: int | None = None) -> Outcome:
        """One life, which begins with what the one before has left on the disk."""
        folder = self._folder(self._lives)
        if folder != self._left:
            shutil.copytree(self._left, folder)
        self._process = self.network.process = Process()
        self.network.begin(at, fault if isinstance(fault, exchanges.Fault) else None)
        self.disk.begin(folder, at, fault if isinstance(fault, disk.Fault) else None)
        self.first_write = len(self.gms.history)
        self.pages, self._settled, self.disk.commits, self.finished = [], [], 0, False
        code, said = self._run(folder)
        if not self._process.dead:
            self._note_kept()
        self._lives += 1
        self._time += MILLISECONDS_BETWEEN_LIVES
        self._left = self._folder(self._lives) if self._process.dead else folder
        return Outcome(None if self._process.dead else code, said, _report(self._left), _letters(self._left))

    @property
    def sent(self) -> set[str]:
        """URNs of what DataHub stored in the last life."""
        return {urn for urn, _, _ in self.gms.history[self.first_write :]}

    def note_finished_entity(self, urn: str) -> None:
        """The crawl is rid of an entity."""
        if not self._process.dead:
            self._settled.append((urn, self.disk.commits))

    def note_finished(self) -> None:
        """From here on, the next crawl starts afresh."""
        if not self._process.dead:
            self.finished = True

    def _note_kept(self) -> None:
        self.kept = {urn for urn, commits in self._settled if commits < self.disk.commits}

    def _run(self, folder: Path) -> tuple[int, str]:
        said = io.StringIO()
        with _surroundings(self, folder), redirect_stderr(said), redirect_stdout(said):
            try:
                code = main(self._arguments(folder))
            except BaseException as error:  # noqa: BLE001  what is no error of the crawler's own is what is looked for
                code = -1
                if not self._process.dead:
                    said.write("".join(traceback.format_exception(error)))
        return code, said.getvalue()

    def _arguments(self, folder: Path) -> list[str]:
        shared = [
            *("crawl", "--log-format", "json", "--mlflow-uri", "http://mlflow:5000", "--page-size", str(PAGE)),
            *("--mlflow-concurrency", str(WORKERS), "--report", str(folder / "report.json")),
        ]
        if self._target == FILE:
            return [*shared, "--output", str(folder / "proposals.json")]
        return [
            *(*shared, "--datahub-url", "http://gms:8080", "--endpoint", self._endpoint, "--batch-size", str(BATCH)),
            *("--datahub-concurrency", str(WORKERS), "--state", str(folder / "crawl.state")),
            *("--dead-letters", str(folder / "letters.jsonl")),
        ]

    def _kill(self, then: Callable[[Path], None]) -> NoReturn:
        """The copy is what the process leaves; what it still does to its own files, nobody sees."""
        if not self._process.dead:
            self._process.dead = True
            self._note_kept()
            with self.disk.paused():
                following = self._folder(self._lives + 1)
                shutil.copytree(self._folder(self._lives), following)
                then(following)
            self.disk.at = None
        raise Killed

    async def _mlflow_answer(self, request: Request, headers: CIMultiDict[str], connection: Connection) -> Response:
        response = self.mlflow.answer(request)
        if request.url.endswith("/runs/search") and response.status == 200:
            runs = json.loads(response.body).get("runs", [])
            infos = [run["info"] for run in runs if run["info"]["lifecycle_stage"] == "active"]
            self.pages.append([(run_urn(info["run_id"]), info["start_time"]) for info in infos])
        return response

    def _folder(self, life: int) -> Path:
        return self._root / str(life)

    def _note(self, what: str) -> None:
        if not self._process.dead:
            self.trace.append(f"life {self._lives} {asyncio.get_running_loop().time():.3f} {what}")

    def time_of_day(self) -> int:
        """In ms since epoch."""
        return NEWEST + self._time + int(asyncio.get_running_loop().time() * 1_000)


@cache
def _mlflow() -> TrackingServer:
    """The same for all crawls, since nobody writes to it."""
    server = TrackingServer(lambda: 0.0)
    Writer(server, Random(ROWS_SEED), AMOUNTS).fill()
    return server


def _two_runs(mlflow: TrackingServer) -> list[str]:
    active = [run_id for run_id, history in sorted(mlflow.runs.items()) if history.now and history.now.active]
    return [run_urn(active[0]), run_urn(active[5])]


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def _letters(folder: Path) -> frozenset[Key]:
    """Of all whole lines."""
    path = folder / "letters.jsonl"
    found = set()
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            proposal = json.loads(line)["proposal"]
        except ValueError:
            continue
        found.add((proposal["entityUrn"], proposal["aspectName"]))
    return frozenset(found)


def _nothing(_folder: Path) -> None: ...


def _run_virtually(torture: Torture) -> Callable[[Coroutine[Any, Any, None]], None]:
    """In place of asyncio.run: what the servers have begun they end, whatever becomes of the process."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        async def whole() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
            try:
                await work
            finally:
                await torture.network.settled()

        run_virtually(whole)

    return run


@contextmanager
def _surroundings(torture: Torture, folder: Path) -> Iterator[None]:
    """Small pages, so that few rows take many; the virtual clock; neither settings nor log lines of anybody else."""
    random_state, log = random.getstate(), logging.getLogger()
    handlers, level = log.handlers[:], log.level
    log.handlers.clear()
    random.seed(0)
    gc.disable()
    constants = [
        (import_module(module), *constant) for module, found in SMALL_PAGES.items() for constant in found.items()
    ]
    try:
        with (
            torture.network.plugged_in(),
            small_pages(registered_models=2, model_versions=3, experiments=2),
            mock.patch.dict(os.environ, {"HOME": str(folder)}, clear=True),
            mock.patch.dict(Checkpoint.__init__.__kwdefaults__, clock=_loop_time),
            replaced(
                *constants,
                (open_delivery, "_now", torture.time_of_day),
                (memory, "_now", torture.time_of_day),
                (asyncio, "run", _run_virtually(torture)),
                (run_job, "_collect_garbage_seldom", lambda: None),
                (VirtualLoop, "add_signal_handler", lambda *_: None),
                (intake, "illegal", _illegal),
                (intake, "_record", _record),
                (batch_get, "timeseries_in", _timeseries_in),
            ),
            _overheard(torture),
            torture.disk.plugged_in(),
        ):
            yield
    finally:
        gc.enable()
        random.setstate(random_state)
        log.handlers[:], log.level = handlers, level


@contextmanager
def _overheard(torture: Torture) -> Iterator[None]:
    hear, finish = Checkpoint.__call__, Checkpoint.finish

    def noted(checkpoint: Checkpoint, event: Event) -> None:
        if isinstance(event, Outcomes):
            for outcome in event.entities:
                if outcome.kept:
                    torture.note_finished_entity(outcome.urn)
        hear(checkpoint, event)

    def noted_end(checkpoint: Checkpoint) -> None:
        finish(checkpoint)
        torture.note_finished()

    with replaced((Checkpoint, "__call__", noted), (Checkpoint, "finish", noted_end)):
        yield


@cache
def _illegal(urn: str, *, strict: bool) -> str | None:
    """The double's own, of which a thousand crawls ask the same."""
    return illegal(urn, strict=strict)


def _record(proposal: intake.Proposal) -> dict[str, Any]:
    assert proposal.aspect is not None
    return _known_record(proposal.aspect_name, proposal.aspect.value, proposal.aspect.content_type)


@cache
def _known_record(aspect_name: str, value: str, content_type: str) -> dict[str, Any]:
    return record(intake.Proposal("", "", "", aspect_name, intake.GenericAspect(value, content_type)))


def _timeseries_in(entities: list[dict[str, Any]]) -> list[str]:
    return sorted({name for entity in entities for name in entity if _is_timeseries(name)})


@cache
def _is_timeseries(name: str) -> bool:
    return bool(timeseries_in([{name: {}}]))


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
