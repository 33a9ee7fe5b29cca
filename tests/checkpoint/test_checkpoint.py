"""What a state keeps, what it refuses, and what it survives."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.checkpoint import Checkpoint
from crawler.checkpoint.sqlite import SCHEMA_VERSION, Changes, Database
from crawler.datahub.aspects.entities import Status
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity
from crawler.errors import OutputError, SettingsError
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mlflow.entities import Run, RunInfo
from crawler.mlflow.paging.coverage import Window
from crawler.pipeline.windows import WindowTracker
from crawler.telemetry.events import Outcome, Outcomes, ProposalsDecided, RowsRead
from crawler.telemetry.findings.mapping import URN_INVALID
from tests.support.examples import examples

FINGERPRINT = {"MLflow's URL": "http://mlflow", "env": "PROD"}
RUN, MODEL, DATASET = "dataProcessInstance", "mlModel", "dataset"


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def checkpoint(path: Path, run_id: str = "new", clock: Callable[[], float] | None = None) -> Checkpoint:
    return Checkpoint(path, FINGERPRINT, run_id, clock=clock or Clock())


def deliver(state: Checkpoint, entity_type: str, urn: str, ack: Ack | None = None) -> None:
    """What the pipeline does with an entity: it begins, is delivered and published, and counted in its window."""
    assert not state.was_delivered(urn)
    if ack is not None:
        ack.add(1)
    state(Outcomes([Outcome(entity_type, urn, 0)]))
    if ack is not None:
        ack.done(1)


def window(state: Checkpoint, experiment: str, since: int | None, until: int | None, rows: int = 0) -> None:
    windows = WindowTracker([experiment], state.new_ack)
    for number in range(rows):
        windows.count([Run(RunInfo(f"run {since} {number}", experiment_id=experiment))])
        deliver(state, RUN, f"run {since} {number}", windows.ack)
    windows.end(Window(since, until, {experiment: rows}))


def interrupted(path: Path) -> None:
    """A state with something of each kind in it."""
    with checkpoint(path, "first") as state:
        state.hold(reducer := DatasetReducer())
        reducer.merge(Entity(DATASET, "d1", (Status(removed=False),)), Run(RunInfo("r", start_time=7)))
        state(URN_INVALID.found("m: too long"))
        state(ProposalsDecided(delivered=12, rejected=1))
        state(Outcomes([Outcome(RUN, f"run {number}", 6) for number in range(2)]))
        deliver(state, MODEL, "m1")
        window(state, "1", None, 5, rows=2)
        window(state, "1", 9, None)
        window(state, "2", None, None)


def content(path: Path) -> tuple[Any, ...]:
    with checkpoint(path, "second") as state:
        state.hold(reducer := DatasetReducer())
        assert state.resumed is not None
        tally = state.resumed.tally
        return (
            state.run_id,
            [(each.code, each.count, each.samples) for each in tally.failures.values()],
            (tally.proposals, tally.rejected, dict(tally.delivered)),
            [state.gaps(experiment) for experiment in "123"],
            [state.rows(experiment) for experiment in "123"],
            [state.was_delivered(urn) for urn in ("m1", "m2", "run None 0")],
            list(reducer.finish()),
        )


KEPT = (
    "first",
    [("urn", 1, ["m: too long"])],
    (12, 1, {RUN: 2}),
    [[(5, 9)], [], [(None, None)]],
    [2, 0, 0],
    [True, False, False],
    [Entity(DATASET, "d1", (Status(removed=False),))],
)


def test_all_that_was_delivered_is_known_to_the_next_crawl(tmp_path: Path) -> None:
    interrupted(tmp_path / "state.db")
    assert content(tmp_path / "state.db") == KEPT
    assert content(tmp_path / "state.db") == KEPT
    assert [each.name for each in tmp_path.iterdir()] == ["state.db"]


def test_a_window_of_which_something_is_under_way_is_not_done(tmp_path: Path) -> None:
    with checkpoint(tmp_path / "state.db") as state:
        windows = WindowTracker(["1"], state.new_ack)
        assert windows.ack is not None
        windows.ack.add(1)
        windows.end(Window(None, 5, {"1": 1}))
    with checkpoint(tmp_path / "state.db") as state:
        assert state.gaps("1") == [(None, None)]


def test_it_is_written_once_a_second_at_most(tmp_path: Path) -> None:
    clock = Clock()
    state = checkpoint(tmp_path / "state.db", clock=clock)
    with state, closing(sqlite3.connect(tmp_path / "state.db")) as other:
        counts = []
        for second, urn in ((0.0, "a"), (0.9, "b"), (1.0, "c"), (1.5, "d"), (1.9, "e"), (2.0, "f")):
            clock.now = second
            deliver(state, MODEL, urn)
            counts += other.execute("SELECT coalesce(sum(length(urn_hashes)) / 8, 0) FROM settled").fetchone()
        assert counts == [0, 0, 3, 3, 3, 6]


def test_a_dataset_is_kept_until_it_has_arrived(tmp_path: Path) -> None:
    dataset = Entity(DATASET, "d1", (Status(removed=False),))
    for arrives in (False, True):
        with checkpoint(tmp_path / f"{arrives}.db") as state:
            state.hold(reducer := DatasetReducer())
            reducer.merge(dataset, Run(RunInfo("r", start_time=7)))
            assert list(reducer.finish()) == [dataset]
            if arrives:
                deliver(state, DATASET, "d1")
            else:
                assert not state.was_delivered("d1")
                deliver(state, MODEL, "m1")
        with checkpoint(tmp_path / f"{arrives}.db") as state:
            state.hold(reducer := DatasetReducer())
            assert list(reducer.finish()) == ([] if arrives else [dataset])
            assert state.was_delivered("d1") is arrives


def test_a_finished_state_starts_afresh(tmp_path: Path) -> None:
    interrupted(tmp_path / "state.db")
    with checkpoint(tmp_path / "state.db", "second") as state:
        assert state.resumed
        state.finish()
    other = {"env": "DEV"}
    with Checkpoint(tmp_path / "state.db", other, "third") as state:
        assert not state.resumed
        assert (state.run_id, state.gaps("1")) == ("third", [(None, None)])
        assert not state.was_delivered("m1")
        state.hold(reducer := DatasetReducer())
        assert list(reducer.finish()) == []


def test_a_finished_state_holds_nothing_of_the_crawl_any_more(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    interrupted(path)
    with checkpoint(path) as state:
        deliver(state, MODEL, "m2")
        state.finish()
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        left = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    assert [(name, row[:2]) for name, rows in left.items() for row in rows] == [
        ("setting", ("finished", "true")),
        ("setting", ("whole", '{"source":{"MLflow\'s URL":"http://mlflow"},"runs":0}')),
    ]


def test_names_that_are_no_unicode_are_known_again(tmp_path: Path) -> None:
    urns = ["m\ud800", "m\udfff", "m?"]
    with checkpoint(tmp_path / "state.db") as state:
        for urn in urns[:2]:
            deliver(state, MODEL, urn)
    with checkpoint(tmp_path / "state.db") as state:
        assert [state.was_delivered(urn) for urn in urns] == [True, True, False]


def test_runs_of_the_windows_that_are_done_are_counted_as_read(tmp_path: Path) -> None:
    with checkpoint(tmp_path / "state.db") as state:
        windows = WindowTracker(["1"], state.new_ack)
        for until, deleted in ((5, 1), (9, 2), (None, 0)):
            stages = ["deleted"] * deleted + ["active"] * 3
            windows.count([Run(RunInfo("r", "1", start_time=4, lifecycle_stage=stage)) for stage in stages])
            windows.end(Window(None, until, {"1": len(stages)}))
    with checkpoint(tmp_path / "state.db") as state:
        assert state.resumed is not None
        assert (state.resumed.runs, state.resumed.deleted_runs) == (9, 3)
        assert state.rows("1") == 12


class OtherDatasets(DatasetReducer):
    """Those of a release that kept them in another form."""

    def restore(self, told: bytes) -> None:
        raise msgspec.ValidationError("Expected `array`, got `int`")


def test_datasets_that_cannot_be_restored_are_told_as_damage(tmp_path: Path) -> None:
    interrupted(tmp_path / "state.db")
    with checkpoint(tmp_path / "state.db") as state, pytest.raises(SettingsError, match="is damaged: Expected `array`"):
        state.hold(OtherDatasets())


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"fingerprint": "no JSON"}, "JSON is malformed"),
        ({"fingerprint": "[]"}, "Expected `object`"),
        ({"findings": "{}"}, "missing required field `warnings`"),
    ],
)
def test_settings_that_no_crawl_writes_are_told_as_damage(tmp_path: Path, spoilt: dict[str, str], words: str) -> None:
    path = tmp_path / "state.db"
    interrupted(path)
    database = Database(path)
    database.write(Changes(settings=spoilt))
    database.close()
    with pytest.raises(SettingsError, match=f"is damaged: .*{words}"):
        checkpoint(path).__enter__()


def test_other_settings_are_named_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    interrupted(path)
    before = path.read_bytes()
    changed = {"MLflow's URL": "http://mlflow", "env": "DEV", "ui_url": "http://ui"}
    with pytest.raises(
        SettingsError,
        match=r"env was PROD and is DEV; ui_url was not set and is http://ui\. Give the same settings .* afresh\.$",
    ):
        Checkpoint(path, changed, "x").__enter__()
    assert path.read_bytes() == before


def test_a_second_crawl_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with checkpoint(path), pytest.raises(SettingsError, match=f"in use by another crawl, process {os.getpid()}"):
        checkpoint(path).__enter__()
    with checkpoint(path):
        pass


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with checkpoint(tmp_path / "state.db") as state:
        deliver(state, MODEL, "m1")
        assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
        assert {each.suffix for each in tmp_path.iterdir()} == {".db", ".db-wal", ".db-shm", ".lock"}


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE precious (a)")
        database.commit()


def newer_schema(path: Path) -> None:
    interrupted(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def without_schema(path: Path) -> None:
    interrupted(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA user_version = 0")


def truncated(path: Path) -> None:
    interrupted(path)
    os.truncate(path, path.stat().st_size - 4096)


def cut_in_its_head(path: Path) -> None:
    interrupted(path)
    os.truncate(path, 50)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("source:\n  type: mlflow\n"), "is no state of a crawl"),
        (foreign_database, "is the database of another application"),
        (newer_schema, "written by a newer release.*Upgrade, or move it away"),
        (without_schema, "is damaged: it has no schema version"),
        (truncated, r"is damaged.*Move it away to start afresh\."),
        (cut_in_its_head, "is damaged: it is cut off"),
    ],
)
def test_what_is_no_state_is_refused_and_not_touched(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=message):
        checkpoint(path).__enter__()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["state.db"]


def test_no_folder_and_a_folder_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "state.db", tmp_path):
        with pytest.raises(SettingsError, match=r"No such file|Is a directory"):
            checkpoint(path).__enter__()


@pytest.mark.slow
def test_wrong_bytes_are_told_or_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    interrupted(path)
    whole = path.read_bytes()
    random = Random(5)
    told = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(random.choice((1, 1, 4, 64))):
            damaged[random.randrange(100, len(damaged))] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        message, found = "", KEPT
        try:
            found = content(path)
        except SettingsError as error:
            message = str(error)
            told += 1
        assert not message or "is damaged" in message
        assert found == KEPT
    assert told


def test_what_is_left_of_a_state_that_is_gone_is_no_part_of_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = checkpoint(path)
    with state:
        deliver(state, MODEL, "m1")
        state._write()
        wal = path.with_name("state.db-wal").read_bytes()
    path.unlink()
    path.with_name("state.db-wal").write_bytes(wal)
    with checkpoint(path) as state:
        assert not state.resumed


def test_a_state_that_cannot_be_written_ends_the_crawl_and_says_so_once(tmp_path: Path) -> None:
    clock = Clock()
    with checkpoint(tmp_path / "state.db", clock=clock) as state:
        deliver(state, MODEL, "m1")
        clock.now = 1.0
        state._database._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(
            OutputError, match=r"Writing the state .*state\.db failed: .*readonly.*goes on where it was"
        ):
            deliver(state, MODEL, "m2")
        deliver(state, MODEL, "m3")


def fill_a_small_disk(path: Path) -> None:
    with checkpoint(path) as state:
        state._database._connection.execute("PRAGMA max_page_count = 1")
        for number in range(10_000):
            deliver(state, MODEL, f"new {number}")


def test_a_full_disk_leaves_what_was_written_before(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    interrupted(path)
    with pytest.raises(OutputError, match="full"):
        fill_a_small_disk(path)
    assert content(path) == KEPT


WRITE = """
import sys
from itertools import count
from pathlib import Path
from crawler.checkpoint.checkpoint import Checkpoint
from crawler.pipeline.windows import WindowTracker
from crawler.mlflow.paging.coverage import Window
from crawler.telemetry.events import Outcome, Outcomes, ProposalsDecided, RowsRead

ticks = count()
with Checkpoint(Path(sys.argv[1]), {"env": "PROD"}, "killed", clock=lambda: float(next(ticks))) as state:
    windows = WindowTracker(["1"], state.new_ack)
    start = state.gaps("1")[0][0] or 0
    print(start, flush=True)
    for number in range(start, 1_000_000):
        state(ProposalsDecided(delivered=number + 1 - state._tally.proposals))
        state(Outcomes([Outcome("mlModel", f"m{number}", 1)]))
        windows.end(Window(None if number == 0 else number, number + 1, {"1": 1}))
        print(number + 1, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_it_can_be_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    path, random = tmp_path / "state.db", Random(seed)
    reached = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            begun = int(process.stdout.readline())
            assert begun >= reached
            for _ in range(random.randrange(200)):
                reached = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        with Checkpoint(path, {"env": "PROD"}, "next") as state:
            ((done, _),) = state.gaps("1")
            # Each step is written, so only the last one may be missing, and all parts agree.
            assert (done or 0) >= reached - 1
            assert state.rows("1") == (done or 0)
            assert state._tally.proposals in {done or 0, (done or 0) + 1}
            assert all(state.was_delivered(f"m{number}") for number in range(done or 0))
            reached = max(reached - 1, done or 0)


windows = st.lists(st.tuples(st.sampled_from("12"), st.none() | st.integers(0, 9), st.integers(1, 5)), max_size=12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("state")


@examples(30)
@given(windows, st.integers(0, 12))
def test_what_two_crawls_did_adds_up(folders: Callable[[], Path], done: list[Any], cut: int) -> None:
    """The sum of two parts is what one would have kept."""
    both, one = folders() / "both.db", folders() / "one.db"
    for path, parts in ((both, [done[:cut], done[cut:]]), (one, [done])):
        for part in parts:
            with checkpoint(path) as state:
                for experiment, since, length in part:
                    window(state, experiment, since, None if since is None else since + length)
    with checkpoint(both) as first, checkpoint(one) as second:
        assert [first.gaps(each) for each in "12"] == [second.gaps(each) for each in "12"]


@pytest.mark.parametrize("begun", [False, True])
def test_other_settings_are_refused_only_where_something_was_delivered(begun: bool, tmp_path: Path) -> None:
    with checkpoint(tmp_path / "state.db") as state:
        if begun:
            deliver(state, MODEL, "urn:li:mlModel:a")
    other = Checkpoint(tmp_path / "state.db", FINGERPRINT | {"env": "QA"}, "other")
    if begun:
        with pytest.raises(SettingsError, match="other settings: env was PROD and is QA"), other:
            pass
    else:
        with other:
            assert (other.resumed, other.run_id) == (None, "other")


def whole_crawl(path: Path, runs: int, fingerprint: dict[str, str] = FINGERPRINT) -> int | None:
    """A crawl that comes to its end; what it expected."""
    with Checkpoint(path, fingerprint, "whole") as state:
        state(RowsRead("runs", runs - 1))
        state(RowsRead("experiments", 1_000))
        state(RowsRead("runs", 1))
        state.finish()
    return state.runs_expected


def test_the_runs_of_the_last_whole_crawl_are_expected_of_the_next_of_the_same_server(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    assert whole_crawl(path, 70) is None
    for _ in range(2):
        with checkpoint(path) as state:
            # One that is cut off changes nothing.
            state(RowsRead("runs", 3))
        assert state.runs_expected == 70
    assert whole_crawl(path, 80) == 70
    # Other settings of the mapping read the same runs.
    assert whole_crawl(path, 90, {**FINGERPRINT, "env": "DEV"}) == 80
    assert whole_crawl(path, 9, {**FINGERPRINT, "MLflow's URL": "http://other"}) is None
    assert whole_crawl(path, 9, {**FINGERPRINT, "MLflow's URL": "http://other", "the workspace": "w"}) is None
