"""A diff: the stream of a crawl's entities beside what DataHub has, wired in one place."""

import asyncio
from collections.abc import Iterable

from crawler.checkpoint.protocol import NoProgress
from crawler.comparison.compared_stream import ComparedStream
from crawler.comparison.comparer import Comparer
from crawler.comparison.differences import Differences
from crawler.comparison.left_out import LeftOut
from crawler.comparison.orphans import OrphanSearch
from crawler.comparison.ownership import (
    KEY_ASPECTS,
    instances_read,
    kinds_not_read,
    types_read_whole,
    types_told_apart,
)
from crawler.comparison.seen_urns import SeenUrns
from crawler.comparison.value_reader import ValueReader
from crawler.datahub.client import GmsClient
from crawler.datahub.versions import reads_back
from crawler.delivery.open_delivery import open_delivery
from crawler.errors import (
    AnswerTooLarge,
    CrawlerError,
    DecodeError,
    RequestRefused,
    SettingsError,
    WrongServer,
    cause_of,
)
from crawler.http import Server
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.pipeline.entities import EntityStream, open_mlflow
from crawler.pipeline.watchdog import ends_when_stalled, longest_wait
from crawler.settings.crawl import Settings
from crawler.settings.selection import choices
from crawler.settings.sinks import RestSettings
from crawler.stopping import unless_stopped
from crawler.telemetry.events import Listener, OutputOpened, Started, tell_all
from crawler.telemetry.findings.comparison import ORPHANS_NOT_LISTED, ORPHANS_UNKNOWN
from crawler.telemetry.report import Report


async def diff(
    settings: Settings,
    *,
    fix: bool = False,
    differences: Differences | None = None,
    listeners: Iterable[Listener] = (),
    report: Report | None = None,
    stop: asyncio.Event | None = None,
) -> Differences:
    """Compare what a crawl would write with what DataHub has. Nothing is written without `fix`.

    With `fix`, what is missing or different is delivered as a crawl delivers it. `differences` and `report` may be
    passed to watch them grow. `stop` ends it early.

    Example:
        differences = await diff(load("recipe.yml"))
        print(differences.missing, differences.different, differences.orphaned)

    Raises:
        SettingsError: There is no DataHub in the settings, or it is too old to be read.
        CrawlerError: A server fails for good, or nothing happens any more.
        Interrupted: `stop` was set.
    """
    differences = Differences() if differences is None else differences
    report = Report(settings.run_id) if report is None else report
    stop = stop or asyncio.Event()
    failure: BaseException | None = None
    try:
        await _diff(settings, differences, report, tell_all((report, *listeners)), stop, fix=fix)
    except* CrawlerError as group:
        failure = cause_of(group)
    if failure is not None:
        raise failure
    report.finish()
    return differences


async def _diff(
    settings: Settings, differences: Differences, report: Report, listener: Listener, stop: asyncio.Event, *, fix: bool
) -> None:
    sink = require_datahub(settings)
    servers = (settings.mlflow.tracking, settings.mlflow.registry, sink.server)
    selection = settings.selection
    listener(Started(settings.run_id, chosen=choices(selection), leaves_out_runs=selection.leaves_out_runs))
    async with (
        ends_when_stalled(report.activity, longest_wait(server for server in servers if server is not None)),
        open_mlflow(settings.mlflow, report.mlflow, report.time) as client,
        Server("DataHub", sink.server, report.datahub, counts="sent") as server,
    ):
        gms = GmsClient(server)
        version = await unless_stopped(_readable_version(gms), stop)
        listener(OutputOpened(server.url, version))
        reader, seen, left_out = ValueReader(gms, listener), SeenUrns(), LeftOut(settings.mapping)
        comparer = Comparer(reader, differences, seen)
        async with (
            EntityStream(
                client,
                CrawlMapper(settings.mapping, witness=left_out),
                listener,
                report.time,
                settings.mlflow.tracking.concurrency,
                selection=settings.selection,
                progress=NoProgress(),
                stop=stop,
            ) as stream,
            ComparedStream(stream, comparer.compare) as compared,
        ):
            await (_deliver(compared, settings, listener, report, stop) if fix else _read_through(compared))
        is_only = settings.mlflow.workspace is not None
        instances = instances_read(report.workspaces, settings.mapping, is_only=is_only)
        unread = kinds_not_read(_codes(report), selection)
        search = OrphanSearch(gms, reader, settings.mapping, instances, seen, differences, left_out, unread)
        await unless_stopped(_find_orphans(search, settings, report, listener), stop)
    differences.complete = True


def require_datahub(settings: Settings) -> RestSettings:
    """Return the settings of the DataHub to compare with. Raises SettingsError where there is none."""
    if isinstance(settings.sink, RestSettings):
        return settings.sink
    raise SettingsError(
        "There is no DataHub to compare with.",
        "Use --datahub-url, DATAHUB_GMS_URL, or a sink of type datahub-rest in the recipe.",
    )


async def _readable_version(gms: GmsClient) -> str | None:
    version = await gms.version()
    if not reads_back(version):
        raise SettingsError(f"DataHub {version} is older than 1.0.1, the first version that can be compared with.")
    return version


async def _deliver(
    compared: ComparedStream, settings: Settings, listener: Listener, report: Report, stop: asyncio.Event
) -> None:
    async with open_delivery(settings, listener, report.datahub, report.time) as delivery:
        await delivery.deliver(compared, stop)


async def _read_through(compared: ComparedStream) -> None:
    async for _ in compared:
        pass


async def _find_orphans(search: OrphanSearch, settings: Settings, report: Report, listener: Listener) -> None:
    """Look for orphans among the entity types of which MLflow gave all."""
    told_apart = types_told_apart(report.workspaces, settings.mapping)
    entity_types = [each for each in types_read_whole(_codes(report), settings.selection) if each in told_apart]
    if unknown := [each for each in KEY_ASPECTS if each not in entity_types]:
        listener(ORPHANS_UNKNOWN.found(", ".join(unknown), len(unknown)))
    if not entity_types:
        return
    try:
        await search.run(entity_types)
    except (RequestRefused, DecodeError, AnswerTooLarge, WrongServer) as error:
        listener(ORPHANS_NOT_LISTED.found(error.message))


def _codes(report: Report) -> set[str]:
    """Return the codes of all findings."""
    return {finding.code for finding in (*report.warnings, *report.failures)}
