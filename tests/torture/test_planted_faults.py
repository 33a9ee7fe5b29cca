"""The torture itself: with a bug planted, some of its cases must fail, or it would prove nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from crawler.atomic_files import AtomicFile
from crawler.checkpoint.acks import WindowAck
from crawler.checkpoint.checkpoint import Checkpoint
from crawler.checkpoint.sqlite import Changes, Database
from crawler.delivery.dead_letters import DeadLetters
from tests.torture import disk, exchanges
from tests.torture.cases import cases, run
from tests.torture.torture import FILE, Fault

pytestmark = pytest.mark.slow

Patch = Any


def gives_up_at_once() -> Patch:
    return mock.patch("crawler.http.retry.is_retryable", return_value=False)


def takes_what_was_read_for_delivered() -> Patch:
    return mock.patch.multiple(WindowAck, add=lambda _ack, _entities: None, done=lambda _ack, _entities: None)


def forgets_what_was_delivered() -> Patch:
    return mock.patch.object(Checkpoint, "was_delivered", return_value=False)


def forgets_datasets() -> Patch:
    return mock.patch.object(Database, "datasets", return_value=())


def lets_errors_of_the_disk_pass() -> Patch:
    def write(database: Database, changes: Changes) -> None:
        database._connection.execute("BEGIN IMMEDIATE")
        database._write(changes)
        database._connection.execute("COMMIT")

    return mock.patch.object(Database, "write", write)


def hides_errors_of_the_disk() -> Patch:
    return mock.patch.object(DeadLetters, "_not_kept")


def goes_on_in_a_torn_line() -> Patch:
    return mock.patch("crawler.delivery.dead_letters._is_torn", return_value=False)


def writes_in_place() -> Patch:
    def atomic_file(path: Path) -> AtomicFile:
        return AtomicFile(path, path)

    return mock.patch("crawler.sinks.file.atomic_file", atomic_file)


def commits_in_parts() -> Patch:
    write_all = Database._write

    def write(database: Database, changes: Changes) -> None:
        write_all(database, Changes(settings={}, windows=changes.windows))
        database._connection.execute("COMMIT")
        database._connection.execute("BEGIN IMMEDIATE")
        write_all(database, msgspec.structs.replace(changes, windows=[]))

    return mock.patch.object(Database, "_write", write)


@pytest.mark.parametrize(
    ("plant", "target", "fault", "found"),
    [
        (gives_up_at_once, "restli", exchanges.Fault.UNAVAILABLE, "was not survived"),
        (takes_what_was_read_for_delivered, "restli", exchanges.Fault.KILLED_BEFORE, "missing"),
        (forgets_what_was_delivered, "restli", exchanges.Fault.KILLED_AFTER, "sent again"),
        (forgets_datasets, "openapi", exchanges.Fault.KILLED_AFTER, "missing"),
        (lets_errors_of_the_disk_pass, "restli", disk.Fault.IO_ERROR, "traceback"),
        (hides_errors_of_the_disk, "restli", disk.Fault.NO_SPACE, "dead letters missing"),
        (goes_on_in_a_torn_line, "restli", disk.Fault.KILLED_WITHIN, "dead letters missing"),
        (writes_in_place, FILE, disk.Fault.KILLED_WITHIN, "corrupted"),
        (commits_in_parts, "restli", disk.Fault.KILLED_BEFORE, "the report counts"),
    ],
    ids=lambda item: getattr(item, "__name__", None) or getattr(item, "value", None),
)
def test_a_planted_bug_is_found(plant: Callable[[], Patch], target: str, fault: Fault, found: str) -> None:
    planned = list(cases(target, fault))
    with plant():
        findings = (finding for case in reversed(planned) for finding in run(case).findings)
        assert any(found in finding for finding in findings), f"none of {len(planned)} cases found it"
