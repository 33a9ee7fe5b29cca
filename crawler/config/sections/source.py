"""`source.config` of a recipe, with the sections within it."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.sections.connection import Connection
from crawler.config.sections.values import Count, ModelTag, Options, PageSize, Percent, PointCount, Positive, Removal
from crawler.secrets.secret import Secret
from crawler.settings.durations import Duration
from crawler.settings.selection import MAX_METRIC_POINTS, HistoryChoice, Lifecycle
from crawler.settings.since import Since


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
    source_mapping_to_platform: dict[str, str] = {}  # noqa: RUF012  msgspec copies it
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
    model_tags: list[ModelTag] = []  # noqa: RUF012  msgspec copies it
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


class OwnerOptions(msgspec.Struct, kw_only=True, frozen=True):
    """`source.config.owner`: who owns models, model groups and containers; replaces the owners that DataHub has."""

    tags: list[str] = []
    """Required: the tags that name the owner, the first that is set counts. `mlflow.user` is who started a run."""
    pattern: str | None = None
    """A regular expression whose first group is the name: `(.+)@`. A value that it is not found in names nobody."""
    user_domain: str | None = None
    """The domain of names that have none: with `example.com`, `ann` becomes `urn:li:corpuser:ann@example.com`."""
    type: str = "TECHNICAL_OWNER"
    """The kind of ownership, or the URN of one of your own: `urn:li:ownershipType:steward`."""


class Incremental(msgspec.Struct, kw_only=True, frozen=True):
    """`source.config.incremental`: read only what may have changed since the last crawl with the same state."""

    enabled: bool = False
    """Read only that; needs --state, and sends only what has changed. docs/freshness.md says what is seen when."""
    full_every: Duration = Duration(7 * 86_400)
    """After how long everything is read again: `7d`, `24h`."""
    not_ended_for: Duration = Duration(14 * 86_400)
    """For how long after its start a run that has not ended is read again."""


class StatefulIngestion(msgspec.Struct, kw_only=True, frozen=True):
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


class StateProvider(msgspec.Struct, kw_only=True, frozen=True):
    """`state_provider` of `stateful_ingestion`."""

    type: str = ""
    """Required: `datahub`, or `file` for a file on this machine."""
    config: Options = {}
    """The options of that type, see below."""


class DatahubStateProvider(msgspec.Struct, kw_only=True, frozen=True):
    """`state_provider.config` of datahub (`DatahubIngestionStateProviderConfig`)."""

    datahub_api: Options | None = None
    """The DataHub that keeps the checkpoint, with the keys of datahub-rest; the sink's by default."""


class FileStateProvider(msgspec.Struct, kw_only=True, frozen=True):
    """`state_provider.config` of file (`FileIngestionStateProviderConfig`)."""

    filename: Path | None = None
    """Required: the file that keeps the checkpoint."""
