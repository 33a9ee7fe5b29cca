"""A JSON array of proposals in a file, as DataHub's `file` sink writes it and its `file` source reads it.

The array grows in `PATH.part` and becomes PATH only when the crawl has ended: a crawl that is cut off leaves the old
PATH as it was and a `.part` that is either closed, with what was read until then, or not JSON at all.
"""

import os
import sys
from contextlib import ExitStack
from errno import EBADF, EPIPE
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from crawler.atomic_files import STDOUT, AtomicFile, atomic_file, lock_file, open_for_owner, reason_of
from crawler.config.settings import FileSettings
from crawler.datahub.batching import Batch, Packer
from crawler.datahub.encoding import Wire
from crawler.datahub.wire.restli import FileWire, RestliWire
from crawler.errors import OutputError, SettingsError
from crawler.sinks.protocol import Store
from crawler.telemetry.report import CrawlReport


class FileSink:
    """Streams batches into one file; nothing is held back but the system's buffer."""

    lanes = 1
    unsupported: frozenset[tuple[str, str]] = frozenset()
    store: Store | None = None
    proof: str | None = "written"

    def __init__(self, settings: FileSettings, report: CrawlReport, system_metadata: msgspec.Raw) -> None:
        self._path = settings.path
        self._place = AtomicFile(settings.path, settings.path)
        self.wire: Wire = RestliWire(system_metadata) if settings.nested_json else FileWire(system_metadata)
        self._report = report
        self._separator = b"[\n"
        self._file: BinaryIO
        self._claim = ExitStack()

    async def __aenter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(lock_file(self._path))
            try:
                self._place = atomic_file(self._path)
                self._file = _open(self._place.temp_path)
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"Cannot write {self._path}: {reason_of(error)}.", "Give another path with -o, or make it writable."
                ) from None
            self._claim = opened.pop_all()
        self._report.output = str(self._path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._claim:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Closes the array and puts the file in its place, or names it as incomplete."""
        try:
            if not isinstance(error, OutputError):
                self._file.write(b"[]\n" if self._separator == b"[\n" else b"\n]\n")
            if self._path != STDOUT:
                self._file.close()
            else:
                self._file.flush()
            if error is None:
                self._place.publish()
        except OSError as failed:
            raise _failed(self._path, failed) from error
        if error is not None:
            self._report.output = f"{self._place.temp_path} (incomplete)"

    def packer(self) -> Packer:
        """Batches that are small enough to wait in memory."""
        return Packer(max_proposals=1_000, max_bytes=1_000_000)

    async def write(self, batch: Batch) -> None:
        """Appends the batch. Raises OutputError, such as for a full disk."""
        try:
            for parcel in batch.entities:
                for proposal in parcel.proposals:
                    self._file.write(self._separator + proposal)
                    self._separator = b",\n"
            self._file.flush()
        except OSError as error:
            raise _failed(self._path, error) from None
        self._report.datahub.bytes += batch.bytes


def _open(path: Path) -> BinaryIO:
    if path == STDOUT:
        if sys.stdout is None:
            raise OSError(EBADF, "Standard output is closed")
        return sys.stdout.buffer
    flags = os.O_WRONLY | os.O_TRUNC
    return os.fdopen(open_for_owner(path, flags), "wb", buffering=1 << 20)


def _failed(path: Path, error: OSError) -> OutputError:
    hint = "Whoever read it has gone." if error.errno == EPIPE else "Make room or give another path, then run it again."
    return OutputError(f"Writing {path} failed: {error.strerror}.", hint)
