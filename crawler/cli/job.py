"""What a process does for its user while a crawl or a replay runs: progress, signals, time limits, an exit code."""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable

import msgspec

from crawler.errors import CrawlerError, ExitCode, Interrupted
from crawler.telemetry.findings import OUT_OF_TIME, error_found
from crawler.telemetry.progress import show_progress
from crawler.telemetry.report import Report

OBJECTS_BETWEEN_COLLECTIONS = 20_000
Job = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event at most. Raises CrawlerError, Interrupted after the event."""

_log = logging.getLogger("crawler")


class _Ending(msgspec.Struct):
    """What ends the work before its end."""

    received: list[signal.Signals] = []
    out_of_time: bool = False


class Limits(msgspec.Struct, frozen=True):
    """Seconds: `grace` is how long a stop may take, `duration` when it comes by itself."""

    grace: float
    duration: float | None = None


def run_job(job: Job, report: Report, limits: Limits, *, live: bool) -> ExitCode:
    """Works to the end, to an error, to a signal or out of time; the report is finished with what came of it."""
    ending = _Ending()
    _collect_garbage_seldom()
    try:
        asyncio.run(_work(job, report, limits, ending, live=live))
    except (Interrupted, asyncio.CancelledError):
        if ending.out_of_time:
            report(OUT_OF_TIME.found())
        report.finish("interrupted")
        return _exit_code(ending)
    except CrawlerError as error:
        report(error_found(error))
        report.finish("failed")
        _log.error(error)
        return ExitCode(error.exit_code)
    report.finish("failures" if report.failures else "success")
    return ExitCode.FAILURES if report.failures else ExitCode.OK


def _exit_code(ending: _Ending) -> ExitCode:
    if not ending.received:
        return ExitCode.FAILURES
    return ExitCode.TERMINATED if signal.SIGTERM in ending.received else ExitCode.INTERRUPTED


def _collect_garbage_seldom() -> None:
    """A page makes thousands of objects without cycles, which would have the collector search in vain each time: that
    takes a tenth of a crawl's CPU.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


async def _work(job: Job, report: Report, limits: Limits, ending: _Ending, *, live: bool) -> None:
    """The first signal, or the time that runs out, ends the reading, and the work itself after the grace; the second
    signal ends it at once.
    """
    stop = asyncio.Event()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    assert task is not None  # noqa: S101  a coroutine runs in a task

    def end() -> None:
        if not stop.is_set():
            stop.set()
            loop.call_later(limits.grace, task.cancel)

    def on_signal(number: signal.Signals) -> None:
        ending.received.append(number)
        if len(ending.received) > 1:
            task.cancel()
        end()

    def on_time_out() -> None:
        ending.out_of_time = not stop.is_set()
        end()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    if limits.duration is not None:
        loop.call_later(limits.duration, on_time_out)
    async with show_progress(report, live=live):
        await job(stop)
