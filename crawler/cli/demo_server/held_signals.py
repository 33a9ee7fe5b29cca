"""Signals that must not end the demo just now."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def signals_held_back(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Hold signals back until the context ends without an error: the handlers of before hear them then.

    Blocking them would not do: any other thread could take one, and Python would raise in the main thread.
    """
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for early in came:
        signal.raise_signal(early)
