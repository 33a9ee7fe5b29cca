"""Torture: each exchange and each write of a small crawl fails once in each way, and is the process's last.

A failing case tells the command that replays only it.
"""

import re
from itertools import pairwise

import pytest

from tests.torture import disk, exchanges
from tests.torture.cases import Verdict, cases, run, undisturbed
from tests.torture.torture import FILE, LOSSY, TARGETS, Fault

NETWORK_FAULTS = [fault for fault in exchanges.Fault if fault not in exchanges.KILLS]
DISK_FAULTS = [fault for fault in disk.Fault if fault not in disk.KILLS]
SHOWN = 10


def value(item: object) -> str:
    return str(getattr(item, "value", item))


def all_of(target: str, fault: Fault, then: Fault | None = None) -> list[Verdict]:
    """The verdict of each step; fails where one of them has findings."""
    verdicts = [run(case) for case in cases(target, fault, then)]
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
def test_one_exchange_fails(target: str, fault: exchanges.Fault) -> None:
    verdicts = all_of(target, fault)
    if fault not in exchanges.GARBLED:
        assert all(verdict.well for verdict in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("fault", exchanges.GARBLED, ids=value)
def test_one_answer_is_spoilt_while_datahub_loses_a_run(fault: exchanges.Fault) -> None:
    all_of(LOSSY, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", DISK_FAULTS, ids=value)
@pytest.mark.parametrize("target", ["restli", FILE])
def test_one_write_fails(target: str, fault: disk.Fault) -> None:
    all_of(target, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", exchanges.KILLS, ids=value)
@pytest.mark.parametrize("target", TARGETS)
def test_a_kill_at_an_exchange(target: str, fault: exchanges.Fault) -> None:
    all_of(target, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", disk.KILLS, ids=value)
@pytest.mark.parametrize("target", ["restli", FILE])
def test_a_kill_at_a_write(target: str, fault: disk.Fault) -> None:
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
def test_a_kill_and_a_second_fault_while_it_goes_on(target: str, fault: Fault, then: Fault) -> None:
    all_of(target, fault, then)
