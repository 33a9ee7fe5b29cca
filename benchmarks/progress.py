"""What a benchmark does just now, on standard error."""

import sys
import time

_began = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the start."""
    sys.stderr.write(f"[{time.monotonic() - _began:6.1f} s] {text}\n")
    sys.stderr.flush()
