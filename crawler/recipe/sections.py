"""The sections of a recipe: the official connector's options under their own names, ours, and those refused."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from crawler.recipe.strict import Refused
from crawler.settings import Secret

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=50_000)]
BatchSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
BatchBytes = Annotated[int, msgspec.Meta(ge=1_000, le=15_000_000)]


class Mode(Enum):
    """`mode` of datahub-rest, in capitals or not."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"
    ASYNC_BATCH = "ASYNC_BATCH"

    @classmethod
    def _missing_(cls, value: object) -> "Mode | None":
        return cls.__members__.get(str(value).upper())


class Pipeline(msgspec.Struct, kw_only=True):
    """A whole recipe (`PipelineConfig`)."""

    source: dict[str, Any] = {}
    sink: dict[str, Any] | None = None
    pipeline_name: str | None = None
    run_id: str | None = None


class Typed(msgspec.Struct, kw_only=True):
    """`source` and `sink`: a type and its own options."""

    type: str
    config: dict[str, Any] = {}


class StatefulIngestion(msgspec.Struct, kw_only=True):
    """`stateful_ingestion` of the official source; only switched off it can be honoured yet."""

    enabled: bool = False
    remove_stale_metadata: bool = True
    fail_safe_threshold: float = 75.0
    max_checkpoint_state_size: int = 2**24
    state_provider: dict[str, Any] | None = None
    ignore_old_state: bool = False
    ignore_new_state: bool = False


class MlflowSource(msgspec.Struct, kw_only=True):
    """`source.config` (`MLflowConfig`), and ours from `platform_instance` on."""

    tracking_uri: str | None = None
    registry_uri: str | None = None
    model_name_separator: str = "_"
    base_external_url: str | None = None
    materialize_dataset_inputs: bool = False
    source_mapping_to_platform: dict[str, str] = {}
    username: str | None = None
    password: Secret | None = None
    env: str = "PROD"
    stateful_ingestion: dict[str, Any] | None = None
    platform_instance: str | None = None
    token: Secret | None = None
    page_size: PageSize = 500
    max_threads: Count = 4
    requests_per_second: Positive | None = None
    timeout_sec: Positive = 120.0
    retry_max_times: Annotated[int, msgspec.Meta(ge=0)] = 7
    extra_headers: dict[str, Secret] = {}
    ca_certificate_path: Path | None = None
    client_certificate_path: Path | None = None
    client_key_path: Path | None = None
    disable_ssl_verification: bool = False


class RestSink(msgspec.Struct, kw_only=True):
    """`sink.config` of datahub-rest (`DatahubRestSinkConfig`), and ours: `compression`, `max_batch_bytes`."""

    server: str | None = None
    token: Secret | None = None
    mode: Mode = Mode.ASYNC_BATCH
    max_threads: Count = 8
    max_per_batch: BatchSize = 200
    timeout_sec: Positive = 60.0
    retry_max_times: Annotated[int, msgspec.Meta(ge=0)] = 7
    extra_headers: dict[str, Secret] = {}
    ca_certificate_path: Path | None = None
    client_certificate_path: Path | None = None
    client_key_path: Path | None = None
    disable_ssl_verification: bool = False
    compression: Literal["none", "gzip"] = "none"
    max_batch_bytes: BatchBytes = 15_000_000


class FileSink(msgspec.Struct, kw_only=True):
    """`sink.config` of file (`FileSinkConfig`)."""

    filename: Path
    legacy_nested_json_string: bool = False


class LiteFile(msgspec.Struct, kw_only=True):
    """`sink.config.config` of datahub-lite."""

    file: Path = Path("~/.datahub/lite/datahub.db")
    read_only: Literal[False] = False
    options: dict[str, Any] = {}


class LiteSink(msgspec.Struct, kw_only=True):
    """`sink.config` of datahub-lite (`DataHubLiteSinkConfig`)."""

    type: Literal["sqlite", "duckdb"] = "sqlite"
    config: dict[str, Any] = {}


_NO_STATE = "the crawler keeps no state in DataHub yet, so nothing that vanished from MLflow is removed. Leave it out."

REFUSED_IN_PIPELINE = {
    "transformers": Refused(
        "transformers are not run. Write a file (sink type file) and let datahub's file source run them on it.",
        (None, []),
    ),
    "flags": Refused("flags of datahub's own pipeline have no meaning here. Leave them out.", (None, {})),
    "reporting": Refused(
        "no run is reported to DataHub's ingestion page yet. Leave it out, or use --report.", (None, [])
    ),
    "datahub_api": Refused("DataHub is not read from. Give its server and token under sink.config.", (None, {})),
    "failure_log": Refused(
        "failures are in the summary and the report, not in a failure log. Leave it out, or use --report.",
        only_enabled=True,
    ),
    "recording": Refused("a crawl cannot be recorded. Leave it out.", only_enabled=True),
}
REFUSED_IN_SOURCE = {
    "extractor": Refused("MLflow's source needs no extractor. Leave it out.", (None, "generic")),
    "extractor_config": Refused("MLflow's source needs no extractor. Leave it out.", (None, {})),
}
REFUSED_IN_REST_SINK = {
    "auth": Refused("only a token is known as credential. Give it as token."),
    "retry_status_codes": Refused("408, 425, 429 and 5xx are tried again, always. Leave it out."),
    "pool_connections": Refused("connections are counted by max_threads. Leave it out."),
    "pool_maxsize": Refused("connections are counted by max_threads. Leave it out."),
    "openapi_ingestion": Refused("only the Rest.li endpoint is written to yet. Leave it out.", (None, False)),
    "endpoint": Refused("only the Rest.li endpoint is written to yet. Set RESTLI or leave it out.", (None, "RESTLI")),
    "respect_mcp_sync_marker": Refused("no proposal carries such a marker. Leave it out.", (None, False)),
    "client_mode": Refused("the crawler names itself. Leave it out.", (None, "INGESTION", "SDK", "CLI")),
    "datahub_component": Refused("the crawler names itself. Leave it out."),
    "server_config_refresh_interval": Refused("DataHub's version is asked once a crawl. Leave it out."),
    "tcp_keepalive": Refused("connections are kept for one crawl only. Leave it out.", (None, False, True)),
    "default_emit_mode": Refused("use mode: SYNC or ASYNC.", (None,)),
    "max_pending_requests": Refused("what waits is bounded by max_threads. Leave it out.", (None, 2000)),
    "min_process_interval_seconds": Refused("batches leave when they are full. Leave it out.", (None, 30, 30.0)),
}
REFUSED_IN_LITE_SINK = {
    "forward_to": Refused("nothing is forwarded. Crawl a second time, with the other sink."),
}
STATE_WANTED = f"source.config.stateful_ingestion.enabled: {_NO_STATE}"
