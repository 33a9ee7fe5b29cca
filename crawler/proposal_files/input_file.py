"""The file that a replay reads: a path, a pipe or standard input. It is never written to."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crawler.atomic_files import reason_of
from crawler.delivery.dead_letters import default_path, unconfirmed_beside
from crawler.errors import InputError, SettingsError
from crawler.stopping import interrupted, unless_stopped

STDIN = Path("-")
READ_BYTES = 1 << 18


@contextmanager
def open_input(path: Path) -> Iterator[int]:
    """Open a file, a pipe or `-`, and return its descriptor.

    Raises:
        SettingsError: It cannot be opened.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        descriptor = sys.stdin.fileno() if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Cannot read {path}: {reason_of(error)}.", "Give the path of a file of proposals, or - for standard input."
        ) from None
    try:
        yield descriptor
    finally:
        if path != STDIN:
            os.close(descriptor)


async def read_pieces(descriptor: int, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the bytes of a file or a pipe as they come.

    Raises:
        InputError: It cannot be read to its end.
        Interrupted: It was stopped.
    """
    while True:
        await unless_stopped(_until_readable(descriptor), stop)
        if stop.is_set():
            # A regular file is always readable: there was nothing to cancel.
            raise interrupted()
        try:
            piece = os.read(descriptor, READ_BYTES)
        except OSError as error:
            raise InputError(
                f"The file cannot be read further: {error.strerror}.", "Mend that, then replay it again."
            ) from None
        if not piece:
            return
        yield piece


def new_dead_letters(read: Path, run_id: str) -> Path:
    """Return where to keep what fails again: for dead-letters.jsonl dead-letters.2.jsonl, or the next free number.

    What is unconfirmed has the same name with the other word. For a pipe, they are where those of a crawl with this run
    id would be.
    """
    if read == STDIN or not read.is_file():
        return default_path(run_id)
    name, _, last = read.stem.rpartition(".")
    if not name or not last.isdecimal():
        name, last = read.stem, "1"
    name, number = name.replace("unconfirmed", "dead-letters"), int(last) + 1
    while (free := read.with_name(f"{name}.{number}.jsonl")).exists() or unconfirmed_beside(free).exists():
        number += 1
    return free


def require_not_replayed(written: Path, what: str, read: Path) -> None:
    """Raise SettingsError if a file that is to be written is the one that is read, whatever its name."""
    try:
        is_same = os.path.samestat(written.stat(), os.fstat(sys.stdin.fileno()) if read == STDIN else read.stat())
    except (OSError, ValueError):
        return
    if is_same:
        raise SettingsError(
            f"The {what} would be written to {written}, the file that is replayed.", "Give another path."
        )


def is_regular(descriptor: int) -> bool:
    """Return True for a file that can be read more than once."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


async def _until_readable(descriptor: int) -> None:
    """Wait for the writer of a pipe without blocking the event loop. A regular file can be read at once."""
    await asyncio.sleep(0)
    if is_regular(descriptor):
        return
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    # What cannot be waited for, such as a device, is readable.
    with suppress(PermissionError):
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
