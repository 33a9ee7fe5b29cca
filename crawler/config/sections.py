"""The sections of a recipe: frozen data, with the official connector's options under their own names, and ours.

The text under a field is its line in docs/recipe.md, which `python -m scripts.recipe_reference` writes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from crawler.config.durations import Duration
from crawler.config.settings import CaseInsensitive, Confirm, Endpoint, Secret
from crawler.config.sizes import Size

DEFAULT_FILE = Path("mlflow-datahub.json")
Options = dict[Any, Any]
Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=50_000)]
BatchSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
BatchBytes = Annotated[int, msgspec.Meta(ge=1_000, le=15_000_000)]


class Mode(CaseInsensitive):
    """Whether DataHub stores proposals before it responds (SYNC) or queues them."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"
    ASYNC_BATCH = "ASYNC_BATCH"


class _Section(msgspec.Struct, kw_only=True, frozen=True):
    """Base of all sections."""


class Pipeline(_Section, kw_only=True, frozen=True):
    """A whole recipe (`PipelineConfig`)."""

    source: Options = {}
    """The MLflow server to read."""
    sink: Options | None = None
    """Where to write: DataHub, a file or DataHub Lite."""
    pipeline_name: str | None = None
    """The name of the pipeline in the system metadata of all that is written."""
    run_id: str | None = None
    """The run id in the same place, by which DataHub rolls a crawl back; a new one for each crawl by default."""
    datahub_api: Options | None = None
    """The DataHub that `datahub ingest` reads from; accepted if its `server` is the sink's: nothing is read here."""
    flags: Options | None = None
    """Flags of `datahub ingest`, none of which is supported."""


class NoOptions(_Section, kw_only=True, frozen=True):
    """A section without any supported option (`FlagsConfig`)."""


class Typed(_Section, kw_only=True, frozen=True):
    """`source` and `sink`: a type, and the options of that type."""

    type: str = ""
    """Required: `mlflow` for the source; `datahub-rest`, `file`, `console` or `datahub-lite` for the sink."""
    config: Options = {}
    """The options of that type, see below."""


class StatefulIngestion(_Section, kw_only=True, frozen=True):
    """`source.config.stateful_ingestion`, which can only be switched off yet."""

    enabled: bool = False
    """Must be false: nothing is removed from DataHub yet."""
    remove_stale_metadata: bool = True
    """Accepted, without effect."""
    fail_safe_threshold: float = 75.0
    """Accepted, without effect."""
    max_checkpoint_state_size: int = 2**24
    """Accepted, without effect."""
    state_provider: Options | None = None
    """Accepted, without effect."""
    ignore_old_state: bool = False
    """Accepted, without effect."""
    ignore_new_state: bool = False
    """Accepted, without effect."""


class Incremental(_Section, kw_only=True, frozen=True):
    """`source.config.incremental`: read only what may have changed since the last crawl with the same state."""

    enabled: bool = False
    """Read only that; needs --state, and sends only what has changed. docs/freshness.md says what is seen when."""
    full_every: Duration = Duration(7 * 86_400)
    """After how long everything is read again: `7d`, `24h`."""
    not_ended_for: Duration = Duration(14 * 86_400)
    """For how long after its start a run that has not ended is read again."""


class Connection(_Section, kw_only=True, frozen=True):
    """The options of a server that the source and datahub-rest share."""

    token: Secret | None = None
    """A bearer token."""
    token_file: Path | None = None
    """A file that has the token in its first line."""
    token_command: str | None = None
    """A command that prints the token in its first line; no shell runs it."""
    extra_headers: dict[str, Secret] = {}
    """Headers to send with each request."""
    min_threads: Count = 1
    """The fewest requests in flight that the adaptive limit falls to."""
    max_threads: Count = 16
    """The most requests in flight."""
    timeout_sec: Positive
    """The most seconds that one attempt of a request may take."""
    retry_max_times: Annotated[int, msgspec.Meta(ge=0)] = 7
    """How often a failed request is retried."""
    patience_sec: NotNegative = 300.0
    """The longest outage of the server, in seconds, that is waited out."""
    ca_certificate_path: Path | None = None
    """Certificates to trust instead of the system's: a PEM file or a folder."""
    client_certificate_path: Path | None = None
    """The client certificate to send, a PEM file."""
    client_key_path: Path | None = None
    """The key of the client certificate, a PEM file, if it is not in the same file."""
    disable_ssl_verification: bool = False
    """Accept every certificate of the server."""


class MlflowSource(Connection, kw_only=True, frozen=True):
    """`source.config` (`MLflowConfig`).

    `platform_instance`, `workspace`, `page_size`, `changed_only`, `incremental`, `verify_every` and the options of the
    connection are ours.
    """

    tracking_uri: str | None = None
    """The URL of the MLflow server; required here, in the environment or as a flag."""
    registry_uri: str | None = None
    """The URL of the model registry, if that is another server."""
    username: str | None = None
    """The user name for HTTP basic authentication; needs a password."""
    password: Secret | None = None
    """The password of `username`."""
    password_file: Path | None = None
    """A file that has the password in its first line."""
    password_command: str | None = None
    """A command that prints the password in its first line; no shell runs it."""
    env: str = "PROD"
    """The environment in DataHub's URNs: PROD, DEV, QA, …"""
    platform_instance: str | None = None
    """The platform instance in DataHub's URNs, to tell several MLflow servers apart."""
    workspace: str | None = None
    """The workspace to read, where the server has several (MLflow 3.10 and later); its default by default."""
    base_external_url: str | None = None
    """The URL of MLflow's pages, to which DataHub links; the tracking server's by default."""
    model_name_separator: str = "_"
    """What stands between the name of a model and its version in DataHub's URNs."""
    materialize_dataset_inputs: bool = False
    """Also write the dataset on its own platform (S3, Snowflake, …) that an MLflow dataset stands for."""
    source_mapping_to_platform: dict[str, str] = {}
    """The DataHub platform for each source type of an MLflow dataset, beside the known ones."""
    keep_url_credentials: bool = False
    """Write the user names and passwords that stand within URLs of MLflow's data (`https://ann:secret@host`)."""
    stateful_ingestion: Options | None = None
    """The removal of what vanished from MLflow; can only be switched off yet."""
    changed_only: bool = False
    """Send only what has changed since the last crawl with the same --state."""
    incremental: Options | None = None
    """Also read only what may have changed: `enabled`, `full_every`, `not_ended_for`, see below."""
    verify_every: Duration | None = None
    """After how long DataHub is asked whether it still has what the state says, by a crawl that reads everything."""
    page_size: PageSize = 1024
    """The most runs to ask for in one page; fewer if they are large."""
    requests_per_second: Positive | None = None
    """The most requests begun per second; no limit by default."""
    timeout_sec: Positive = 120.0
    """The most seconds that one attempt of a request may take."""


class RestSink(Connection, kw_only=True, frozen=True):
    """`sink.config` of datahub-rest (`DatahubRestSinkConfig`); `confirm`, `compression`, `max_batch_bytes` are ours."""

    server: str | None = None
    """The URL of DataHub's metadata service (GMS)."""
    auth: Options | None = None
    """Instead of a token: `type` pat or k8s_oidc with `token_file`, or static with `token`, under `config`."""
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


class FileSink(_Section, kw_only=True, frozen=True):
    """`sink.config` of file (`FileSinkConfig`)."""

    filename: Path = DEFAULT_FILE
    """The file to write, a JSON array of proposals; `-` for standard output."""
    legacy_nested_json_string: bool = False
    """Write each aspect as JSON text within the JSON, as older versions of DataHub read it."""


class LiteFile(_Section, kw_only=True, frozen=True):
    """`sink.config.config` of datahub-lite (`DuckDBLiteConfig`)."""

    file: Path | None = None
    """The file of the catalog; `~/.datahub/lite/datahub.db` by default."""


class LiteSink(_Section, kw_only=True, frozen=True):
    """`sink.config` of datahub-lite (`DataHubLiteSinkConfig`)."""

    type: Literal["sqlite", "duckdb"] = "sqlite"
    """The format of the catalog."""
    config: Options = {}
    """The options of the catalog, see below."""
