"""What ends a job before its end: a signal, or its time limit."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

import msgspec

from crawler.errors import ExitCode
from crawler.settings.durations import human_seconds

_log = logging.getLogger("crawler")

Job = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set. Raises CrawlerError, Interrupted after the event."""


def terminating_signals() -> set[signal.Signals]:
    """Return SIGTERM and SIGHUP, which a closed terminal sends; not SIGHUP where it is ignored, as below `nohup`."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return {signal.SIGTERM}
    return {signal.SIGTERM, signal.SIGHUP}


class Limits(msgspec.Struct, frozen=True):
    """In seconds: `duration` is when the job is stopped by itself, `grace` how long a clean stop then may take."""

    grace: float
    duration: float | None = None


class Interruption:
    """Runs a job that signals and a time limit can stop.

    The first signal, or the time limit, sets the job's event; after the grace the job is cancelled. A second signal
    cancels it at once.
    """

    def __init__(self, limits: Limits) -> None:
        """Stop by these limits."""
        self._limits = limits
        self._signals: list[signal.Signals] = []
        self.out_of_time = False

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a job that was ended by this."""
        if not self._signals:
            return ExitCode.FAILURES
        return ExitCode.INTERRUPTED if set(self._signals) == {signal.SIGINT} else ExitCode.TERMINATED

    async def run(self, job: Job) -> None:
        """Run the job in the main thread's event loop."""
        stop = asyncio.Event()
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert task is not None  # noqa: S101  a coroutine runs in a task

        def end(why: str) -> None:
            if not stop.is_set():
                stop.set()
                loop.call_later(self._limits.grace, task.cancel)
                grace = human_seconds(self._limits.grace)
                _log.info("%s: nothing more is read; what is read is delivered, for at most %s (--grace).", why, grace)

        def on_signal(number: signal.Signals) -> None:
            self._signals.append(number)
            if len(self._signals) > 1:
                task.cancel()
            end(number.name)

        def on_time_out(seconds: float) -> None:
            self.out_of_time = not stop.is_set()
            end(f"{human_seconds(seconds)} are over (--max-duration)")

        for number in {signal.SIGINT, *terminating_signals()}:
            loop.add_signal_handler(number, on_signal, number)
        if self._limits.duration is not None:
            loop.call_later(self._limits.duration, on_time_out, self._limits.duration)
        await job(stop)
