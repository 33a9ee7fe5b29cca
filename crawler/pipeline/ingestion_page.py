"""Tells DataHub's Ingestion page of a crawl, and files that want its report in the form of `datahub ingest`."""

import asyncio
import copy
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from msgspec import structs

from crawler.datahub import ingestion_page as page
from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.batching import batch_of
from crawler.datahub.client import GmsClient
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import NO_RUN_ID, Entity, SystemMetadata, encode_system_metadata
from crawler.errors import CrawlerError, CredentialsRefused, Interrupted, RequestRefused, ServerError
from crawler.http import Server
from crawler.http.status_policy import FORBIDDEN
from crawler.http.traffic import Traffic
from crawler.json_files import place_for, write_json
from crawler.settings.crawl import Settings
from crawler.settings.sinks import RestSettings
from crawler.sinks.gms import wire_of
from crawler.sinks.gms_writer import GmsWriter
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.delivery import NOT_ON_PAGE, NOT_REPORTED
from crawler.telemetry.findings.kind import error_found
from crawler.telemetry.official_report import VERSION, official_report, report_text
from crawler.telemetry.report import Report
from crawler.telemetry.timing import Timing

LOG_LINES = 1_000
ATTEMPTS = 2
SECONDS = 10.0
"""How long the page may take: a crawl that is stopped has only its grace."""

_log = logging.getLogger("crawler")


class IngestionPage:
    """One crawl on the page: `begin` once DataHub is known to answer, `end` however it ends."""

    def __init__(self, settings: Settings, report: Report, listener: Listener, log: Sequence[str]) -> None:
        """Show the crawl of these settings, of which `report` tells and `log` has the last lines."""
        self._settings = settings
        self._report = report
        self._listener = listener
        self._lines = log
        self._pipeline = page.Pipeline(settings.pipeline_name, settings.mapping.platform_instance)
        self._is_begun = False

    async def begin(self) -> None:
        """Show source and run. Raises CrawlerError where that fails and the settings require it."""
        wanted = self._settings.ingestion_page
        if wanted is None:
            return
        try:
            await self._write(*self._begun())
            self._is_begun = True
        except CrawlerError as error:
            if wanted.is_required:
                raise
            self._not_shown(error)

    async def end(self, error: CrawlerError | None) -> None:
        """Show how it ended, and write the files. What fails is a finding or a line in the log, never an error."""
        if self._settings.ingestion_page is None and not self._settings.report_files:
            return
        ended = _ended(self._report, error)
        structured = official_report(ended, _sink_type(self._settings))
        for path in self._settings.report_files:
            try:
                write_json("report", structured, place_for(path, "report"))
            except CrawlerError as problem:
                self._listener(NOT_REPORTED.found(str(problem)))
        if self._settings.ingestion_page is not None:
            await self._show_end(ended, structured, error)

    async def _show_end(self, ended: Report, structured: dict[str, object], error: CrawlerError | None) -> None:
        result = page.run_ended(
            self._status(ended, error),
            int(ended.started_at.timestamp() * 1_000),
            int(ended.duration * 1_000),
            report_text(ended, structured, self._lines),
            json.dumps(structured, indent=2),
        )
        run = _entity("dataHubExecutionRequest", page.execution_urn(self._settings.run_id), result)
        try:
            await self._write(*([] if self._is_begun else self._begun()), run)
        except CrawlerError as problem:
            self._not_shown(problem)

    def _begun(self) -> list[Entity]:
        run_id, wanted = self._settings.run_id, self._settings.ingestion_page
        if wanted is None or page.is_managed(run_id):
            return []
        begun = page.run_begun(self._pipeline, wanted.recipe, VERSION, _now())
        return [
            _entity(
                "dataHubIngestionSource",
                self._pipeline.urn,
                page.source_info(self._pipeline, wanted.recipe, VERSION),
            ),
            _entity("dataHubExecutionRequest", page.execution_urn(run_id), begun),
        ]

    def _status(self, ended: Report, error: CrawlerError | None) -> str:
        if isinstance(error, Interrupted):
            # What was cancelled stays so, and the crawl that goes on has the same run id.
            return "CANCELLED" if self._settings.state is None else "UP_FOR_RETRY"
        return "SUCCESS" if ended.status in {"success", "unconfirmed"} else "FAILURE"

    async def _write(self, *entities: Entity) -> None:
        """Write entities as they are, without the run id by which the crawl is rolled back."""
        sink = self._settings.sink
        assert isinstance(sink, RestSettings)  # noqa: S101  there is a page of no other
        impatient = structs.replace(sink.server, attempts=ATTEMPTS, patience=0.0)
        wire = wire_of(sink, encode_system_metadata(SystemMetadata(_now(), NO_RUN_ID)))
        encoder = Encoder(wire)
        try:
            async with asyncio.timeout(SECONDS), Server("DataHub", impatient, Traffic()) as server:
                writer = GmsWriter(GmsClient(server), wire, sink, Timing(), lambda _: None)
                for entity in entities:
                    encoded, refusals = encoder.encode(entity)
                    if refusals:
                        raise ServerError(f"DataHub would not take the run: {refusals[0].reason}.")
                    await writer.write(batch_of([encoded]), asynchronous=False)
        except TimeoutError:
            raise ServerError(f"DataHub did not answer within {SECONDS:.0f} s.") from None

    def _not_shown(self, error: CrawlerError) -> None:
        wanted = self._settings.ingestion_page
        if wanted is not None and wanted.is_asked_for:
            self._listener(NOT_ON_PAGE.found(str(error)))
        elif isinstance(error, CredentialsRefused) or (isinstance(error, RequestRefused) and error.status == FORBIDDEN):
            _log.info(
                "DataHub's Ingestion page does not show this crawl: that takes the privilege Manage Metadata Ingestion."
            )
        else:
            _log.info("DataHub's Ingestion page does not show this crawl. %s", error)


@asynccontextmanager
async def open_ingestion_page(settings: Settings, report: Report, listener: Listener) -> AsyncIterator[IngestionPage]:
    """Show what happens in this context; an error of it is shown, too, and raised again."""
    with _last_lines() as log:
        shown = IngestionPage(settings, report, listener, log)
        try:
            yield shown
        except CrawlerError as error:
            await shown.end(error)
            raise
        await shown.end(None)


@contextmanager
def _last_lines() -> Iterator[Sequence[str]]:
    """Keep the last lines of the log."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    _log.addHandler(handler)
    try:
        yield lines
    finally:
        _log.removeHandler(handler)


def _ended(report: Report, error: CrawlerError | None) -> Report:
    """Return a copy of the report that has ended as the crawl ends; it goes on being counted in itself."""
    ended = copy.copy(report)
    ended.tally = copy.deepcopy(report.tally)
    if error is None:
        ended.finish()
    elif isinstance(error, Interrupted):
        ended.finish("interrupted")
    else:
        ended(error_found(error))
        ended.finish("failed")
    return ended


def _entity(entity_type: str, urn: str, aspect: Aspect) -> Entity:
    return Entity(entity_type, urn, (aspect,))


def _sink_type(settings: Settings) -> str:
    return {"RestSettings": "datahub-rest", "LiteSettings": "datahub-lite"}.get(type(settings.sink).__name__, "file")


def _now() -> int:
    return time.time_ns() // 1_000_000
