"""A crawl that sends only what has changed is killed or fails at each step. Then the changes are taken back.

What the state says must be true whenever the process ended: a value that it still claims, and that another one has
replaced in DataHub, would never be sent again.
"""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crawler.checkpoint import checkpoint
from tests.simulation.history import History
from tests.simulation.rows import Row
from tests.simulation.tracking_server import TrackingServer
from tests.simulation.writer import LONG, Writer
from tests.torture import disk, exchanges
from tests.torture.torture import AMOUNTS, ROWS_SEED, Fault, Key, Outcome, Torture

pytestmark = pytest.mark.slow

KILLS = [*exchanges.KILLS, *disk.KILLS]
FAILURES = [exchanges.Fault.KILLED_AFTER, disk.Fault.NO_SPACE, disk.Fault.IO_ERROR]
HOW = ("--changed-only", "--incremental")
EDITED_RUNS = 4
ENDS_WITH = 1
"""One model has a URN that DataHub does not take."""


class Changing(Torture):
    """DataHub has all that MLflow had, and the state says so; now MLflow has something else."""

    def __init__(self, folder: Path, how: str) -> None:
        super().__init__(folder, "restli")
        self.how = how
        self.gms.bad = set()  # type: ignore[assignment]
        self.mlflow = TrackingServer(lambda: 0.0)
        Writer(self.mlflow, Random(ROWS_SEED), AMOUNTS).fill()
        self._before: dict[str, list[dict[str, Any]]] = {}
        self.first = self.live()
        self.original = dict(self.gms.aspects)
        self._edit()

    def _arguments(self, folder: Path) -> list[str]:
        return [*super()._arguments(folder), self.how]

    def _edit(self) -> None:
        self._before = {
            "run": _active(self.mlflow.runs)[:EDITED_RUNS],
            "version": [each for each in _active(self.mlflow.versions) if LONG not in each["name"]][:1],
            "experiment": _active(self.mlflow.experiments)[:1],
        }
        for kind, rows in self._before.items():
            for fields in rows:
                changed = copy.deepcopy(fields)
                (changed["data"] if kind == "run" else changed)["tags"].append({"key": "edited", "value": "yes"})
                getattr(self.mlflow, f"put_{kind}")(changed)

    def take_back(self) -> None:
        """MLflow has again what it had at first."""
        for kind, rows in self._before.items():
            for fields in rows:
                getattr(self.mlflow, f"put_{kind}")(fields)


def _active(rows: dict[Any, History[Row[Any]]]) -> list[dict[str, Any]]:
    return [row.fields for history in rows.values() if (row := history.now) is not None and row.active]


class Calm:
    """What becomes of it where nothing fails."""

    def __init__(self, folder: Path, how: str) -> None:
        torture = Changing(folder, how)
        assert torture.first.code == ENDS_WITH, torture.first.said
        outcome = torture.live()
        assert outcome.code == ENDS_WITH, outcome.said
        self.exchanges, self.writes = torture.network.count, torture.disk.steps
        self.edited = dict(torture.gms.aspects)
        self.original = torture.original
        self.sent = {key for key, value in self.edited.items() if self.original.get(key) != value}

    def steps(self, fault: Fault) -> list[int]:
        """Exchanges, or the ends of transactions of the state: what is killed within one has not begun it."""
        if isinstance(fault, exchanges.Fault):
            return list(range(self.exchanges))
        ends = ("SQLite: COMMIT",) if fault in disk.KILLS else ("SQLite: COMMIT", "SQLite: INSERT INTO sent_log")
        return [at for at, what in enumerate(self.writes) if what.startswith(ends)]


@cache
def calm(folder: Path, how: str) -> Calm:
    (folder / how).mkdir()
    return Calm(folder / how, how)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calm")


def differing(found: dict[Key, Any], expected: dict[Key, Any]) -> set[Key]:
    return {key for key, value in expected.items() if found.get(key) != value}


@pytest.mark.parametrize("how", HOW)
def test_an_undisturbed_crawl_sends_what_has_changed(shared: Path, how: str) -> None:
    quiet = calm(shared, how)
    assert len(quiet.sent) == EDITED_RUNS + 2
    assert any("SQLite: INSERT INTO sent_log" in what for what in quiet.writes)
    assert any("COMMIT" in what for what in quiet.writes)


@pytest.mark.parametrize("fault", KILLS, ids=lambda fault: fault.value)
@pytest.mark.parametrize("how", HOW)
def test_what_is_taken_back_is_taken_back_in_datahub(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, fault: Fault
) -> None:
    calm(shared, how)
    # Only what must be on the disk before something is sent is written then.
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 1e9)
    for at, torture, outcome in lives(shared, tmp_path, how, fault):
        where = f"{fault.value} {at}: {outcome.said}"
        assert not outcome.is_traceback, where
        torture.take_back()
        torture.live()
        # What ended long ago is seen by a crawl that reads everything.
        torture.how = "--changed-only"
        last = torture.live()
        assert last.code == ENDS_WITH, where + last.said
        assert not differing(torture.gms.aspects, torture.original), where
        assert not torture.gms.violations, where


@pytest.mark.parametrize("fault", FAILURES, ids=lambda fault: fault.value)
def test_what_has_changed_arrives(shared: Path, tmp_path: Path, fault: Fault) -> None:
    how = "--changed-only"
    for at, torture, _ in lives(shared, tmp_path, how, fault):
        outcome = torture.live()
        assert outcome.code == ENDS_WITH, f"{fault.value} {at}: {outcome.said}"
        assert not differing(torture.gms.aspects, calm(shared, how).edited), f"{fault.value} {at}"
        # Nothing is left to send.
        assert torture.live().report["written"]["proposals"] == 0, f"{fault.value} {at}"


def lives(shared: Path, folder: Path, how: str, fault: Fault) -> Iterator[tuple[int, Changing, Outcome]]:
    """One crawl for each step that the fault can strike."""
    for at in calm(shared, how).steps(fault):
        case = folder / str(at)
        case.mkdir()
        torture = Changing(case, how)
        yield at, torture, torture.live(fault, at)
