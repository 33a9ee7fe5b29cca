"""DataHub Lite: acryl-datahub's catalog in one local file (`datahub lite`)."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crawler.atomic_files import OWNER_ONLY, lock_file
from crawler.datahub.batching import Batch, Packer
from crawler.datahub.lite_catalog import open_lite_catalog
from crawler.datahub.validation import UNFIT, as_wrapper
from crawler.datahub.wire.file import FileWire
from crawler.datahub.wire.protocol import Wire
from crawler.errors import OutputError, RequestRefused, SettingsError
from crawler.http.traffic import Traffic
from crawler.settings.sinks import LiteSettings
from crawler.sinks.protocol import SinkFacts, StoreLookup, Written
from crawler.telemetry.events import Listener, OutputOpened
from crawler.telemetry.timing import Timing

if TYPE_CHECKING:
    from datahub.lite.lite_local import DataHubLiteLocal


@asynccontextmanager
async def open_lite_sink(
    settings: LiteSettings,
    system_metadata: msgspec.Raw,
    traffic: Traffic,
    _timing: Timing,
    listener: Listener,
) -> AsyncIterator["LiteSink"]:
    """Open a catalog, which is made where there is none.

    Raises:
        SettingsError: The file cannot be opened, or another crawl writes it.
        OutputError: It could not be written to its end.
    """
    with suppress(OSError):
        # Where there can be no such folder, the lock says so.
        settings.path.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(settings.path):
        catalog = await asyncio.to_thread(_open, settings)
        sink = LiteSink(settings.path, catalog, FileWire(system_metadata), traffic)
        listener(OutputOpened(sink.facts.target))
        try:
            yield sink
        finally:
            await sink.close()


class LiteSink:
    """Writes through acryl-datahub's own classes, which read DataHub's file format, in a thread of its own."""

    lookup: StoreLookup | None = None

    def __init__(self, path: Path, catalog: "DataHubLiteLocal", wire: Wire, traffic: Traffic) -> None:
        self.facts = SinkFacts(target=str(path), verification_method="written")
        self.wire = wire
        self._path = path
        self._catalog = catalog
        self._traffic = traffic

    def packer(self) -> Packer:
        """Return a packer of batches that are small enough to wait in memory."""
        return Packer(max_proposals=500, max_bytes=5_000_000)

    async def write(self, batch: Batch) -> Written:
        """Write the batch.

        Raises:
            RequestRefused: Something of it does not fit acryl-datahub's schema.
            OutputError: The disk is full, for example.
        """
        await asyncio.to_thread(self._write, batch)
        self._traffic.bytes += batch.bytes
        return Written(self.facts.verification_method)

    async def close(self) -> None:
        """Close the catalog."""
        try:
            await asyncio.to_thread(self._catalog.close)
        except (sqlite3.Error, OSError) as error:
            # close() writes an index first; where that fails, it leaves the connection open.
            self._catalog._close_connection()  # noqa: SLF001
            raise self._unwritable(error) from None

    def _write(self, batch: Batch) -> None:
        try:
            for entity in batch.entities:
                for encoded in entity.proposals:
                    self._catalog.write(as_wrapper(msgspec.json.decode(encoded)))
        except UNFIT as error:
            raise RequestRefused(
                f"DataHub Lite does not take a proposal: {error}", status=422, answer=str(error)
            ) from None
        except (sqlite3.Error, OSError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> OutputError:
        return OutputError(f"Writing {self._path} failed: {error}.", "Make room, then run it again.")


def _open(settings: LiteSettings) -> "DataHubLiteLocal":
    from datahub.configuration.common import ConfigurationError  # noqa: PLC0415  takes 1 s

    try:
        is_new = not settings.path.exists()
        if settings.kind == "sqlite" and not is_new:
            _check_format(settings)
        catalog = open_lite_catalog(settings.kind, settings.path)
        if is_new:
            settings.path.chmod(OWNER_ONLY)
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"Cannot open {settings.path}: {error}.", "Give another path with -o.") from None
    except ConfigurationError:
        raise _package_missing(settings) from None
    return catalog


def require_package(settings: LiteSettings) -> None:
    """Raise SettingsError if a package that the catalog's format needs is not installed."""
    if settings.kind == "duckdb" and find_spec("duckdb") is None:
        raise _package_missing(settings)


def _package_missing(settings: LiteSettings) -> SettingsError:
    return SettingsError(
        f"DataHub Lite with {settings.kind} needs its package.", f"pip install 'acryl-datahub[{settings.kind}]'"
    )


def _check_format(settings: LiteSettings) -> None:
    """Raise sqlite3.Error if the file is no SQLite database. acryl-datahub would leave its connection to it open."""
    with closing(sqlite3.connect(settings.path)) as database:
        database.execute("PRAGMA schema_version")
