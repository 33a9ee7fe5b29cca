"""Dead letters: kept for their owner only, one a line, whatever happened to the file before."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.datahub.aspects.entities import NOT_REMOVED
from crawler.datahub.proposals import Entity, Proposal
from crawler.delivery.dead_letters import DeadLetters, Origin, default_path, same_target
from crawler.delivery.open_delivery import open_delivery
from crawler.errors import SettingsError
from crawler.http.traffic import Traffic
from crawler.telemetry.report import Report
from crawler.telemetry.timing import Timing
from tests.support.dead_letters import ORIGIN


def proposal(number: int) -> Proposal:
    return Proposal("tag", f"urn:li:tag:{number}", "status", b'{"removed":false}')


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_letter_tells_all_that_replay_and_people_need(tmp_path: Path) -> None:
    report = Report("r")
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, report)
    letters.check()
    letters.write([], code="refused_422", reason="nothing")
    assert list(tmp_path.iterdir()) == [], "no failure, no file"
    letters.write([proposal(1)], code="refused_422", reason="The server's\nwords.", status=422)
    letters.write(map(proposal, (2, 3)), code="not_sent", reason="The crawl was stopped.")
    assert letters.sync()
    found = lines(letters.path)
    at = datetime.fromisoformat(str(found[0].pop("at")))
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=5)
    assert found[0] == {
        "run_id": "r",
        "target": "http://gms:8080",
        "code": "refused_422",
        "reason": "The server's\nwords.",
        "status": 422,
        "proposal": {
            "entityType": "tag",
            "entityUrn": "urn:li:tag:1",
            "changeType": "UPSERT",
            "aspectName": "status",
            "aspect": {"json": {"removed": False}},
        },
    }
    assert [(each["code"], each["status"]) for each in found[1:]] == [("not_sent", None)] * 2
    assert (report.dead_letters, report.dead_letters_path) == (3, letters.path)
    assert report.failures == []


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, Report("r"))
    letters.write([proposal(1)], code="x", reason="y")
    letters.sync()
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", ['{"at":"2026-11-24T1', '{"at":"2026-11-24T10:00:00Z","code":"x"}', "\n", ""])
def test_what_a_crash_left_behind_is_a_line_of_its_own(tmp_path: Path, left: str) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text(left)
    for number in (1, 2):
        letters = DeadLetters(path, ORIGIN, Report("r"))
        letters.write([proposal(number)], code="x", reason="y")
        letters.sync()
    *before, first, second = path.read_text().splitlines()
    assert "\n".join(before) == left.removesuffix("\n")
    assert [json.loads(line)["proposal"]["entityUrn"] for line in (first, second)] == ["urn:li:tag:1", "urn:li:tag:2"]


def test_an_aspect_of_many_lines_becomes_one(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, Report("r"))
    aspect = b'{\r\n  "name": "a\\nb",\n  "weight": 1.50\n}'
    letters.write([Proposal("tag", "urn:li:tag:1", "tagProperties", aspect)], code="x", reason="y")
    letters.sync()
    (line,) = letters.path.read_bytes().splitlines()
    assert line.endswith(b'"aspect":{"json":{"name":"a\\nb","weight":1.50}}}}')


def test_a_full_disk_is_a_failure_of_the_report_and_no_error() -> None:
    report = Report("r")
    letters = DeadLetters(Path("/dev/full"), ORIGIN, report)
    letters.check()
    for _ in range(2):
        assert not letters.write(map(proposal, range(3)), code="x", reason="y")
    letters.sync()
    (failure,) = report.failures
    assert (failure.code, failure.count, report.dead_letters) == ("dead_letters", 6, 0)
    assert "No space left on device" in failure.message
    assert failure.samples == ["urn:li:tag:0: status"] * 2


def test_a_device_takes_letters_too() -> None:
    report = Report("r")
    letters = DeadLetters(Path("/dev/null"), ORIGIN, report)
    letters.write([proposal(1)], code="x", reason="y")
    assert letters.sync()
    assert (report.dead_letters, report.failures) == (1, [])


def failing(error: int) -> Callable[[int], None]:
    def fail(_descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    return fail


def test_letters_reach_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    report = Report("r")
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, report)
    for number in range(100):
        assert letters.write([proposal(number)], code="x", reason="y")
    assert (len(lines(letters.path)), len(synced), report.dead_letters) == (100, 0, 0)
    assert all(letters.sync() for _ in range(2))
    assert (len(synced), report.dead_letters) == (1, 100)


def test_what_does_not_reach_the_disk_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("r")
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, report)
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", failing(errno.EIO))
        for number in range(3):
            assert letters.write([proposal(number)], code="x", reason="y")
        assert not letters.sync()
    (failure,) = report.failures
    assert (failure.code, failure.count, failure.samples) == ("dead_letters", 3, ["urn:li:tag:0: status"])
    assert "Input/output error" in failure.message
    assert report.dead_letters == 0
    letters.write([proposal(3)], code="x", reason="y")
    assert letters.sync()
    assert (report.dead_letters, failure.count) == (1, 3)


def test_what_was_written_is_kept_although_the_disk_is_full_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report("r")
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, report)
    assert letters.write([proposal(1)], code="x", reason="y")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr("os.write", lambda *_: failing(errno.ENOSPC)(0))
        assert not letters.write(map(proposal, (2, 3)), code="x", reason="y")
        full.setattr("os.write", lambda descriptor, block: write(descriptor, block[:40]) and failing(errno.ENOSPC)(0))
        assert not letters.write([proposal(4)], code="x", reason="y")
    assert letters.write([proposal(5)], code="x", reason="y")
    assert letters.sync()
    first, torn, last = letters.path.read_bytes().splitlines()
    assert len(torn) == 40
    assert [json.loads(line)["proposal"]["entityUrn"] for line in (first, last)] == ["urn:li:tag:1", "urn:li:tag:5"]
    (failure,) = report.failures
    assert (failure.count, report.dead_letters) == (3, 2)


def test_a_file_that_is_moved_away_keeps_its_letters(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", ORIGIN, Report("r"))
    for number in (1, 2):
        letters.write([proposal(number)], code="x", reason="y")
        letters.sync()
        letters.path.rename(tmp_path / f"moved {number}")
    assert [len(lines(tmp_path / f"moved {number}")) for number in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "Is a directory"),
        ("no/dead.jsonl", "No such folder"),
        ("file/dead.jsonl", "No such folder"),
        ("\0", "null"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_early(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    report = Report("r")
    letters = DeadLetters(tmp_path / path, ORIGIN, report)
    with pytest.raises(SettingsError, match=reason):
        letters.check()
    letters.write([proposal(1)], code="x", reason="y")
    assert [failure.code for failure in report.failures] == ["dead_letters"]


def test_a_file_that_may_not_be_written_is_told_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dead.jsonl"
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anything
    with pytest.raises(SettingsError, match="Its folder cannot be written to"):
        DeadLetters(path, ORIGIN, Report("r")).check()
    path.touch()
    with pytest.raises(SettingsError, match="Permission denied"):
        DeadLetters(path, ORIGIN, Report("r")).check()


@pytest.mark.parametrize(
    ("run_id", "name"),
    [
        ("mlflow-2026_11_29-07_09_53-ab12cd", "mlflow-2026_11_29-07_09_53-ab12cd"),
        ("../a b/v1.5", "___a_b_v1_5"),
        ("é" * 300, "_" * 100),
        ("", ""),
    ],
)
def test_the_files_name_has_the_run_id(run_id: str, name: str) -> None:
    assert default_path(run_id).name == f"mlflow-datahub-dead-letters-{name}.jsonl"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://gms:8080", "http://gms:8080/", True),
        ("http://gms", "https://GMS:443", True),
        ("http://host/a", "http://host:80/a/", True),
        ("http://host/a", "http://host/b", False),
        ("http://gms:8080", "http://gms:8081", False),
        ("/data/a.db", "/data/a.db", True),
        ("/data/a.db", "/data/b.db", False),
        ("standard output", "http://gms:8080", False),
        ("http://[", "http://gms:8080", False),
    ],
)
def test_whether_two_targets_are_one(one: str, other: str, same: bool) -> None:
    assert same_target(one, other) == same_target(other, one) == same


def test_a_file_takes_the_letters_of_many_runs_for_one_target(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text('{"at":"2026-11-24T10:00:00Z","code":"x"}\n')
    for run_id in ("monday", "tuesday"):
        letters = DeadLetters(path, Origin(run_id, "http://gms:8080/"), Report("r"))
        letters.require_unmixed()
        letters.write([proposal(1)], code="x", reason="y")
        letters.sync()
    assert [line.get("run_id") for line in lines(path)] == [None, "monday", "tuesday"]
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="holds what was kept for http://gms:8080/, and this is for http://other:"):
        DeadLetters(path, Origin("r", "http://other:8080"), Report("r")).require_unmixed()
    assert path.read_bytes() == before


@pytest.mark.parametrize("left", [b'{"at":"2026-11-24T1', b"\xff\n", b"[]\n", b'{"target":1}\n', b"\n\n"])
def test_lines_that_cannot_be_read_name_no_target(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "dead.jsonl").write_bytes(left)
    DeadLetters(tmp_path / "dead.jsonl", ORIGIN, Report("r")).require_unmixed()


def test_a_dry_run_writes_none(tmp_path: Path) -> None:
    settings = load(
        {"source": {"type": "mlflow", "config": {"tracking_uri": "http://m"}}, "sink": {"type": "file"}},
        {},
        Flags(dead_letters=tmp_path / "dead.jsonl", dry_run=True),
    )
    report = Report("r")

    async def work() -> None:
        async with open_delivery(settings, report, Traffic(), Timing()) as delivery:
            delivery.add([Entity("tag", f"urn:li:tag:{'x' * 600}", (NOT_REMOVED,))])
            delivery.abandon("It has ended.")

    asyncio.run(work())
    assert (list(tmp_path.iterdir()), report.dead_letters, report.rejected) == ([], 0, 1)
