"""Where proposals go: DataHub's GMS, a file, DataHub Lite, or nowhere."""

import msgspec

from crawler.config.settings import DeliverySettings, Endpoint, FileSettings, RestSettings
from crawler.sinks.dry_run import DryRunSink
from crawler.sinks.file import FileSink
from crawler.sinks.gms import RestSink
from crawler.sinks.gms_openapi import OpenApiSink
from crawler.sinks.lite import LiteSink
from crawler.sinks.protocol import Sink
from crawler.telemetry.report import CrawlReport


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
