"""Where proposals go: DataHub's GMS, a file, DataHub Lite, or nowhere."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

from crawler.http.traffic import Traffic
from crawler.settings.crawl import DeliverySettings
from crawler.settings.sinks import FileSettings, LiteSettings, RestSettings
from crawler.sinks.dry_run import open_dry_run_sink
from crawler.sinks.file import open_file_sink
from crawler.sinks.gms import open_gms_sink
from crawler.sinks.protocol import Sink, SinkFacts, StoreLookup, Written
from crawler.telemetry.events import Listener
from crawler.telemetry.timing import Timing

__all__ = ["Sink", "SinkFacts", "StoreLookup", "Written", "open_sink"]


def _open_lite_sink(
    settings: LiteSettings, system_metadata: msgspec.Raw, traffic: Traffic, timing: Timing, listener: Listener
) -> AbstractAsyncContextManager[Sink]:
    from crawler.sinks.lite import open_lite_sink  # noqa: PLC0415  SQLite takes memory, and only this sink needs it

    return open_lite_sink(settings, system_metadata, traffic, timing, listener)


_Opener = Callable[[Any, msgspec.Raw, Traffic, Timing, Listener], AbstractAsyncContextManager[Sink]]
_OPENERS: dict[type, _Opener] = {
    RestSettings: open_gms_sink,
    FileSettings: open_file_sink,
    LiteSettings: _open_lite_sink,
}


@asynccontextmanager
async def open_sink(
    settings: DeliverySettings, system_metadata: msgspec.Raw, traffic: Traffic, timing: Timing, listener: Listener
) -> AsyncIterator[Sink]:
    """Open the sink that the settings name; it is closed when the `async with` ends.

    `traffic` and `timing` count the bytes that are written and the CPU time that this takes. `listener` gets
    OutputOpened and findings.

    Raises:
        SettingsError, ServerError: It cannot be opened.
        OutputError: A file could not be written to its end.
    """
    if settings.dry_run:
        async with open_dry_run_sink(settings.sink, system_metadata, traffic, listener) as sink:
            yield sink
        return
    async with _OPENERS[type(settings.sink)](settings.sink, system_metadata, traffic, timing, listener) as sink:
        yield sink
