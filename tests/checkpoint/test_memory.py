"""What a state keeps beyond the end of a crawl: of which experiments all runs were read, and what is owed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crawler.checkpoint import memory as memory_module
from crawler.checkpoint.acks import Window
from crawler.checkpoint.checkpoint import Checkpoint
from crawler.checkpoint.intervals import EVERYTHING, Bounds
from crawler.checkpoint.memory import Memory
from crawler.mapping.runs import run_urn
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent
from crawler.telemetry.events import ExperimentsListed, Outcome, Outcomes, RowsRead
from crawler.telemetry.findings.delivery import REFUSED

HOUR = 3_600_000
FINGERPRINT = {"MLflow's URL": "http://mlflow", "the sink": "http://gms", "env": "PROD"}
INCREMENTAL = KeepingCurrent(incremental=IncrementalSettings())
FULL = KeepingCurrent()
RUN, TAG = run_urn("a" * 32), "urn:li:tag:x"


class Clock:
    """The time of day in ms since epoch; seconds of the other clock do not pass."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(memory_module, "_now", lambda: clock.now)
    return clock


class Crawl:
    """A checkpoint with its memory."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        assert checkpoint.memory is not None
        self.checkpoint = checkpoint
        self.memory: Memory = checkpoint.memory

    def listed(self, **looks: str) -> None:
        """All experiments, by id: what they look like, `deleted` if they are that."""
        active = {each: look for each, look in looks.items() if look != "deleted"}
        self.memory.experiments.listed(active, looks.keys() - active.keys())
        self.checkpoint(ExperimentsListed())

    def read(self, experiment: str, since: int | None = None, until: int | None = None, *, owed: bool = False) -> None:
        """A window of runs, all of which were delivered, or not."""
        ack = self.checkpoint.new_ack()
        ack.add(1)
        if owed:
            ack.owe()
        ack.done(1)
        ack.seal([Window(experiment, since, until, 1, 1, 0)])

    @property
    def since(self) -> int | None:
        return self.memory.scope.since

    def gaps(self, *experiments: str) -> list[list[Bounds]]:
        return [self.checkpoint.gaps(each) for each in experiments]


@contextmanager
def crawl(path: Path, wanted: KeepingCurrent = INCREMENTAL, *, ends: bool = True) -> Iterator[Crawl]:
    with Checkpoint(path, FINGERPRINT, "run", wanted, clock=lambda: 0.0) as checkpoint:
        yield Crawl(checkpoint)
        if ends:
            checkpoint.finish()
        elif checkpoint._pending.is_dirty:
            checkpoint._write()


def first(path: Path, **looks: str) -> None:
    with crawl(path) as one:
        one.listed(**(looks or {"a": "A", "b": "B"}))
        for each in looks or "ab":
            one.read(each)


def test_of_experiments_that_were_read_only_later_runs_are_to_be_read(tmp_path: Path, clock: Clock) -> None:
    with crawl(tmp_path / "state") as one:
        assert one.since is None
        one.listed(a="A", b="B", c="C")
        assert one.gaps("a") == [[EVERYTHING]]
        for each in "abc":
            one.read(each)
    begun = clock.now
    clock.now += 5 * HOUR
    with crawl(tmp_path / "state") as two:
        assert two.since == begun - HOUR
        two.listed(a="A", b="renamed", c="deleted", d="D")
        assert two.gaps("a", "b", "d") == [[(begun - HOUR, None)], [EVERYTHING], [EVERYTHING]]
        assert [two.memory.is_known(each) for each in "abcd"] == [True, False, False, False]
        for each in "abd":
            two.read(each)
    later = clock.now
    clock.now += HOUR
    with crawl(tmp_path / "state") as three:
        three.listed(a="A", b="renamed", c="C", d="D")
        known: list[list[Bounds]] = [[(later - HOUR, None)]]
        assert three.gaps(*"abcd") == known * 2 + [[EVERYTHING]] + known
    with crawl(tmp_path / "state", FULL) as full:
        full.listed(a="A", b="renamed", c="C", d="D")
        assert full.gaps(*"abcd") == [[EVERYTHING]] * 4
        assert not full.memory.is_known("a")


def test_an_experiment_that_could_not_be_read_is_read_whole(tmp_path: Path) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A", b="B")
        one.memory.experiments.forget(["a"])
    with crawl(tmp_path / "state") as two:
        two.listed(a="A", b="B")
        assert [two.memory.is_known(each) for each in "ab"] == [False, True]


def test_a_window_of_which_something_was_not_delivered_is_read_again_once(tmp_path: Path, clock: Clock) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A", b="B")
        one.read("a", None, 100)
        one.read("a", 100, 200, owed=True)
        one.read("a", 200)
        one.read("b")
    since = clock.now - HOUR
    with crawl(tmp_path / "state") as two:
        two.listed(a="A", b="B")
        assert two.gaps("a", "b") == [[(100, 200), (since, None)], [(since, None)]]
        # Also where only some of its runs were asked for.
        ack = two.checkpoint.new_ack(whole=False)
        ack.owe()
        ack.seal([Window("b", 300, 400, 1, 1, 0)])
        assert two.gaps("b") == [[(since, None)]]
    with crawl(tmp_path / "state") as three:
        three.listed(a="A", b="B")
        assert three.gaps("a", "b") == [[(since, None)], [(300, 400), (since, None)]]


def test_where_the_listing_has_no_end_the_next_crawl_reads_what_this_one_had_to(tmp_path: Path, clock: Clock) -> None:
    first(tmp_path / "state")
    begun = clock.now
    clock.now += HOUR
    with crawl(tmp_path / "state") as two:
        two.memory.experiments.listed({"a": "A", "c": "C"}, [])
        two.read("a", owed=True)
    clock.now += HOUR
    with crawl(tmp_path / "state") as three:
        assert three.since == begun - HOUR
        three.listed(a="A", b="B", c="C")
        assert three.gaps(*"abc") == [[(begun - HOUR, None)], [(begun - HOUR, None)], [EVERYTHING]]


def test_what_no_file_keeps_is_read_again(tmp_path: Path, clock: Clock) -> None:
    first(tmp_path / "state")
    begun = clock.now
    clock.now += HOUR
    with crawl(tmp_path / "state") as two:
        two.listed(a="A", b="B")
        two.checkpoint(Outcomes([Outcome("tag", TAG, 0, 1, kept=False)]))
    clock.now += HOUR
    with crawl(tmp_path / "state") as three:
        assert three.since == begun - HOUR


def test_a_crawl_that_was_cut_off_is_gone_on_with_as_it_was(tmp_path: Path, clock: Clock) -> None:
    first(tmp_path / "state")
    begun = clock.now
    clock.now += HOUR
    with crawl(tmp_path / "state", ends=False) as two:
        two.listed(a="A", b="renamed", c="C")
        two.read("a", begun - HOUR, begun)
        two.read("b", None, 500)
    interrupted = clock.now
    # It is longer ago than full_every by now: what was begun is what counts.
    clock.now += 30 * 24 * HOUR
    with crawl(tmp_path / "state", ends=False) as again:
        assert again.since == begun - HOUR
        assert again.memory.scope.began == interrupted
        again.listed(a="A", b="renamed", c="C")
        assert again.gaps(*"abc") == [[(begun, None)], [(500, None)], [EVERYTHING]]
    with crawl(tmp_path / "state") as again:
        again.listed(a="A", b="renamed once more", c="C")
        # Some of its runs have the former container, so the next crawl reads all of them.
        assert again.gaps("b") == [[(500, None)]]
    clock.now = interrupted + HOUR
    with crawl(tmp_path / "state") as last:
        last.listed(a="A", b="renamed once more", c="C")
        assert last.since == interrupted - HOUR
        assert [last.memory.is_known(each) for each in "abc"] == [True, False, True]


def test_however_often_a_crawl_is_cut_off_what_changed_in_it_is_read_by_the_next_one(tmp_path: Path) -> None:
    with crawl(tmp_path / "state", ends=False) as one:
        one.listed(a="A", b="B", c="C")
        for each in "abc":
            one.read(each)
    with crawl(tmp_path / "state", ends=False) as again:
        again.listed(a="A", b="renamed", c="deleted", d="D")
        again.read("d")
    with crawl(tmp_path / "state") as again:
        again.listed(a="A", b="renamed", c="C")
        assert again.gaps(*"abc") == [[], [], []]
    with crawl(tmp_path / "state") as last:
        last.listed(a="A", b="renamed", c="C")
        assert [last.memory.is_known(each) for each in "abc"] == [True, False, False]
        for each in "bc":
            last.read(each)
    with crawl(tmp_path / "state") as after:
        after.listed(a="A", b="renamed", c="C")
        assert [after.memory.is_known(each) for each in "abc"] == [True, True, True]


@pytest.mark.parametrize("wanted", [FULL, None])
def test_who_wants_everything_does_not_go_on_with_less(tmp_path: Path, wanted: KeepingCurrent | None) -> None:
    first(tmp_path / "state")
    with crawl(tmp_path / "state", ends=False) as two:
        two.listed(a="A", b="renamed")
        two.read("a")
        two.checkpoint(Outcomes([Outcome("tag", TAG, 1)]))
    with Checkpoint(tmp_path / "state", FINGERPRINT, "other", wanted, clock=lambda: 0.0) as three:
        assert three.resumed is None
        assert three.gaps("a") == [EVERYTHING]
        assert not three.was_delivered(TAG)


def test_a_full_crawl_that_was_cut_off_is_gone_on_with_by_an_incremental_one(tmp_path: Path) -> None:
    first(tmp_path / "state")
    with crawl(tmp_path / "state", FULL, ends=False) as two:
        two.listed(a="A", b="B")
        two.read("a")
    with crawl(tmp_path / "state") as three:
        assert three.since is None
        three.listed(a="A", b="B")
        assert three.gaps("a", "b") == [[], [EVERYTHING]]


def known(path: Path, *urns: str) -> list[bool]:
    with crawl(path, ends=False) as one:
        return [bool(each.digests) for each in one.memory.sent.of(urns)]


def deliver(one: Crawl, *urns: str) -> None:
    for urn in urns:
        one.memory.sent.of([urn])
        one.memory.sent.add(urn, b"d" * 16)


@pytest.mark.parametrize("ends", [{"the sink": "http://other"}, {"MLflow's URL": "http://other"}])
def test_of_other_servers_nothing_is_known(tmp_path: Path, ends: dict[str, str]) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A")
        deliver(one, RUN, TAG)
    assert known(tmp_path / "state", RUN, TAG) == [True, True]
    with crawl(tmp_path / "state"):
        pass
    with Checkpoint(tmp_path / "state", FINGERPRINT | ends, "r", INCREMENTAL) as other:
        assert other.memory is not None
        assert [bool(each.digests) for each in other.memory.sent.of([RUN, TAG])] == [False, False]
        assert other.memory.scope.is_full


def test_other_settings_need_a_crawl_of_everything_that_sends_what_differs(tmp_path: Path) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A")
        deliver(one, RUN)
    with Checkpoint(tmp_path / "state", FINGERPRINT | {"env": "DEV"}, "r", INCREMENTAL) as other:
        assert other.memory is not None
        assert other.memory.scope.is_full
        assert other.memory.sent.of([RUN])[0].digests


def test_what_a_full_crawl_did_not_meet_is_told_of_runs_and_forgotten_of_others(tmp_path: Path) -> None:
    runs = [run_urn(f"{number:032x}") for number in range(4)]
    tags = [f"urn:li:tag:{number}" for number in range(3)]
    with crawl(tmp_path / "state") as one:
        one.listed(a="A")
        deliver(one, *runs[:3], *tags[:2])
    with crawl(tmp_path / "state") as two:
        two.listed(a="A")
        assert two.since is not None
        assert [*two.memory.unseen_runs()] == []
    with crawl(tmp_path / "state", FULL, ends=False) as three:
        three.listed(a="A")
        deliver(three, runs[0], tags[0])
        three.read("a", None, 5)
    with crawl(tmp_path / "state", FULL) as three:
        three.listed(a="A")
        deliver(three, runs[3], tags[2])
        # Those that the first part of it has met are there.
        assert [*three.memory.unseen_runs()] == runs[1:3]
        three.memory.forget(runs[1:2])
        assert [*three.memory.unseen_runs()] == runs[2:3]
    assert known(tmp_path / "state", *runs, *tags) == [True, False, True, True, True, False, True]


def test_after_a_failure_nothing_is_forgotten(tmp_path: Path) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A")
        deliver(one, TAG)
    with crawl(tmp_path / "state", FULL) as two:
        two.listed(a="A")
        two.checkpoint(REFUSED.found("x", status=403))
    assert known(tmp_path / "state", TAG) == [True]


def test_an_incremental_crawl_says_nothing_of_how_many_runs_there_are(tmp_path: Path) -> None:
    def expected(wanted: KeepingCurrent, runs: int) -> int | None:
        with crawl(tmp_path / "state", wanted) as one:
            one.listed(a="A")
            one.checkpoint(RowsRead("runs", runs))
            return one.checkpoint.runs_expected

    assert [expected(*each) for each in ((FULL, 90), (INCREMENTAL, 2), (FULL, 91), (FULL, 92))] == [None, None, 90, 91]


def noted(one: Crawl) -> Callable[[str], bytes]:
    return one.memory.note_of


def test_notes_count_where_not_everything_is_read(tmp_path: Path) -> None:
    with crawl(tmp_path / "state") as one:
        one.listed(a="A")
        deliver(one, TAG)
        one.memory.sent.note(TAG, b"noted")
    with crawl(tmp_path / "state") as two:
        two.listed(a="A")
        assert (noted(two)(TAG), noted(two)(RUN)) == (b"noted", b"")
    with crawl(tmp_path / "state", FULL) as three:
        assert noted(three)(TAG) == b""
