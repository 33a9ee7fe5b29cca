"""A crawl: MLflow → entities → DataHub, wired in one place."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import structs

from crawler.checkpoint.protocol import NoProgress
from crawler.delivery.dead_letters import default_path, unconfirmed_beside
from crawler.delivery.open_delivery import open_delivery
from crawler.errors import SettingsError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.pipeline.entities import EntityStream, open_mlflow
from crawler.pipeline.ingestion_page import open_ingestion_page
from crawler.pipeline.run_choice import unread_types
from crawler.pipeline.stale_feed import StaleFeed
from crawler.pipeline.watchdog import ends_when_stalled, longest_wait
from crawler.removal.open_removal import open_removal
from crawler.removal.own_kinds import kinds_left_out
from crawler.removal.stale_removal import StaleRemoval
from crawler.settings.crawl import Settings
from crawler.settings.selection import choices
from crawler.stopping import unless_stopped
from crawler.telemetry.events import Listener, RowsRead, RowsSkipped, Started, tell_all
from crawler.telemetry.findings.delivery import LETTERS_ELSEWHERE
from crawler.telemetry.logs import encodable
from crawler.telemetry.report import Report
from crawler.telemetry.tally import Tally
from crawler.transformers.worker import open_transformers

if TYPE_CHECKING:
    from crawler.checkpoint.checkpoint import Checkpoint

_NO_STATE = (
    "What has changed since the last crawl is told by its state, and there is none (changed_only, incremental, "
    "verify_every)."
)

_log = logging.getLogger("crawler")


async def crawl(
    settings: Settings,
    *,
    listeners: Iterable[Listener] = (),
    report: Report | None = None,
    stop: asyncio.Event | None = None,
) -> Report:
    """Read everything from MLflow and deliver it to the sink. Returns the report of it.

    `listeners` hear of each event, and so does `report`, where you pass one to watch it grow. `stop` ends the reading
    early.

    Example:
        report = await crawl(load("recipe.yml"))
        print(report.status, report.delivered, report.failures)

    Raises:
        CrawlerError: A server or the output fails for good, or nothing happens any more.
        Interrupted: `stop` was set.

    In each case what is mapped by then is delivered first, as far as that is possible, and what is not is kept as dead
    letters. With a state, the next crawl goes on where this one ended.
    """
    report = Report(settings.run_id) if report is None else report
    await _crawl(settings, report, stop or asyncio.Event(), listeners)
    report.finish()
    return report


async def _crawl(settings: Settings, report: Report, stop: asyncio.Event, listeners: Iterable[Listener]) -> None:
    with _open_checkpoint(settings) as checkpoint:
        stale = _stale_removal(settings)
        own = [each for each in (checkpoint, stale) if each is not None]
        listener = tell_all((report, *own, *listeners))
        progress = checkpoint or NoProgress()
        memory = None if checkpoint is None else checkpoint.memory
        mapper = CrawlMapper(
            settings.mapping,
            progress.was_delivered,
            None if memory is None else memory.note_of,
            None if stale is None else stale.record,
        )
        if checkpoint is not None:
            settings = structs.replace(settings, run_id=checkpoint.run_id)
            checkpoint.hold(mapper.datasets)
        _tell_start(settings, checkpoint, listener)
        async with (
            open_ingestion_page(settings, report, listener) as page,
            _watched(settings, report),
            open_mlflow(settings.mlflow, report.mlflow, report.time) as client,
            AsyncExitStack() as stack,
        ):
            delivery = await unless_stopped(
                stack.enter_async_context(
                    open_delivery(
                        settings,
                        listener,
                        report.datahub,
                        report.time,
                        is_resumable=checkpoint is not None,
                        sent=None if memory is None else memory.sent,
                        doubts=memory is not None and memory.scope.verifies,
                    )
                ),
                stop,
            )
            await page.begin()
            transformers = await stack.enter_async_context(open_transformers(settings, report.time))
            removal = await unless_stopped(
                stack.enter_async_context(open_removal(settings, stale, listener, memory)), stop
            )
            async with EntityStream(
                client,
                mapper,
                listener,
                report.time,
                settings.mlflow.tracking.concurrency,
                selection=settings.selection,
                progress=progress,
                stop=stop,
                transformers=transformers,
                removals_of=removal.deleted_runs.removals if removal else None,
            ) as stream:
                await delivery.deliver(stream, stop)
            if removal is not None and not stop.is_set():
                feed = StaleFeed(client, settings, removal, listener, stop)
                await delivery.following().deliver(feed, stop)
        if checkpoint is not None:
            checkpoint.finish()


def _stale_removal(settings: Settings) -> StaleRemoval | None:
    """Return what holds the crawl against the last one, if what vanished is to be removed."""
    if settings.removal is None:
        return None
    selection = settings.selection
    return StaleRemoval(
        settings.removal.fail_safe_threshold,
        settings.mapping.model_name_separator,
        unread_types(selection),
        kinds_left_out(selection.include),
    )


@contextmanager
def _open_checkpoint(settings: Settings) -> "Iterator[Checkpoint | None]":
    """Open what an earlier crawl left, if one is to be kept. Raises SettingsError."""
    if settings.dry_run:
        yield None
        return
    if settings.state is None:
        if settings.changed_only is not None:
            raise SettingsError(_NO_STATE, "Add --state PATH.")
        yield None
        return
    from crawler.checkpoint.checkpoint import Checkpoint  # noqa: PLC0415  SQLite takes a megabyte of memory
    from crawler.checkpoint.fingerprint import fingerprint  # noqa: PLC0415

    with Checkpoint(settings.state, fingerprint(settings), settings.run_id, settings.changed_only) as checkpoint:
        yield checkpoint


def _tell_start(settings: Settings, checkpoint: "Checkpoint | None", listener: Listener) -> None:
    resumed = checkpoint.resumed if checkpoint is not None else None
    expected = None if checkpoint is None else checkpoint.runs_expected
    since = None if checkpoint is None or checkpoint.memory is None else checkpoint.memory.scope.since
    if since is not None:
        _log.info("Reading what may have changed since %s.", datetime.fromtimestamp(since / 1_000).astimezone())
    started = Started(
        settings.run_id,
        settings.dry_run,
        runs_expected=expected,
        since=since,
        chosen=choices(settings.selection),
        leaves_out_runs=settings.selection.leaves_out_runs,
    )
    if resumed is None:
        listener(started)
        return
    _log.info("Going on with the crawl %s, which delivered %d runs.", settings.run_id, resumed.runs)
    listener(structs.replace(started, dry_run=False, resumed=resumed.tally))
    _tell_letters_elsewhere(settings, resumed.tally, listener)
    listener(RowsRead("runs", resumed.runs))
    if resumed.deleted_runs:
        listener(RowsSkipped("deleted runs", resumed.deleted_runs))
    if resumed.runs_left_out:
        listener(RowsSkipped("runs left out", resumed.runs_left_out))


def _tell_letters_elsewhere(settings: Settings, before: Tally, listener: Listener) -> None:
    """Name the files in which the interrupted crawl kept something, unless this one adds to them."""
    letters = settings.dead_letters or default_path(settings.run_id)
    for path, then, count in (
        (letters, before.dead_letters_path, before.dead_letters),
        (unconfirmed_beside(letters), before.unconfirmed_path, before.unconfirmed_proposals),
    ):
        if then is not None and count and str(then) != encodable(str(path.absolute())):
            listener(LETTERS_ELSEWHERE.found(str(then), count, path=then))


def _watched(settings: Settings, report: Report) -> AbstractAsyncContextManager[None]:
    """End what hangs. Whoever reads a file that is written may take any time."""
    if settings.sink.server is None:
        return nullcontext()
    servers = (settings.mlflow.tracking, settings.mlflow.registry, settings.sink.server)
    return ends_when_stalled(report.activity, longest_wait(server for server in servers if server is not None))
