"""A JSON array of proposals in a file, as DataHub's `file` sink writes it and its `file` source reads it.

For the sink `console` it is one proposal a line instead, on standard output.

The array grows in `PATH.part` and becomes PATH only when the crawl has ended: a crawl that is cut off leaves the old
PATH as it was and a `.part` that is either closed, with what was read until then, or not JSON at all.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from errno import EBADF, EPIPE
from pathlib import Path
from typing import BinaryIO

import msgspec

from crawler.atomic_files import STDOUT, AtomicFile, atomic_file, lock_file, open_for_owner, reason_of
from crawler.datahub.batching import Batch, Packer
from crawler.datahub.wire.file import FileWire
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.errors import OutputError, SettingsError
from crawler.http.traffic import Traffic
from crawler.settings.sinks import FileSettings
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written
from crawler.telemetry.events import Listener, OutputLost, OutputOpened
from crawler.telemetry.findings.delivery import NOT_SENT
from crawler.telemetry.timing import Timing


@asynccontextmanager
async def open_file_sink(
    settings: FileSettings,
    system_metadata: msgspec.Raw,
    traffic: Traffic,
    timing: Timing,
    listener: Listener,
) -> AsyncIterator["FileSink"]:
    """Open a file; it replaces the old one at the end, unless that is an error.

    Raises:
        SettingsError: The file cannot be written, or another crawl writes it.
        OutputError: It could not be written to its end.
    """
    with lock_file(settings.path):
        try:
            target = atomic_file(settings.path)
            file = _open(target.temp_path)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"Cannot write {settings.path}: {reason_of(error)}.", "Give another path with -o, or make it writable."
            ) from None
        wire = RestliWire(system_metadata) if settings.nested_json else FileWire(system_metadata)
        sink = FileSink(settings, file, wire, traffic, timing)
        listener(OutputOpened(sink.facts.target))
        try:
            try:
                yield sink
            except BaseException as error:
                sink.close(target, error)
                raise
            sink.close(target, None)
        except BaseException:
            listener(OutputOpened(f"{target.temp_path} (incomplete)"))
            if sink.is_broken:
                listener(NOT_SENT.found(str(target.temp_path), sink.proposals))
                listener(OutputLost())
            raise


class _Form(msgspec.Struct, frozen=True):
    """What stands before, between and behind the proposals, and where there are none."""

    start: bytes
    separator: bytes
    end: bytes
    empty: bytes


_ARRAY = _Form(b"[\n", b",\n", b"\n]\n", b"[]\n")
_LINES = _Form(b"", b"\n", b"\n", b"")


class FileSink:
    """Streams batches into one open file; nothing is held back but the system's buffer."""

    lookup: StoreLookup | None = None

    def __init__(self, settings: FileSettings, file: BinaryIO, wire: Wire, traffic: Traffic, timing: Timing) -> None:
        self.facts = SinkFacts(target=str(settings.path), verification_method="written")
        self.wire = wire
        self._path = settings.path
        self._file = file
        self._traffic = traffic
        self._timing = timing
        self._form = _LINES if settings.lines else _ARRAY
        self._is_empty = True
        self.proposals = 0
        """How many are in batches that were written."""
        self.is_broken = False
        """Whether something could not be written, so that the file is no JSON, or not the whole of it."""

    def packer(self) -> Packer:
        """Return a packer of batches that are small enough to wait in memory."""
        return Packer(max_proposals=1_000, max_bytes=1_000_000)

    async def write(self, batch: Batch) -> Written:
        """Append the batch.

        Raises:
            OutputError: The disk is full, for example.
        """
        try:
            with self._timing.on_disk():
                self._append(batch)
        except OSError as error:
            raise self._failed(error) from None
        self._traffic.bytes += batch.bytes
        self.proposals += sum(len(entity.proposals) for entity in batch.entities)
        return Written(self.facts.verification_method)

    def _append(self, batch: Batch) -> None:
        for entity in batch.entities:
            for proposal in entity.proposals:
                self._file.write((self._form.start if self._is_empty else self._form.separator) + proposal)
                self._is_empty = False
        self._file.flush()

    def close(self, target: AtomicFile, error: BaseException | None) -> None:
        """Close the array and the file; without an `error` the file replaces the old one."""
        try:
            if not self.is_broken:
                self._file.write(self._form.empty if self._is_empty else self._form.end)
            if self._path != STDOUT:
                self._file.close()
            else:
                self._file.flush()
            if error is None:
                target.publish()
        except OSError as failed:
            raise self._failed(failed) from error

    def _failed(self, error: OSError) -> OutputError:
        self.is_broken = True
        gone = "Whoever read it has gone."
        hint = gone if error.errno == EPIPE else "Make room or give another path, then run it again."
        return OutputError(f"Writing {self._path} failed: {error.strerror}.", hint)


def _open(path: Path) -> BinaryIO:
    if path == STDOUT:
        if sys.stdout is None:
            raise OSError(EBADF, "Standard output is closed")
        return sys.stdout.buffer
    flags = os.O_WRONLY | os.O_TRUNC
    return os.fdopen(open_for_owner(path, flags), "wb", buffering=1 << 20)
