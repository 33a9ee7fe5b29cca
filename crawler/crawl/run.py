"""A crawl: read → map → deliver, wired in one place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext

from msgspec import structs

from crawler.checkpoint import Checkpoint, fingerprint
from crawler.config.settings import MlflowSettings, RestSettings, ServerSettings, Settings
from crawler.crawl.entities import Reader
from crawler.crawl.watchdog import ends_when_stalled, longest_wait
from crawler.delivery import deliver, open_delivery
from crawler.http import Server
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.api import CHEAPEST_PAGE
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.quirks.null_start_time import is_final
from crawler.telemetry.report import CrawlReport

_log = logging.getLogger("crawler")


async def crawl(settings: Settings, report: CrawlReport, stop: asyncio.Event) -> None:
    """Reads everything from MLflow and delivers it to the sink; what happened is in `report`.

    `stop` ends the reading early. Raises CrawlerError where a server or the output fails for good, or where nothing
    happens any more, Interrupted after `stop`; in each case what is mapped by then is delivered first, as far as that
    is possible, and what is not is kept as dead letters. With a state, the next crawl goes on with it.
    """
    with _open_journal(settings, report) as journal:
        if journal is not None:
            settings = structs.replace(settings, run_id=report.run_id)
        async with (
            _watched(settings, report),
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
        yield MlflowClient(tracking, registry, settings.page_size, report.time)


def _watched(settings: Settings, report: CrawlReport) -> AbstractAsyncContextManager[None]:
    """Ends what hangs. Whoever reads a file that is written may take any time."""
    if not isinstance(settings.sink, RestSettings):
        return nullcontext()
    servers = (settings.mlflow.tracking, settings.mlflow.registry, settings.sink.server)
    return ends_when_stalled(report.pulse, longest_wait(server for server in servers if server is not None))


@contextmanager
def _open_journal(settings: Settings, report: CrawlReport) -> Iterator[Checkpoint | None]:
    """What the state says of an earlier crawl, if one is to be kept. The report gets the run id of that crawl."""
    if settings.state is None or settings.dry_run:
        yield None
        return
    with Checkpoint(settings.state, fingerprint(settings), report) as journal:
        if journal.resumed:
            _log.info("Going on with the crawl %s, which delivered %d runs.", report.run_id, report.read["runs"])
        yield journal


def _mapper(settings: Settings, journal: Checkpoint | None) -> CrawlMapper:
    if journal is None:
        return CrawlMapper(settings.mapping)
    mapper = CrawlMapper(settings.mapping, journal.was_settled)
    journal.hold(mapper.datasets)
    return mapper
