"""DataHub Lite: acryl-datahub's catalog in one local file (`datahub lite`)."""

import asyncio
import sqlite3
from contextlib import ExitStack, closing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from crawler.atomic_files import OWNER_ONLY, claim
from crawler.config.settings import LiteSettings
from crawler.datahub.batching import Batch, Packer
from crawler.datahub.encoding import Wire
from crawler.datahub.validation import UNFIT, as_wrapper
from crawler.datahub.wire.restli import FileWire
from crawler.errors import OutputError, RequestRefused, SettingsError
from crawler.sinks.protocol import Store
from crawler.telemetry.report import CrawlReport

if TYPE_CHECKING:
    from datahub.lite.lite_local import DataHubLiteLocal


class LiteSink:
    """Writes through acryl-datahub's own classes, which read DataHub's file format, in a thread of its own."""

    lanes = 1
    unsupported: frozenset[tuple[str, str]] = frozenset()
    store: Store | None = None
    proof: str | None = "written"

    def __init__(self, settings: LiteSettings, report: CrawlReport, system_metadata: msgspec.Raw) -> None:
        self._settings = settings
        self.wire: Wire = FileWire(system_metadata)
        self._report = report
        self._lite: DataHubLiteLocal
        self._claim = ExitStack()

    async def __aenter__(self) -> Self:
        with suppress(OSError):
            # Where there can be no such folder, the claim says so.
            self._settings.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            opened.enter_context(claim(self._settings.path))
            self._lite = await asyncio.to_thread(_open, self._settings)
            self._claim = opened.pop_all()
        self._report.output = str(self._settings.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._claim:
            try:
                await asyncio.to_thread(self._lite.close)
            except (sqlite3.Error, OSError) as failure:
                # close() writes an index first; where that fails, it leaves the connection open.
                self._lite._close_connection()  # noqa: SLF001
                raise self._unwritable(failure) from None

    def packer(self) -> Packer:
        """Batches that are small enough to wait in memory."""
        return Packer(max_proposals=500, max_bytes=5_000_000)

    async def write(self, batch: Batch) -> None:
        """Writes the batch. Raises RequestRefused for what does not fit acryl-datahub's schema, OutputError such as for
        a full disk.
        """
        await asyncio.to_thread(self._write, batch)
        self._report.datahub.bytes += batch.bytes

    def _write(self, batch: Batch) -> None:
        try:
            for parcel in batch.entities:
                for encoded in parcel.proposals:
                    self._lite.write(as_wrapper(msgspec.json.decode(encoded)))
        except UNFIT as error:
            raise RequestRefused(
                f"DataHub Lite does not take a proposal: {error}", status=422, answer=str(error)
            ) from None
        except (sqlite3.Error, OSError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> OutputError:
        return OutputError(f"Writing {self._settings.path} failed: {error}.", "Make room, then run it again.")


def _open(settings: LiteSettings) -> "DataHubLiteLocal":
    from datahub.configuration.common import ConfigurationError  # noqa: PLC0415  takes 2 s and 100 MB
    from datahub.lite.lite_util import get_datahub_lite  # noqa: PLC0415

    try:
        is_new = not settings.path.exists()
        if settings.kind == "sqlite" and not is_new:
            _check_format(settings)
        lite = get_datahub_lite({"type": settings.kind, "config": {"file": str(settings.path)}})
        if is_new:
            settings.path.chmod(OWNER_ONLY)
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"Cannot open {settings.path}: {error}.", "Give another path with -o.") from None
    except ConfigurationError:
        raise SettingsError(
            f"DataHub Lite with {settings.kind} needs its package.", f"pip install 'acryl-datahub[{settings.kind}]'"
        ) from None
    return lite


def _check_format(settings: LiteSettings) -> None:
    """Raise sqlite3.Error if the file is no SQLite database. acryl-datahub would leave its connection to it open."""
    with closing(sqlite3.connect(settings.path)) as database:
        database.execute("PRAGMA schema_version")
