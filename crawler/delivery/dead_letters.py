"""What DataHub does not have, kept so that `replay` can send it again: JSON Lines, one proposal each, when and why."""

import os
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import orjson

from crawler.atomic_files import open_for_owner, reason_of
from crawler.datahub.proposals import Proposal
from crawler.errors import SettingsError
from crawler.telemetry import findings
from crawler.telemetry.events import DeadLettersKept, Listener, UnconfirmedKept

DEFAULT_PATH = Path("mlflow-datahub-dead-letters.jsonl")


class DeadLetters:
    """One file of dead letters, or of what is not confirmed, which has the same form.

    It is made, for its owner only, with the first letter; later ones are added to it.

    To put each letter on the disk at once would take longer than all else where very many are refused: `sync` does so
    for all that were written since the last time.
    """

    def __init__(
        self,
        path: Path,
        listener: Listener,
        *,
        kept: type[DeadLettersKept | UnconfirmedKept] = DeadLettersKept,
        system_metadata: msgspec.Raw | None = None,
    ) -> None:
        """Make nothing yet. `listener` hears of letters that are on the disk, and of those that cannot be written.

        `kept` is what it hears of the first, `system_metadata` that with which DataHub took what is not confirmed.
        """
        self.path = path
        self._listener = listener
        self._kept = kept
        self._system_metadata = system_metadata
        self._descriptor: int | None = None
        """Of the file, while letters in it are not on the disk yet."""
        self._unsynced = 0
        self._first_unsynced = ""

    def problem(self) -> str | None:
        """Return why the file could not be written, or None; make nothing."""
        try:
            return _problem(self.path)
        except (OSError, ValueError) as error:
            return reason_of(error)

    def check(self) -> None:
        """Raise SettingsError where the file could not be written; make nothing."""
        if problem := self.problem():
            raise SettingsError(
                f"Cannot write dead letters to {self.path}: {problem}.",
                "Give --dead-letters the path of a file in a folder that exists and can be written to.",
            )

    def write(self, proposals: Iterable[Proposal], *, code: str, reason: str, status: int | None = None) -> bool:
        """Add proposals to the file. Returns whether they are in it; they are kept with the next `sync`.

        `code` and `reason` say why DataHub does not have them, `status` is that of its answer, if it gave one. What
        cannot be written is a finding, never an error.
        """
        letters = list(proposals)
        if not letters:
            return True
        now = datetime.now(UTC)
        first = f"{letters[0].urn}: {letters[0].aspect_name}"
        try:
            if self._descriptor is None:
                self._descriptor = open_for_owner(self.path, os.O_RDWR | os.O_APPEND)
            metadata = self._system_metadata
            lines = [_line(letter, metadata, now, code, reason, status) for letter in letters]
            _append(self._descriptor, b"".join(lines))
        except (OSError, ValueError) as error:
            self._not_kept(first, len(letters), reason_of(error))
            return False
        self._first_unsynced = self._first_unsynced or first
        self._unsynced += len(letters)
        return True

    def sync(self) -> bool:
        """Put what was written on the disk. Returns whether it is kept there.

        The file is opened anew for the next letters: it may have been moved away.
        """
        if self._descriptor is None:
            return True
        first, count, descriptor = self._first_unsynced, self._unsynced, self._descriptor
        self._first_unsynced, self._unsynced, self._descriptor = "", 0, None
        try:
            _sync(descriptor)
        except OSError as error:
            # Without any, this was the file of letters that could not even be written.
            if count:
                self._not_kept(first, count, reason_of(error))
            return False
        if count:
            self._listener(self._kept(self.path, count))
        return True

    def _not_kept(self, first: str, count: int, problem: str) -> None:
        self._listener(findings.DEAD_LETTERS_UNWRITABLE.found(first, count, path=self.path, problem=problem))


def unconfirmed_beside(path: Path) -> Path:
    """Return where what is not confirmed is kept: beside the dead letters at `path`."""
    stem = path.stem
    return path.with_stem(
        stem.replace("dead-letters", "unconfirmed") if "dead-letters" in stem else f"{stem}-unconfirmed"
    )


def _problem(path: Path) -> str | None:
    if path.is_dir():
        return "Is a directory"
    if path.exists():
        return None if os.access(path, os.R_OK | os.W_OK) else "Permission denied"
    if not path.resolve().parent.is_dir():
        return "No such folder"
    return None if os.access(path.resolve().parent, os.W_OK | os.X_OK) else "Its folder cannot be written to"


def _line(
    letter: Proposal, metadata: msgspec.Raw | None, at: datetime, code: str, reason: str, status: int | None
) -> bytes:
    # A line break in JSON can only be a blank between values: it goes, or the letter would be two lines.
    broken = b"\n" in letter.aspect or b"\r" in letter.aspect
    aspect = msgspec.json.format(letter.aspect, indent=-1) if broken else letter.aspect
    proposal: dict[str, object] = {
        "entityType": letter.entity_type,
        "entityUrn": letter.urn,
        "changeType": "UPSERT",
        "aspectName": letter.aspect_name,
        "aspect": {"json": orjson.Fragment(aspect)},
    }
    if metadata is not None:
        proposal["systemMetadata"] = orjson.Fragment(bytes(metadata))
    line = {"at": at, "code": code, "reason": reason, "status": status, "proposal": proposal}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _append(descriptor: int, lines: bytes) -> None:
    rest = memoryview(b"\n" + lines if _is_regular(descriptor) and _is_torn(descriptor) else lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(descriptor: int) -> None:
    """Put it on the disk and close it."""
    try:
        if _is_regular(descriptor):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _is_torn(descriptor: int) -> bool:
    """Whether the last line has no end, as after a crash or on a full disk: what is added must not be lost in it."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    return end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
