"""A crawl in which nothing happens any more ends and says so, however long one in which something does takes."""

import asyncio

import pytest

from crawler.errors import ExitCode, Stalled
from crawler.http.failures import RETRY_AFTER_CAP
from crawler.pipeline.watchdog import MARGIN, ends_when_stalled, longest_wait
from crawler.settings.servers import ServerSettings
from crawler.telemetry.report import Report
from tests.simulation.virtual_clock import VirtualLoop, run_virtually

SECONDS = 100.0


def ended_after(steps: list[float], *, then_hang: bool) -> tuple[float, Stalled | None]:
    """Virtual seconds until the end, and how that was: something happens after each of the pauses."""

    async def work() -> tuple[float, Stalled | None]:
        report = Report("a run")
        try:
            async with ends_when_stalled(report.activity, SECONDS):
                for pause in steps:
                    await asyncio.sleep(pause)
                    report.mlflow.begin()
                if then_hang:
                    await asyncio.get_running_loop().create_future()
        except Stalled as error:
            return asyncio.get_running_loop().time(), error
        return asyncio.get_running_loop().time(), None

    return run_virtually(work)


def test_what_goes_on_is_left_alone() -> None:
    assert ended_after([SECONDS * 0.8] * 50, then_hang=False) == (pytest.approx(SECONDS * 40), None)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("steps", [[], [SECONDS * 0.8] * 3])
def test_what_hangs_is_ended(steps: list[float]) -> None:
    at, error = ended_after(steps, then_hang=True)
    assert error is not None
    assert error.exit_code is ExitCode.SERVER
    assert "Nothing has happened for 100 s" in error.message
    assert sum(steps) + SECONDS <= at <= sum(steps) + 1.2 * SECONDS


def test_a_process_that_was_stopped_for_long_goes_on() -> None:
    async def work() -> None:
        report = Report("a run")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        async with ends_when_stalled(report.activity, SECONDS):
            for _ in range(5):
                # All timers are due at once when it is woken.
                loop._now += 3 * SECONDS
                await asyncio.sleep(SECONDS / 2)
                report.mlflow.begin()

    run_virtually(work)


def test_errors_of_the_work_stay_what_they_are() -> None:
    async def work() -> None:
        async with ends_when_stalled(lambda: 0, SECONDS):
            raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        run_virtually(work)


@pytest.mark.parametrize("change", ["begin", "end"])
def test_each_request_and_each_answer_is_something_that_happens(change: str) -> None:
    report = Report("a run")
    for traffic in (report.mlflow, report.datahub):
        before = report.activity()
        getattr(traffic, change)()
        assert report.activity() != before


def test_it_waits_longer_than_the_slowest_server_may_take() -> None:
    slow = ServerSettings(url="http://slow", timeout=600.0)
    paced = ServerSettings(url="http://paced", timeout=1.0, requests_per_second=0.001)
    assert longest_wait([slow]) > 600 + RETRY_AFTER_CAP
    assert longest_wait([slow, paced]) == 1_001 + RETRY_AFTER_CAP + MARGIN
