"""What DataHub has not, kept so that `replay` can send it again: JSON Lines, one proposal each, with when and why."""

import os
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from crawler.datahub.proposals import Proposal
from crawler.errors import SettingsError
from crawler.outputs import open_for_owner, reason_of
from crawler.report import CrawlReport

DEFAULT_PATH = Path("mlflow-datahub-dead-letters.jsonl")

_encode = msgspec.json.Encoder().encode


class _Aspect(msgspec.Struct):
    json: msgspec.Raw


class _Proposal(msgspec.Struct, rename="camel"):
    """As DataHub's `file` sink writes proposals."""

    entity_type: str
    entity_urn: str
    change_type: str
    aspect_name: str
    aspect: _Aspect


class _Line(msgspec.Struct):
    at: datetime
    code: str
    reason: str
    status: int | None
    proposal: _Proposal


class DeadLetters:
    """One file of dead letters. It is made, for its owner only, with the first letter; later ones are added to it."""

    def __init__(self, path: Path, report: CrawlReport) -> None:
        self.path = path
        self._report = report

    def problem(self) -> str | None:
        """Why the file could not be written; makes nothing."""
        try:
            return _problem(self.path)
        except (OSError, ValueError) as error:
            return reason_of(error)

    def check(self) -> None:
        """Raises SettingsError where the file could not be written; makes nothing."""
        if problem := self.problem():
            raise SettingsError(
                f"Cannot write dead letters to {self.path}: {problem}.",
                "Give --dead-letters the path of a file in a folder that exists and can be written to.",
            )

    def write(self, proposals: Iterable[Proposal], *, code: str, reason: str, status: int | None = None) -> bool:
        """Adds the proposals; they are on the disk when this gives True. `code` and `reason` say why DataHub has them
        not, `status` is that of its answer, if it gave one. What cannot be kept is a failure of the report, never an
        error.
        """
        letters = list(proposals)
        if not letters or self._report.dry_run:
            return True
        now = datetime.now(UTC)
        try:
            _append(self.path, b"".join([_line(letter, now, code, reason, status) for letter in letters]))
        except (OSError, ValueError) as error:
            self._not_kept(letters, reason_of(error))
            return False
        self._report.dead_letters += len(letters)
        self._report.dead_letters_path = self.path
        return True

    def _not_kept(self, letters: list[Proposal], problem: str) -> None:
        message = (
            f"What DataHub did not get could not be kept in {self.path} either: {problem}. "
            "Make room there or give --dead-letters another path, then run it again."
        )
        self._report.fail("dead_letters", message, f"{letters[0].urn}: {letters[0].aspect_name}", len(letters))


def _problem(path: Path) -> str | None:
    if path.is_dir():
        return "Is a directory"
    if path.exists():
        return None if os.access(path, os.R_OK | os.W_OK) else "Permission denied"
    if not path.resolve().parent.is_dir():
        return "No such folder"
    return None if os.access(path.resolve().parent, os.W_OK | os.X_OK) else "Its folder cannot be written to"


def _line(letter: Proposal, at: datetime, code: str, reason: str, status: int | None) -> bytes:
    # A line break in JSON can only be a blank between values: it goes, or the letter would be two lines.
    broken = b"\n" in letter.aspect or b"\r" in letter.aspect
    aspect = msgspec.json.format(letter.aspect, indent=-1) if broken else letter.aspect
    proposal = _Proposal(letter.entity_type, letter.urn, "UPSERT", letter.aspect_name, _Aspect(msgspec.Raw(aspect)))
    return _encode(_Line(at, code, reason, status, proposal)) + b"\n"


def _append(path: Path, lines: bytes) -> None:
    """Opened anew each time: letters are rare, and the file may have been moved away meanwhile."""
    descriptor = open_for_owner(path, os.O_RDWR | os.O_APPEND)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        rest = memoryview(b"\n" + lines if regular and _is_torn(descriptor) else lines)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if regular:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_torn(descriptor: int) -> bool:
    """Whether the last line has no end, as after a crash or on a full disk: what is added must not be lost in it."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    return end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
