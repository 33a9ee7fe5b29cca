"""A job and what ends it before its end: signals, and the time that it may take."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterator

import pytest

from crawler.cli.interruption import Job, Limits
from crawler.cli.run_job import run_job
from crawler.errors import ExitCode, Interrupted
from crawler.telemetry.events import Outcome, Outcomes
from crawler.telemetry.report import Report

SOON = 0.02
NEVER = 3_600.0
OUT_OF_TIME = ["max_duration"]


@pytest.fixture(autouse=True)
def _garbage() -> Iterator[None]:
    """A job has the garbage collected seldom, in its whole process."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def ended(job: Job, *, grace: float = NEVER, duration: float | None = None) -> tuple[ExitCode, str, list[str]]:
    """What a job comes to: exit code, status, failures."""
    report = Report("r")
    code = run_job(job, report, Limits(grace, duration), live=False)
    return code, report.status, [failure.code for failure in report.failures]


async def send(*numbers: signal.Signals) -> None:
    """Signals to this process; one more tells that they were heard."""
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.set)
    for number in (*numbers, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    await heard.wait()


async def hang() -> None:
    await asyncio.Event().wait()


async def stopped(stop: asyncio.Event) -> None:
    await stop.wait()
    raise Interrupted("It was stopped.")


def test_what_ends_well_after_its_time_is_no_failure() -> None:
    async def job(stop: asyncio.Event) -> None:
        await stop.wait()

    assert ended(job, duration=SOON) == (ExitCode.OK, "success", [])


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_was_only_waited_for_at_a_stop_is_not_confirmed(number: signal.Signals | None) -> None:
    report = Report("r")

    async def job(stop: asyncio.Event) -> None:
        if number is not None:
            await send(number)
        await stop.wait()
        report(Outcomes([Outcome("tag", "urn:li:tag:a", delivered=0, unconfirmed=1)]))

    limits = Limits(NEVER, SOON if number is None else None)
    assert run_job(job, report, limits, live=False) == ExitCode.UNCONFIRMED
    assert (report.status, report.failures) == ("unconfirmed", [])


def test_what_was_ended_by_its_time_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "crawler"):
        assert ended(stopped, duration=SOON, grace=90) == (ExitCode.FAILURES, "interrupted", OUT_OF_TIME)
    assert caplog.messages == [
        "0.0 s are over (--max-duration): nothing more is read; what is read is delivered, for at most 1m30s (--grace)."
    ]


def test_a_stop_takes_the_grace_at_most_whatever_asks_for_it() -> None:
    async def deaf(stop: asyncio.Event) -> None:
        await stop.wait()
        await hang()

    async def told(stop: asyncio.Event) -> None:
        await send(signal.SIGINT)
        await deaf(stop)

    assert ended(deaf, duration=SOON, grace=SOON) == (ExitCode.FAILURES, "interrupted", OUT_OF_TIME)
    assert ended(told, grace=SOON) == (ExitCode.INTERRUPTED, "interrupted", [])


def test_the_first_signal_is_the_first_also_after_the_time() -> None:
    went_on = False

    async def job(stop: asyncio.Event) -> None:
        nonlocal went_on
        await stop.wait()
        await send(signal.SIGTERM)
        went_on = True
        await stopped(stop)

    async def cut_off(stop: asyncio.Event) -> None:
        await stop.wait()
        await send(signal.SIGTERM)
        await send(signal.SIGTERM)
        pytest.fail("The second one ends it at once.")

    assert ended(job, duration=SOON) == (ExitCode.TERMINATED, "interrupted", OUT_OF_TIME)
    assert went_on
    assert ended(cut_off, duration=SOON) == (ExitCode.TERMINATED, "interrupted", OUT_OF_TIME)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], ExitCode.INTERRUPTED),
        ([signal.SIGTERM], ExitCode.TERMINATED),
        ([signal.SIGHUP], ExitCode.TERMINATED),
        ([signal.SIGHUP, signal.SIGTERM], ExitCode.TERMINATED),
        ([signal.SIGINT, signal.SIGHUP], ExitCode.TERMINATED),
    ],
)
def test_the_exit_code_says_which_signal_ended_it(numbers: list[signal.Signals], code: ExitCode) -> None:
    async def job(stop: asyncio.Event) -> None:
        await send(*numbers)
        await stopped(stop)

    assert ended(job) == (code, "interrupted", [])


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    async def job(stop: asyncio.Event) -> None:
        await send(signal.SIGHUP)
        assert not stop.is_set()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ended(job) == (ExitCode.OK, "success", [])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_time_that_runs_out_after_a_signal_is_not_what_ended_it() -> None:
    async def job(stop: asyncio.Event) -> None:
        await send(signal.SIGTERM)
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(2 * SOON, over.set)
        await over.wait()
        await stopped(stop)

    assert ended(job, duration=SOON) == (ExitCode.TERMINATED, "interrupted", [])


def test_the_second_signal_ends_it_at_once() -> None:
    async def job(_stop: asyncio.Event) -> None:
        await send(signal.SIGINT, signal.SIGINT)
        pytest.fail("The second one ends it at once.")

    assert ended(job) == (ExitCode.INTERRUPTED, "interrupted", [])
