"""Dead letters: kept for their owner only, one a line, whatever happened to the file before."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawler.datahub.proposals import Proposal
from crawler.dead_letters import DeadLetters
from crawler.errors import SettingsError
from crawler.report import CrawlReport


def proposal(number: int) -> Proposal:
    return Proposal("tag", f"urn:li:tag:{number}", "status", b'{"removed":false}')


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_letter_tells_all_that_replay_and_people_need(tmp_path: Path) -> None:
    report = CrawlReport("r")
    letters = DeadLetters(tmp_path / "dead.jsonl", report)
    letters.check()
    letters.write([], code="refused_422", reason="nothing")
    assert list(tmp_path.iterdir()) == [], "no failure, no file"
    letters.write([proposal(1)], code="refused_422", reason="The server's\nwords.", status=422)
    letters.write(map(proposal, (2, 3)), code="not_sent", reason="The crawl was stopped.")
    found = lines(letters.path)
    at = datetime.fromisoformat(str(found[0].pop("at")))
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=5)
    assert found[0] == {
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
    letters = DeadLetters(tmp_path / "dead.jsonl", CrawlReport("r"))
    letters.write([proposal(1)], code="x", reason="y")
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", ['{"at":"2026-11-24T1', '{"at":"2026-11-24T10:00:00Z","code":"x"}', "\n", ""])
def test_what_a_crash_left_behind_is_a_line_of_its_own(tmp_path: Path, left: str) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text(left)
    for number in (1, 2):
        DeadLetters(path, CrawlReport("r")).write([proposal(number)], code="x", reason="y")
    *before, first, second = path.read_text().splitlines()
    assert "\n".join(before) == left.removesuffix("\n")
    assert [json.loads(line)["proposal"]["entityUrn"] for line in (first, second)] == ["urn:li:tag:1", "urn:li:tag:2"]


def test_an_aspect_of_many_lines_becomes_one(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", CrawlReport("r"))
    aspect = b'{\r\n  "name": "a\\nb",\n  "weight": 1.50\n}'
    letters.write([Proposal("tag", "urn:li:tag:1", "tagProperties", aspect)], code="x", reason="y")
    (line,) = letters.path.read_bytes().splitlines()
    assert line.endswith(b'"aspect":{"json":{"name":"a\\nb","weight":1.50}}}}')


def test_a_full_disk_is_a_failure_of_the_report_and_no_error() -> None:
    report = CrawlReport("r")
    letters = DeadLetters(Path("/dev/full"), report)
    letters.check()
    for _ in range(2):
        letters.write(map(proposal, range(3)), code="x", reason="y")
    (failure,) = report.failures
    assert (failure.code, failure.count, report.dead_letters) == ("dead_letters", 6, 0)
    assert "No space left on device" in failure.message
    assert failure.samples == ["urn:li:tag:0: status"] * 2


def test_a_device_takes_letters_too() -> None:
    report = CrawlReport("r")
    DeadLetters(Path("/dev/null"), report).write([proposal(1)], code="x", reason="y")
    assert (report.dead_letters, report.failures) == (1, [])


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
    report = CrawlReport("r")
    letters = DeadLetters(tmp_path / path, report)
    with pytest.raises(SettingsError, match=reason):
        letters.check()
    letters.write([proposal(1)], code="x", reason="y")
    assert [failure.code for failure in report.failures] == ["dead_letters"]


def test_a_file_that_may_not_be_written_is_told_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dead.jsonl"
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anything
    with pytest.raises(SettingsError, match="Its folder cannot be written to"):
        DeadLetters(path, CrawlReport("r")).check()
    path.touch()
    with pytest.raises(SettingsError, match="Permission denied"):
        DeadLetters(path, CrawlReport("r")).check()


def test_a_dry_run_writes_none(tmp_path: Path) -> None:
    report = CrawlReport("r")
    report.dry_run = True
    letters = DeadLetters(tmp_path / "dead.jsonl", report)
    letters.write([Proposal("tag", "urn:li:tag:a", "status", b"{}")], code="urn", reason="no")
    assert (list(tmp_path.iterdir()), report.dead_letters) == ([], 0)
