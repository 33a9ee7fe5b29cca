"""A delivery from its opening to its end, whatever fills it: a crawl or a replay."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

from crawler.config.settings import DeliverySettings
from crawler.datahub.encoding import Validator
from crawler.datahub.proposals import SystemMetadata, encode_system_metadata
from crawler.delivery.dead_letters import DEFAULT_PATH, DeadLetters
from crawler.delivery.delivery import Delivery
from crawler.delivery.outcomes import Ledger, Settlement
from crawler.errors import CrawlerError, Interrupted
from crawler.sinks import open_sink
from crawler.telemetry.events import Event, Listener, OutputOpened
from crawler.telemetry.findings import Finding
from crawler.telemetry.report import CrawlReport

NO_LETTERS = "What DataHub refuses could not be kept here. Give --dead-letters a path that can be written to."
STOPPED = "It ended before this was delivered."

Result = TypeVar("Result")


class Feed(Protocol):
    """What fills a delivery."""

    async def read(self) -> None:
        """Adds everything. Raises CrawlerError where that ends early."""
        ...

    async def deliver_held(self) -> None:
        """Adds what was held back, however the reading ended."""
        ...

    def add_held(self) -> None:
        """Adds what of that was not added yet, where nothing is delivered any more."""
        ...


@asynccontextmanager
async def open_delivery(
    settings: DeliverySettings, report: CrawlReport, stop: asyncio.Event, ledger: Ledger | None = None
) -> AsyncIterator[Delivery]:
    """The way to the sink of the settings, which is opened; not beyond `stop`."""
    report.dry_run = settings.dry_run
    system_metadata = SystemMetadata(_now(), settings.run_id, settings.pipeline_name)
    letters = DeadLetters(settings.dead_letters or DEFAULT_PATH, report)
    if settings.dead_letters is not None:
        letters.check()
    elif problem := letters.problem():
        report.warn("dead_letters_nowhere", NO_LETTERS, problem)
    async with AsyncExitStack() as stack:
        opening = open_sink(
            settings, encode_system_metadata(system_metadata), report.datahub, report.time, _reporter(report)
        )
        sink = await _unless_stopped(stack.enter_async_context(opening), stop)
        yield Delivery(sink, report, Settlement(sink.wire, report, letters, ledger), _validator(settings))


async def deliver(feed: Feed, delivery: Delivery, stop: asyncio.Event) -> None:
    """Delivers all that the feed adds, to its end or until `stop`."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for lane in delivery.lanes:
                tasks.create_task(delivery.send(lane))
            tasks.create_task(delivery.confirmer.run())
            failure = await _read(feed, stop)
            await feed.deliver_held()
            await delivery.close()
    except* CrawlerError as group:
        failure = group
    finally:
        feed.add_held()
        delivery.abandon(STOPPED if failure is None else str(_cause(failure)))
    if failure is not None:
        raise _cause(failure)


async def _read(feed: Feed, stop: asyncio.Event) -> BaseException | None:
    """Reads to the end or until `stop`. Gives what went wrong, not raising it, so that the rest is still delivered."""
    try:
        await _unless_stopped(feed.read(), stop)
    except (CrawlerError, ExceptionGroup) as error:
        return error
    return None


def _reporter(report: CrawlReport) -> Listener:
    def listen(event: Event) -> None:
        if isinstance(event, Finding):
            tell = report.fail if event.severity == "failure" else report.warn
            tell(event.code, event.message, event.sample, event.count)
        elif isinstance(event, OutputOpened):
            report.output, report.datahub.version = event.target, event.version

    return listen


async def _unless_stopped(work: Coroutine[Any, Any, Result], stop: asyncio.Event) -> Result:
    """Does the work, but not beyond `stop`. Raises Interrupted there, else what the work raises."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
    if working.cancelled():
        raise Interrupted("It was stopped before its end.", "Run it again to have the rest.")
    return working.result()


def _validator(settings: DeliverySettings) -> Validator | None:
    if not settings.validate:
        return None
    from crawler.datahub.validation import problem  # noqa: PLC0415  acryl-datahub takes 2 s to import

    return problem


def _cause(error: BaseException) -> BaseException:
    """The first error of a group, however deep: it is the one that ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _now() -> int:
    return time.time_ns() // 1_000_000
