"""Keeps what waits to be verified on the disk while memory is full: compressed, first in, first out.

DataHub's queue stores what it took in order, so only what was sent first is worth being looked up.
"""

import tempfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec
from msgspec import structs

from crawler.atomic_files import reason_of
from crawler.datahub.pending import Ack, Pending
from crawler.delivery.verification.queue import PendingVerification
from crawler.errors import OutputError

SEGMENT_BYTES = 1_000_000
"""Of proposals that are compressed, written and read together."""
FILE_BYTES = 64_000_000
"""Of a file, after which another one is begun: a file leaves the disk once all of it was read."""
_LEVEL = 1


class Spill:
    """A queue of pieces in temporary files, which have no names. `bytes` are those on the disk.

    What is added stays in memory until a segment is full, or where the disk does not take it: `problem` says why.
    """

    def __init__(self, max_bytes: int) -> None:
        """Keep at most about `max_bytes` in the system's folder for temporary files."""
        self.bytes = 0
        self.entities = 0
        self.problem = ""
        self._max_bytes = max_bytes
        self._segments: deque[_Segment] = deque()
        self._file: _File | None = None
        self._buffer: list[PendingVerification] = []
        self._buffer_bytes = 0

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return bool(self.entities)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added."""
        is_stuck = bool(self.problem) and self._buffer_bytes >= SEGMENT_BYTES
        return bool(self) and (is_stuck or self.bytes >= self._max_bytes)

    def add(self, pieces: Iterable[PendingVerification]) -> None:
        """Add pieces behind all others."""
        for each in pieces:
            self._buffer.append(each)
            self._buffer_bytes += each.bytes
            self.entities += 1
        if self._buffer_bytes >= SEGMENT_BYTES and not self.problem:
            try:
                self._write()
            except OSError as error:
                self.problem = reason_of(error)

    def take(self) -> list[PendingVerification]:
        """Remove and return the pieces that were added first, nothing if there are none.

        Raises:
            OutputError: They cannot be read.
        """
        if self._segments:
            segment = self._segments.popleft()
            self.bytes -= segment.length
            pieces = segment.read()
        else:
            pieces, self._buffer, self._buffer_bytes = self._buffer, [], 0
        self.entities -= len(pieces)
        return pieces

    def close(self) -> None:
        """Remove everything from the disk."""
        for segment in self._segments:
            segment.file.leave()
        self._segments.clear()
        self._buffer.clear()
        self.bytes = self.entities = self._buffer_bytes = 0

    def _write(self) -> None:
        shared = _Shared()
        data = zlib.compress(_encode([shared.strip(each) for each in self._buffer]), _LEVEL)
        if self._file is None or self._file.file.closed or self._file.size + len(data) > FILE_BYTES:
            # A temporary file without a name is gone with the process, however that ends.
            self._file = _File(tempfile.TemporaryFile())  # noqa: SIM115
        self._segments.append(self._file.append(data, shared.things))
        self.bytes += len(data)
        self._buffer, self._buffer_bytes = [], 0


class _File:
    """One temporary file, with how many of its segments are unread."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._unread = 0

    def append(self, data: bytes, shared: "list[Ack | Pending | None]") -> "_Segment":
        """Write a segment. Raises OSError."""
        self.file.seek(self.size)
        self.file.write(data)
        self.file.flush()
        segment = _Segment(self, self.size, len(data), shared)
        self.size += len(data)
        self._unread += 1
        return segment

    def leave(self) -> None:
        """Count a segment as read; with the last one the file is gone."""
        self._unread -= 1
        if not self._unread:
            self.file.close()


class _Segment(msgspec.Struct, frozen=True, gc=False):
    """Where some pieces lie. What they share with the rest of the crawl stays in memory, each thing once."""

    file: _File
    offset: int
    length: int
    shared: list[Ack | Pending | None]

    def read(self) -> list[PendingVerification]:
        """Return the pieces, once. Raises OutputError."""
        try:
            self.file.file.seek(self.offset)
            written = _decode(zlib.decompress(self.file.file.read(self.length)))
            self.file.leave()
        except (OSError, zlib.error, msgspec.DecodeError) as error:
            raise OutputError(
                f"What DataHub took and has not been seen to have could not be read back from the disk: {error}.",
                "Run it again: what is stored already is only written once more.",
            ) from None
        return [self._whole(piece, place) for piece, place in written]

    def _whole(self, piece: PendingVerification, place: int) -> PendingVerification:
        shared = self.shared[place]
        pending = (
            shared if isinstance(shared, Pending) else Pending(outstanding=len(piece.entity.proposals), ack=shared)
        )
        piece.entity = structs.replace(piece.entity, pending=pending)
        return piece


_Written = tuple[PendingVerification, int]
"""A piece without its pending record, and the place of what it shares."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Written]).decode
_NO_PENDING = Pending()


class _Shared:
    """What pieces share: the ack, or the whole pending record where more depends on it than this one piece."""

    def __init__(self) -> None:
        self.things: list[Ack | Pending | None] = []
        self._places: dict[int, int] = {}

    def strip(self, piece: PendingVerification) -> _Written:
        """Return the piece as it is written."""
        pending = piece.entity.pending
        is_alone = pending == Pending(outstanding=len(piece.entity.proposals), ack=pending.ack)
        thing = pending.ack if is_alone else pending
        place = self._places.setdefault(id(thing), len(self.things))
        if place == len(self.things):
            self.things.append(thing)
        return structs.replace(piece, entity=structs.replace(piece.entity, pending=_NO_PENDING)), place


def in_segments(spill: Spill) -> Iterator[list[PendingVerification]]:
    """Remove and yield everything, a segment at a time."""
    while spill:
        yield spill.take()
