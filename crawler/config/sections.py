"""The sections of a recipe: frozen data, with the official connector's options under their own names, and ours.

The text under a field is its line in docs/recipe.md, which `python -m scripts.recipe_reference` writes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from crawler.config.durations import Duration
from crawler.config.selection import MAX_METRIC_POINTS, HistoryChoice, Lifecycle
from crawler.config.settings import CaseInsensitive, Confirm, Endpoint, Secret
from crawler.config.since import Since
from crawler.config.sizes import Size

DEFAULT_FILE = Path("mlflow-datahub.json")
Options = dict[Any, Any]
Removal = Literal["auto", "confirm"]
ModelTag = Literal["stage", "alias"]
Count = Annotated[int, msgspec.Meta(ge=1)]
PointCount = Annotated[int, msgspec.Meta(ge=2)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
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
    """The DataHub that transformers read from, see below; the sink's by default."""
    transformers: list[Options] = []
    """The transformers that change what is written, in this order; see below."""
    reporting: list[Options] = []
    """Who is told of each crawl: DataHub's Ingestion page (by default, with a `pipeline_name`), and files."""
    failure_log: Options | None = None
    """Where proposals are kept that DataHub did not take, as `--dead-letters` says it; see below."""
    flags: Options | None = None
    """What may be left out, see below."""


class NoOptions(_Section, kw_only=True, frozen=True):
    """A section without any option."""


class Typed(_Section, kw_only=True, frozen=True):
    """`source` and `sink`: a type, and the options of that type."""

    type: str = ""
    """Required: `mlflow` for the source; `datahub-rest`, `file`, `console` or `datahub-lite` for the sink."""
    config: Options = {}
    """The options of that type, see below."""


class Transformer(_Section, kw_only=True, frozen=True):
    """One of `transformers`: a type, and the options of that type."""

    type: str = ""
    """Required: the name of a transformer, such as `simple_add_dataset_tags`, or `package.module:Class`."""
    config: Options = {}
    """The options of that type, as acryl-datahub's documentation has them."""


class Reporter(_Section, kw_only=True, frozen=True):
    """One of `reporting` (`ReporterConfig`)."""

    type: str = ""
    """Required: `datahub` for the Ingestion page, or `file`."""
    config: Options = {}
    """The options of that type, see below."""
    required: bool = False
    """Do not crawl where the Ingestion page cannot be told."""


class DatahubReporter(_Section, kw_only=True, frozen=True):
    """`reporting[].config` of datahub (`DatahubIngestionRunSummaryProviderConfig`)."""

    report_recipe: bool = True
    """Show the recipe there, without its secrets."""


class FileReporter(_Section, kw_only=True, frozen=True):
    """`reporting[].config` of file (`FileReporterConfig`)."""

    filename: Path | None = None
    """Required: the file that the report is written to, in the form of `datahub ingest`; `--report` has our own."""
    format: Literal["json"] = "json"
    """The form of the file."""


class FailureLog(_Section, kw_only=True, frozen=True):
    """`failure_log` (`FailureLoggingConfig`)."""

    enabled: bool = False
    """Keep them in the file of `log_config`. Where it is false they are kept in a file of the run, as always."""
    log_config: Options | None = None
    """The file: its `filename`, `failed_events.json` by default. Proposals are added to it, one a line."""


class RecipeFlags(_Section, kw_only=True, frozen=True):
    """`flags` (`FlagsConfig`)."""

    generate_browse_path_v2: bool = True
    """Write the browse paths of containers."""
    generate_browse_path_v2_dry_run: bool = False
    """Leave them out, which is all that it comes to."""
    set_system_metadata: bool = True
    """Write the run id and the name of the pipeline with all else; without them a crawl cannot be rolled back."""
    set_system_metadata_pipeline_name: bool = True
    """Write the name of the pipeline with all else."""


class Auth(_Section, kw_only=True, frozen=True):
    """`auth` of a DataHub (`AuthConfig`)."""

    type: str = ""
    """Required: `static`, `pat`, `k8s_oidc`, `oidc_client_credentials`, `azure_entra`, or a provider of your own."""
    config: Options = {}
    """Its `token`, its `token_file`, or the options of the provider. A new token is asked for at each 401."""


class StatefulIngestion(_Section, kw_only=True, frozen=True):
    """`source.config.stateful_ingestion` (`StatefulStaleMetadataRemovalConfig`); `removal` is ours."""

    enabled: bool = False
    """Mark as removed in DataHub what MLflow does not have any more; needs `pipeline_name`."""
    remove_stale_metadata: bool = True
    """Set to false to remove nothing, and to keep no checkpoint."""
    fail_safe_threshold: Percent = 75.0
    """Remove nothing if more than this percentage of the last crawl's entities is gone; 100 for no limit."""
    removal: Removal = "auto"
    """Set to `confirm` to remove also what may be hidden from this account only, or whose listing came back empty."""
    max_checkpoint_state_size: Count = 2**24
    """The most bytes of a checkpoint; DataHub's Kafka takes less than 5 MiB, whatever is set here."""
    state_provider: Options | None = None
    """Where the checkpoint is kept, see below; in the sink's DataHub by default."""
    ignore_old_state: bool = False
    """Do not read the last checkpoint: nothing that it has is removed."""
    ignore_new_state: bool = False
    """Do not write a checkpoint."""


class StateProvider(_Section, kw_only=True, frozen=True):
    """`state_provider` of `stateful_ingestion`."""

    type: str = ""
    """Required: `datahub`, or `file` for a file on this machine."""
    config: Options = {}
    """The options of that type, see below."""


class DatahubStateProvider(_Section, kw_only=True, frozen=True):
    """`state_provider.config` of datahub (`DatahubIngestionStateProviderConfig`)."""

    datahub_api: Options | None = None
    """The DataHub that keeps the checkpoint, with the keys of datahub-rest; the sink's by default."""


class FileStateProvider(_Section, kw_only=True, frozen=True):
    """`state_provider.config` of file (`FileIngestionStateProviderConfig`)."""

    filename: Path | None = None
    """Required: the file that keeps the checkpoint."""


class Incremental(_Section, kw_only=True, frozen=True):
    """`source.config.incremental`: read only what may have changed since the last crawl with the same state."""

    enabled: bool = False
    """Read only that; needs --state, and sends only what has changed. docs/freshness.md says what is seen when."""
    full_every: Duration = Duration(7 * 86_400)
    """After how long everything is read again: `7d`, `24h`."""
    not_ended_for: Duration = Duration(14 * 86_400)
    """For how long after its start a run that has not ended is read again."""


class OwnerOptions(_Section, kw_only=True, frozen=True):
    """`source.config.owner`: who owns models, model groups and containers; replaces the owners that DataHub has."""

    tags: list[str] = []
    """Required: the tags that name the owner, the first that is set counts. `mlflow.user` is who started a run."""
    pattern: str | None = None
    """A regular expression whose first group is the name: `(.+)@`. A value that it is not found in names nobody."""
    user_domain: str | None = None
    """The domain of names that have none: with `example.com`, `ann` becomes `urn:li:corpuser:ann@example.com`."""
    type: str = "TECHNICAL_OWNER"
    """The kind of ownership, or the URN of one of your own: `urn:li:ownershipType:steward`."""


class PatternOptions(_Section, kw_only=True, frozen=True):
    """The patterns of names: of workspaces, experiments, registered models and runs (`AllowDenyPattern`)."""

    allow: list[str] = msgspec.field(default_factory=lambda: [".*"])
    """Regular expressions; a name is left out if none of them matches its beginning. `$` stands for its end."""
    deny: list[str] = []
    """Regular expressions; a name is left out if one of them matches its beginning, whatever `allow` says."""
    ignoreCase: bool = True  # noqa: N815  the official name
    """Make no difference between upper and lower case."""


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

    `platform_instance`, `workspace`, `workspace_pattern`, `workspace_identity`, what chooses (`include` to
    `max_metric_points`), `owner`, `model_tags`, `link_to_mlflow`, `page_size`, `changed_only`, `incremental`,
    `verify_every` and the options of the connection are ours.
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
    """The only workspace to read (MLflow 3.10 and later), as if the server had no other one; all by default."""
    workspace_pattern: Options | None = None
    """Which workspaces are read, instead of `workspace`: `{allow: [team-.*], deny: [team-x$]}`, see below."""
    workspace_identity: Literal["platform_instance", "prefix"] = "platform_instance"
    """How DataHub tells workspaces apart other than the default: each a platform instance, or by names alone."""
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
    include: Options | None = None
    """Which kinds of things are read: `{prompts: false}`, see below."""
    experiment_pattern: Options | None = None
    """Which experiments are read, by name: `{allow: [prod], deny: [.*-tmp$]}`, see below; runs go with theirs."""
    registered_model_pattern: Options | None = None
    """Which registered models are read, by name, see below; versions go with theirs."""
    run_name_pattern: Options | None = None
    """Which runs are read, by name, see below."""
    run_filter: str | None = None
    """Which runs are read, in MLflow's own search language: `metrics.accuracy > 0.9 AND tags.team = 'fraud'`."""
    runs_since: Since | None = None
    """Leave out runs that started earlier: so long ago at each crawl (`30d`), or before a date (`2026-01-01`, UTC)."""
    max_runs_per_experiment: Count | None = None
    """The most runs of each experiment that are read, the newest ones."""
    lifecycle: Lifecycle = "active"
    """Read active experiments and runs, those in MLflow's trash (`deleted`), or `all`."""
    metric_history: HistoryChoice = "latest"
    """Write the latest value of each of a run's metrics, or `all` points, which takes MLflow more requests."""
    max_metric_points: PointCount = MAX_METRIC_POINTS
    """With `metric_history: all`, the most points of a metric: evenly spread, with the first and the last."""
    owner: Options | None = None
    """Who owns models, model groups and containers: `{tags: [owner]}`, see below; nobody by default."""
    model_tags: list[ModelTag] = []
    """What else a group's page shows as the tags of its models: their stage, their aliases."""
    link_to_mlflow: bool = False
    """Write MLflow's page as the link of models, model groups and containers; replaces the links that DataHub has."""
    stateful_ingestion: Options | None = None
    """The removal of what vanished from MLflow, see below."""
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


class DatahubApi(Connection, kw_only=True, frozen=True):
    """`datahub_api` (`DatahubClientConfig`)."""

    server: str | None = None
    """Required: the URL of DataHub's metadata service (GMS)."""
    auth: Options | None = None
    """As in the sink."""
    timeout_sec: Positive = 60.0
    """The most seconds that one attempt of a request may take."""


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


class FileSink(_Section, kw_only=True, frozen=True):
    """`sink.config` of file, and `failure_log.log_config` (`FileSinkConfig`)."""

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
