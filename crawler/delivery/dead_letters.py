"""What DataHub does not have, kept so that `replay` can send it again: JSON Lines, one proposal each, with its reason.

Each line names the run and the target that it was for, and a file holds letters for one target only.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import orjson

from crawler.atomic_files import open_for_owner, reason_of
from crawler.datahub.proposals import Proposal
from crawler.errors import SettingsError
from crawler.settings.crawl import DeliverySettings
from crawler.settings.urls import same_server
from crawler.telemetry.events import DeadLettersKept, Listener, UnconfirmedKept
from crawler.telemetry.findings.delivery import DEAD_LETTERS_NOWHERE, DEAD_LETTERS_UNWRITABLE
from crawler.telemetry.logs import encodable

FOLDER = Path()
"""Where dead letters are kept unless a path is given: the working directory."""
_LONGEST_RUN_ID = 100


class Origin(msgspec.Struct, frozen=True):
    """Whose letters they are: those of a run, for a target.

    `target` is that of the sink's settings: the URL of DataHub without credentials, or the path of a catalog or a file.
    """

    run_id: str
    target: str


class _Line(msgspec.Struct):
    """What a line says of its origin; those of older releases say nothing."""

    target: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode


def default_path(run_id: str) -> Path:
    """Return where the dead letters of a run are kept unless a path is given: in the working directory, by its id."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", run_id)[:_LONGEST_RUN_ID]
    return FOLDER / f"mlflow-datahub-dead-letters-{name}.jsonl"


def same_target(one: str, other: str) -> bool:
    """Return True if both name the same DataHub, or the same catalog or file."""
    if one.rstrip("/") == other.rstrip("/"):
        return True
    if not same_server(one, other):
        return False
    return urlsplit(one).path.rstrip("/") == urlsplit(other).path.rstrip("/")


class DeadLetters:
    """One file of dead letters, or of what is not confirmed, which has the same form.

    It is made, for its owner only, with the first letter; later ones are added to it.

    To put each letter on the disk at once would take longer than all else where very many are refused: `sync` does so
    for all that were written since the last time.
    """

    def __init__(
        self,
        path: Path,
        origin: Origin,
        listener: Listener,
        *,
        kept: type[DeadLettersKept | UnconfirmedKept] = DeadLettersKept,
        system_metadata: msgspec.Raw | None = None,
    ) -> None:
        """Make nothing yet. `listener` hears of letters that are on the disk, and of those that cannot be written.

        `kept` is what it hears of the first, `system_metadata` that with which DataHub took what is not confirmed.
        """
        self.path = path
        self._origin = Origin(*map(encodable, msgspec.structs.astuple(origin)))
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

    def require_unmixed(self) -> None:
        """Raise SettingsError where the file holds letters for another target. Those that name none are older ones."""
        for target in self._targets():
            if target and not same_target(target, self._origin.target):
                raise SettingsError(
                    f"{self.path} holds what was kept for {target}, and this is for {self._origin.target}.",
                    "Give --dead-letters another path.",
                )

    def _targets(self) -> Iterator[str]:
        """Yield the target of each line that can be read."""
        if self.problem() or not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for line in file:
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    yield _decode_line(line).target

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
            why: dict[str, object] = {"code": code, "reason": reason, "status": status}
            head = {"at": now, **msgspec.structs.asdict(self._origin), **why}
            lines = [_line(letter, self._system_metadata, head) for letter in letters]
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
        self._listener(DEAD_LETTERS_UNWRITABLE.found(first, count, path=self.path, problem=problem))


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


def _line(letter: Proposal, metadata: msgspec.Raw | None, head: Mapping[str, object]) -> bytes:
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
    return orjson.dumps({**head, "proposal": proposal}, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


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


def open_letters(
    settings: DeliverySettings, metadata: msgspec.Raw, listener: Listener
) -> tuple[DeadLetters, DeadLetters]:
    """Return the files of dead letters and of what is not confirmed. Raises SettingsError where they cannot be used."""
    path = settings.dead_letters or default_path(settings.run_id)
    origin = Origin(settings.run_id, settings.sink.target)
    letters = DeadLetters(path, origin, listener)
    unconfirmed = DeadLetters(
        unconfirmed_beside(path), origin, listener, kept=UnconfirmedKept, system_metadata=metadata
    )
    if settings.dead_letters is not None:
        letters.check()
    elif problem := letters.problem():
        listener(DEAD_LETTERS_NOWHERE.found(problem))
    for file in (letters, unconfirmed):
        file.require_unmixed()
    return letters, unconfirmed
