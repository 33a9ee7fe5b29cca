"""Torture: the exchanges and writes of a small crawl fail once in each way, and are the process's last.

A third of them for each fault, not the same for the next one; all of them with `--all-faults`.

A failing case tells the command that replays only it.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from tests.torture import disk, exchanges
from tests.torture.cases import Verdict, cases, run, undisturbed
from tests.torture.torture import FILE, LOSSY, TARGETS, Fault

NETWORK_FAULTS = [fault for fault in exchanges.Fault if fault not in exchanges.KILLS]
DISK_FAULTS = [fault for fault in disk.Fault if fault not in disk.KILLS]
SHOWN = 10

Torturer = Callable[..., list[Verdict]]


def value(item: object) -> str:
    return str(getattr(item, "value", item))


@pytest.fixture
def all_of(request: pytest.FixtureRequest) -> Torturer:
    """Returns the verdicts of the steps at which a fault strikes; fails where one of them has findings."""
    every = 1 if request.config.getoption("--all-faults") else 3
    return partial(_verdicts, every)


def _verdicts(every: int, target: str, fault: Fault, then: Fault | None = None) -> list[Verdict]:
    steps = list(cases(target, fault, then))
    verdicts = [run(case) for case in steps[len(fault.value) % every :: every] or steps]
    failed = [verdict for verdict in verdicts if verdict.findings]
    shown = "\n".join(map(str, failed[:SHOWN]))
    assert not failed, f"{len(failed)} of {len(verdicts)} cases failed\n{shown}"
    return verdicts


@pytest.mark.parametrize("target", TARGETS)
def test_an_undisturbed_crawl_has_all_that_can_fail(target: str) -> None:
    calm = undisturbed(target)
    kinds = {what.partition(" ")[0] for what in calm.writes}
    expected = {"open", "write", "fsync", "replace"} | ({"SQLite:"} if target != FILE else set())
    assert kinds >= expected
    # What is put in its place is on the disk by then.
    moved = [(before, what) for before, what in pairwise(calm.writes) if re.fullmatch(r"replace .*\.part", what)]
    assert all(before == what.replace("replace", "fsync") for before, what in moved)
    assert calm.exchanges >= 15
    assert bool(calm.outcome.letters) == (target != FILE)
    runs = calm.outcome.report["read"]["runs"]
    assert runs >= 15
    assert len({urn for urn, _ in calm.aspects if urn.startswith("urn:li:dataProcessInstance:")}) >= runs - 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", NETWORK_FAULTS, ids=value)
@pytest.mark.parametrize("target", TARGETS)
def test_one_exchange_fails(target: str, fault: exchanges.Fault, all_of: Torturer) -> None:
    verdicts = all_of(target, fault)
    if fault not in exchanges.GARBLED:
        assert all(verdict.well for verdict in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("fault", exchanges.GARBLED, ids=value)
def test_one_answer_is_spoilt_while_datahub_loses_a_run(fault: exchanges.Fault, all_of: Torturer) -> None:
    all_of(LOSSY, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", DISK_FAULTS, ids=value)
@pytest.mark.parametrize("target", ["restli", FILE])
def test_one_write_fails(target: str, fault: disk.Fault, all_of: Torturer) -> None:
    all_of(target, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", exchanges.KILLS, ids=value)
@pytest.mark.parametrize("target", TARGETS)
def test_a_kill_at_an_exchange(target: str, fault: exchanges.Fault, all_of: Torturer) -> None:
    all_of(target, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", disk.KILLS, ids=value)
@pytest.mark.parametrize("target", ["restli", FILE])
def test_a_kill_at_a_write(target: str, fault: disk.Fault, all_of: Torturer) -> None:
    all_of(target, fault)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "fault", "then"),
    [
        ("restli", exchanges.Fault.KILLED_AFTER, exchanges.Fault.KILLED_BEFORE),
        ("openapi", exchanges.Fault.KILLED_BEFORE, disk.Fault.KILLED_BEFORE),
        ("restli", disk.Fault.KILLED_WITHIN, disk.Fault.NO_SPACE),
    ],
    ids=value,
)
def test_a_kill_and_a_second_fault_while_it_goes_on(target: str, fault: Fault, then: Fault, all_of: Torturer) -> None:
    all_of(target, fault, then)
