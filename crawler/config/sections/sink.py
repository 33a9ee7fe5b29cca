"""`sink.config` of a recipe: DataHub, a file or DataHub Lite."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.sections.connection import Connection
from crawler.config.sections.values import BatchBytes, BatchSize, Options, Positive
from crawler.settings.durations import Duration
from crawler.settings.sinks import CaseInsensitive, Confirm, Endpoint
from crawler.settings.sizes import Size

DEFAULT_FILE = Path("mlflow-datahub.json")


class Mode(CaseInsensitive):
    """Whether DataHub stores proposals before it responds (SYNC) or queues them."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"
    ASYNC_BATCH = "ASYNC_BATCH"


class RestSink(Connection, kw_only=True, frozen=True):
    """`sink.config` of datahub-rest (`DatahubRestSinkConfig`); `confirm`, `compression`, `max_batch_bytes` are ours."""

    server: str | None = None
    """The URL of DataHub's metadata service (GMS)."""
    auth: Options | None = None
    """Instead of a token: a way to get one, see below."""
    endpoint: Endpoint = Endpoint.RESTLI
    """The API to write to: RESTLI, or OPENAPI, which DataHub 1.0.1 and later have."""
    mode: Mode = Mode.ASYNC_BATCH
    """SYNC: DataHub stores before it responds; otherwise it queues."""
    confirm: Confirm = Confirm.ENTITIES
    """What confirms a delivery: an aspect of each entity read back, each aspect (stored), or the status (none)."""
    confirm_wait: Duration = Duration(900)
    """How long to wait for what DataHub took while nothing moves in its queue: `15m`, `900`."""
    max_unconfirmed: Size = Size(1_000_000_000)
    """How much of what DataHub took and has not stored yet may be kept on the disk, compressed: `1GB`, `500MiB`."""
    compression: Literal["none", "gzip"] = "none"
    """How requests are compressed."""
    max_per_batch: BatchSize = 200
    """The most proposals in a request."""
    max_batch_bytes: BatchBytes = 15_000_000
    """The most bytes in a request, before compression."""
    timeout_sec: Positive = 60.0
    """The most seconds that one attempt of a request may take."""


class FileSink(msgspec.Struct, kw_only=True, frozen=True):
    """`sink.config` of file, and `failure_log.log_config` (`FileSinkConfig`)."""

    filename: Path = DEFAULT_FILE
    """The file to write, a JSON array of proposals; `-` for standard output."""
    legacy_nested_json_string: bool = False
    """Write each aspect as JSON text within the JSON, as older versions of DataHub read it."""


class LiteSink(msgspec.Struct, kw_only=True, frozen=True):
    """`sink.config` of datahub-lite (`DataHubLiteSinkConfig`)."""

    type: Literal["sqlite", "duckdb"] = "sqlite"
    """The format of the catalog."""
    config: Options = {}
    """The options of the catalog, see below."""


class LiteFile(msgspec.Struct, kw_only=True, frozen=True):
    """`sink.config.config` of datahub-lite (`DuckDBLiteConfig`)."""

    file: Path | None = None
    """The file of the catalog; `~/.datahub/lite/datahub.db` by default."""
