"""An event loop on a virtual clock: time jumps to the next timer, and the same code runs the same way each time."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")


class Stuck(Exception):
    """Everybody waits and no timer is set: on a real clock this would hang for ever."""


class Endless(Exception):
    """It goes on for longer than anything that ends does, in steps of the loop or in virtual seconds."""


class Outside(Exception):
    """A thread or a socket: what comes from outside of the loop comes in no fixed order."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without selector, threads and sockets. `time()` begins at 0 and stands still while there is work."""

    def __init__(self, max_steps: int, max_seconds: float) -> None:
        super().__init__()
        self.steps = 0
        self._now = 0.0
        self._max_steps = max_steps
        self._max_seconds = max_seconds
        self._selector = self
        self._tasks = 0
        self._own_thread = threading.get_ident()
        self.set_task_factory(_numbered)  # type: ignore[arg-type]

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def select(self, timeout: float | None) -> list[NoReturn]:
        """What the base class asks once a step for what has come, at most `timeout` seconds from now."""
        self.steps += 1
        if timeout is None:
            raise Stuck("Everybody waits and no timer is set.")
        self._now += timeout
        if self.steps > self._max_steps or self._now > self._max_seconds:
            self._max_steps, self._max_seconds = 2 * self.steps, 2 * self._now
            raise Endless(f"No end after {self.steps} steps and {self._now:.0f} virtual seconds.")
        return []

    def next_task(self) -> int:
        """The number of a new task."""
        self._tasks += 1
        return self._tasks

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Takes calls of its own thread, as asyncio makes them for generators that were left; refuses others."""
        if threading.get_ident() != self._own_thread:
            raise Outside("Another thread calls into the loop.")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: object, func: Callable[..., object], *args: object) -> NoReturn:
        """Refused."""
        raise Outside(f"{func} is to run in a thread.")

    def _process_events(self, event_list: list[NoReturn]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """There is nobody to wake: signals of the process that runs the tests come between two steps."""


class _Task(asyncio.Task[Any]):
    """A task that sets hold in the order of creation, not of addresses in memory."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self._number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number

    def set_name(self, value: object) -> None:
        """Keep the default name where Python 3.13 would make it "None" for a task of a factory."""
        if value is not None:
            super().set_name(value)


def _numbered(
    loop: VirtualLoop, coroutine: Generator[Any, None, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    return _Task(loop.next_task(), coroutine, loop=loop, context=context)


def run_virtually(
    main: Callable[[], Coroutine[Any, Any, Result]], *, max_steps: int = 1_000_000, max_seconds: float = 1e6
) -> Result:
    """Runs to the end at once. Raises Stuck, Endless or Outside where it would not."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(max_steps, max_seconds)) as runner:
        return runner.run(main())
