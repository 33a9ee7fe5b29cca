"""Standard output and error, which may be closed, full, or read by nobody."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crawler.errors import ExitCode, OutputError


@contextmanager
def standard_streams() -> Iterator[None]:
    """Run a command whose exit code does not depend on whether its messages can be written.

    Raises:
        SystemExit: With 1, silently, where the reader of standard output has gone.
    """
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(ExitCode.FAILURES) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except OSError:
                # Python would flush once more when it exits, and exit with 120.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_output(text: str) -> None:
    """Write to standard output at once. Raises OutputError where that has no room."""
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"Standard output cannot be written: {error.strerror}.", "Make room there.") from None


def write_message(text: str) -> None:
    """Write to standard error if that can be written."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
