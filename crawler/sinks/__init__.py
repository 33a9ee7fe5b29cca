"""Where proposals go: DataHub's GMS, a file, DataHub Lite, or nowhere."""

import msgspec

from crawler.report import CrawlReport
from crawler.settings import DeliverySettings, Endpoint, FileSettings, RestSettings
from crawler.sinks.dry_run import DryRunSink
from crawler.sinks.file import FileSink
from crawler.sinks.lite import LiteSink
from crawler.sinks.openapi import OpenApiSink
from crawler.sinks.rest import RestSink
from crawler.sinks.sink import Sink


def make_sink(settings: DeliverySettings, report: CrawlReport, system_metadata: msgspec.Raw) -> Sink:
    """The sink that the settings name."""
    if settings.dry_run:
        return DryRunSink(system_metadata)
    if isinstance(settings.sink, RestSettings):
        sink = OpenApiSink if settings.sink.endpoint is Endpoint.OPENAPI else RestSink
        return sink(settings.sink, report, system_metadata)
    if isinstance(settings.sink, FileSettings):
        return FileSink(settings.sink, report, system_metadata)
    return LiteSink(settings.sink, report, system_metadata)
