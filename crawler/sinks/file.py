"""A JSON array of proposals in a file, as DataHub's `file` sink writes it and its `file` source reads it.

The array grows in `PATH.part` and becomes PATH only when the crawl has ended: a crawl that is cut off leaves the old
PATH as it was and a `.part` that is either closed, with what was read until then, or not JSON at all.
"""

import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from crawler.datahub import proposals
from crawler.datahub.batches import Batch
from crawler.datahub.proposals import Proposal
from crawler.errors import OutputError, SettingsError
from crawler.report import CrawlReport
from crawler.settings import FileSettings

STDOUT = Path("-")
OWNER_ONLY = 0o600


class FileSink:
    """Streams batches into one file; nothing is held back but the system's buffer."""

    lanes = 1
    max_proposals = 1_000
    max_bytes = 1_000_000
    unsupported: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, settings: FileSettings, report: CrawlReport, system_metadata: msgspec.Raw) -> None:
        self._path = settings.path
        self._target = _target(settings.path)
        self._encode = proposals.restli if settings.nested_json else proposals.simplified
        self._report = report
        self._system_metadata = system_metadata
        self._separator = b"[\n"
        self._file: BinaryIO

    async def __aenter__(self) -> Self:
        try:
            self._file = _open(self._target)
        except OSError as error:
            raise SettingsError(
                f"Cannot write {self._target}: {error.strerror}.", "Give another path with -o, or make it writable."
            ) from None
        self._report.output = str(self._path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, OutputError):
                self._file.write(b"[]\n" if self._separator == b"[\n" else b"\n]\n")
            if self._target != STDOUT:
                self._file.close()
            else:
                self._file.flush()
            if kind is None and self._target != self._path:
                self._target.replace(self._path)
        except OSError as failed:
            raise _full(self._target, failed) from error
        if kind is not None and self._target != self._path:
            self._report.output = f"{self._target} (incomplete)"

    def encode(self, proposal: Proposal) -> bytes:
        """The proposal as an element of the array."""
        return self._encode(proposal, self._system_metadata)

    async def write(self, batch: Batch) -> None:
        """Appends the batch. Raises OutputError, such as for a full disk."""
        try:
            for parcel in batch.parcels:
                for proposal in parcel.proposals:
                    self._file.write(self._separator + proposal)
                    self._separator = b",\n"
            self._file.flush()
        except OSError as error:
            raise _full(self._target, error) from None
        self._report.datahub.bytes += batch.bytes


def _target(path: Path) -> Path:
    """Where to write: beside the path, unless that is a pipe or device, which cannot be replaced."""
    if path == STDOUT or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
        return path
    return path.with_name(path.name + ".part")


def _open(path: Path) -> BinaryIO:
    if path == STDOUT:
        return sys.stdout.buffer
    if path.is_dir():
        raise IsADirectoryError(21, os.strerror(21))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.fdopen(os.open(path, flags, OWNER_ONLY), "wb", buffering=1 << 20)


def _full(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Writing {path} failed: {error.strerror}.", "Make room or give another path with -o, then crawl again."
    )
