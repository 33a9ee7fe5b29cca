"""A crawl: read → map → deliver, wired in one place."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from crawler.datahub.encoding import Validator
from crawler.datahub.proposals import SystemMetadata, encode_system_metadata
from crawler.delivery import Delivery
from crawler.errors import CrawlerError, Interrupted
from crawler.http import Server
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient, is_final
from crawler.reader import Reader
from crawler.report import CrawlReport
from crawler.settings import MlflowSettings, ServerSettings, Settings
from crawler.sinks import make_sink


async def crawl(settings: Settings, report: CrawlReport, stop: asyncio.Event) -> None:
    """Reads everything from MLflow and delivers it to the sink; what happened is in `report`.

    `stop` ends the reading early. Raises CrawlerError where a server or the output fails for good, Interrupted after
    `stop`; in each case what is mapped by then is delivered first, as far as that is possible.
    """
    report.dry_run = settings.dry_run
    system_metadata = SystemMetadata(_now(), settings.run_id, settings.pipeline_name)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_mlflow(settings.mlflow, report))
        sink = make_sink(settings, report, encode_system_metadata(system_metadata))
        await _unless_stopped(stack.enter_async_context(sink), stop)
        delivery = Delivery(sink, report, _validator(settings))
        mapper = CrawlMapper(settings.mapping)
        reader = Reader(client, mapper, delivery, report, settings.mlflow.tracking.concurrency)
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for lane in delivery.lanes:
                    tasks.create_task(delivery.send(lane))
                failure = await _read(reader, stop)
                await reader.deliver_held()
                await delivery.close()
        except* CrawlerError as group:
            failure = group
        if failure is not None:
            raise _cause(failure)


@asynccontextmanager
async def open_mlflow(settings: MlflowSettings, report: CrawlReport) -> AsyncIterator[MlflowClient]:
    """A client of the tracking server, and of the registry where that is another one."""
    async with AsyncExitStack() as stack:

        async def connect(server: ServerSettings) -> Server:
            # A new connection for each page spreads the load over all of the server's workers.
            return await stack.enter_async_context(
                Server("MLflow", server, report.mlflow, keep_alive=False, is_final=is_final)
            )

        tracking = await connect(settings.tracking)
        registry = tracking if settings.registry is None else await connect(settings.registry)
        yield MlflowClient(tracking, registry, settings.page_size, _unreadable(report), report.time)


async def _read(reader: Reader, stop: asyncio.Event) -> BaseException | None:
    """Reads to the end or until `stop`. Gives what went wrong, not raising it, so that the rest is still delivered."""
    try:
        await _unless_stopped(reader.read(), stop)
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
        raise Interrupted("The crawl was stopped before its end.", "Run it again to have the rest.")
    working.result()


def _unreadable(report: CrawlReport) -> Callable[[str, list[str]], None]:
    def tell(kind: str, rows: list[str]) -> None:
        for row in rows:
            report.fail(f"unreadable_{kind}", f"MLflow lists {kind} that cannot be read, so they were left out.", row)

    return tell


def _validator(settings: Settings) -> Validator | None:
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
