"""A crawl: read → map → deliver, wired in one place."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol

from msgspec import structs

from crawler.datahub.encoding import Validator
from crawler.datahub.proposals import SystemMetadata, encode_system_metadata
from crawler.dead_letters import DEFAULT_PATH, DeadLetters
from crawler.delivery import Delivery
from crawler.errors import CrawlerError, Interrupted
from crawler.http import Server
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.api import CHEAPEST_PAGE
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.untimed import is_final
from crawler.reader import Reader
from crawler.report import CrawlReport
from crawler.settings import DeliverySettings, MlflowSettings, ServerSettings, Settings
from crawler.settlement import Ledger, Settlement
from crawler.sinks import make_sink
from crawler.state import Journal, fingerprint

_log = logging.getLogger("crawler")

NO_LETTERS = "What DataHub refuses could not be kept here. Give --dead-letters a path that can be written to."
STOPPED = "It was stopped at once."


class Feed(Protocol):
    """What fills a delivery."""

    async def read(self) -> None:
        """Adds everything. Raises CrawlerError where that ends early."""
        ...

    async def deliver_held(self) -> None:
        """Adds what was held back, however the reading ended."""
        ...


async def crawl(settings: Settings, report: CrawlReport, stop: asyncio.Event) -> None:
    """Reads everything from MLflow and delivers it to the sink; what happened is in `report`.

    `stop` ends the reading early. Raises CrawlerError where a server or the output fails for good, Interrupted after
    `stop`; in each case what is mapped by then is delivered first, as far as that is possible, and what is not is kept
    as dead letters. With a state, the next crawl goes on with it.
    """
    with _open_journal(settings, report) as journal:
        if journal is not None:
            settings = structs.replace(settings, run_id=report.run_id)
        async with (
            open_mlflow(settings.mlflow, report) as client,
            open_delivery(settings, report, stop, journal) as delivery,
        ):
            mapper = _mapper(settings, journal)
            workers = settings.mlflow.tracking.concurrency
            reader = Reader(client, mapper, delivery, report, workers, journal=journal)
            await deliver(reader, delivery, stop)
        if journal is not None:
            journal.finish()


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
        sink = make_sink(settings, report, encode_system_metadata(system_metadata))
        await _unless_stopped(stack.enter_async_context(sink), stop)
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
        delivery.abandon(STOPPED if failure is None else str(_cause(failure)))
    if failure is not None:
        raise _cause(failure)


@asynccontextmanager
async def open_mlflow(settings: MlflowSettings, report: CrawlReport) -> AsyncIterator[MlflowClient]:
    """A client of the tracking server, and of the registry where that is another one."""
    async with AsyncExitStack() as stack:

        async def connect(server: ServerSettings) -> Server:
            # A new connection for each page spreads the load over all of the server's workers.
            return await stack.enter_async_context(
                Server("MLflow", server, report.mlflow, keep_alive=False, is_final=is_final, question=CHEAPEST_PAGE)
            )

        tracking = await connect(settings.tracking)
        registry = tracking if settings.registry is None else await connect(settings.registry)
        yield MlflowClient(tracking, registry, settings.page_size, _unreadable(report), report.time)


@contextmanager
def _open_journal(settings: Settings, report: CrawlReport) -> Iterator[Journal | None]:
    """What the state says of an earlier crawl, if one is to be kept. The report gets the run id of that crawl."""
    if settings.state is None or settings.dry_run:
        yield None
        return
    with Journal(settings.state, fingerprint(settings), report) as journal:
        if journal.resumed:
            _log.info("Going on with the crawl %s, which delivered %d runs.", report.run_id, report.read["runs"])
        yield journal


def _mapper(settings: Settings, journal: Journal | None) -> CrawlMapper:
    if journal is None:
        return CrawlMapper(settings.mapping)
    mapper = CrawlMapper(settings.mapping, journal.was_settled)
    journal.hold(mapper.datasets)
    return mapper


async def _read(feed: Feed, stop: asyncio.Event) -> BaseException | None:
    """Reads to the end or until `stop`. Gives what went wrong, not raising it, so that the rest is still delivered."""
    try:
        await _unless_stopped(feed.read(), stop)
    except (CrawlerError, ExceptionGroup) as error:
        return error
    return None


async def _unless_stopped(work: Coroutine[Any, Any, object], stop: asyncio.Event) -> None:
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
    working.result()


def _unreadable(report: CrawlReport) -> Callable[[str, list[str]], None]:
    def tell(kind: str, rows: list[str]) -> None:
        for row in rows:
            report.fail(f"unreadable_{kind}", f"MLflow lists {kind} that cannot be read, so they were left out.", row)

    return tell


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
