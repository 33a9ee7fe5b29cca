"""Opens the stale removal of a crawl: with DataHub, and with what keeps the checkpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from crawler.datahub.client import GmsClient
from crawler.errors import CrawlerError
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.removal.checkpoint_keeper import CheckpointKeeper
from crawler.removal.checkpoint_state import OFFICIAL_JOB, OWN_JOB
from crawler.removal.checkpoint_store import CheckpointStore, DatahubCheckpoints, FileCheckpoints
from crawler.removal.deleted_runs import DeletedRuns
from crawler.removal.known_runs import KnownRuns
from crawler.removal.shown_entities import ShownEntities
from crawler.removal.stale_removal import StaleRemoval
from crawler.settings.crawl import Settings
from crawler.settings.servers import ServerSettings
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.removal import CHECKPOINT_UNWRITTEN


class Removal(msgspec.Struct, frozen=True):
    """What a crawl removes with.

    Attributes:
        stale: what the crawl lists, held against the last checkpoint.
        shown: which entities DataHub shows.
        deleted_runs: marks runs that MLflow lists as deleted.
        is_confirmed: True if the user says that what is missing was deleted.
        known_runs: the runs that earlier crawls delivered, where a state on this machine remembers them.
    """

    stale: StaleRemoval
    shown: ShownEntities
    deleted_runs: DeletedRuns
    is_confirmed: bool
    known_runs: KnownRuns | None = None


@asynccontextmanager
async def open_removal(
    settings: Settings, stale: StaleRemoval | None, listener: Listener, known_runs: KnownRuns | None = None
) -> AsyncIterator[Removal | None]:
    """Connect to DataHub and read the last checkpoints into `stale`; write the next ones when the context ends.

    They are written also where the crawl has ended early, but not where it is cancelled. What fails is a finding.
    Yields None where nothing is to be removed.
    """
    removal = settings.removal
    if removal is None or stale is None:
        yield None
        return
    async with AsyncExitStack() as stack:

        async def connect(server: ServerSettings) -> GmsClient:
            # Its few requests are not among those that the crawl counts and waits for.
            return GmsClient(await stack.enter_async_context(Server("DataHub", server, Traffic())))

        sink = None if settings.sink.server is None else await connect(settings.sink.server)
        place, pipeline_name = removal.checkpoint, settings.pipeline_name or ""
        store: CheckpointStore
        if isinstance(place, Path):
            store = FileCheckpoints(place, pipeline_name)
        else:
            is_sink = sink is not None and place == settings.sink.server
            store = DatahubCheckpoints(sink if sink is not None and is_sink else await connect(place), pipeline_name)
        official, own = (
            CheckpointKeeper(
                store, removal, pipeline_name, settings.run_id, listener, writes=not settings.dry_run, job=job
            )
            for job in (OFFICIAL_JOB, OWN_JOB)
        )
        stale.old = await official.read()
        stale.old_own = await own.read()
        shown = ShownEntities(sink, listener)
        try:
            yield Removal(stale, shown, DeletedRuns(shown, listener, known_runs), removal.is_confirmed, known_runs)
        except CrawlerError:
            await _write_in_time(official, own, stale, settings.grace, listener)
            raise
        await _write(official, own, stale)


async def _write(official: CheckpointKeeper, own: CheckpointKeeper, stale: StaleRemoval) -> None:
    await official.write(stale.next_checkpoint())
    await own.write(stale.next_own_checkpoint())


async def _write_in_time(
    official: CheckpointKeeper, own: CheckpointKeeper, stale: StaleRemoval, seconds: float, listener: Listener
) -> None:
    """Write the checkpoints of a crawl that has ended early, which may be because DataHub is away."""
    try:
        async with asyncio.timeout(seconds):
            await _write(official, own, stale)
    except TimeoutError:
        listener(CHECKPOINT_UNWRITTEN.found(f"DataHub did not answer within {seconds:g} s."))
