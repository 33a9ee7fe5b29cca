"""Every option that a recipe of acryl-datahub's MLflow connector can have, and what the crawler makes of it.

A test compares this list with acryl-datahub's own classes, so a release that adds an option is noticed.
"""

from collections.abc import Iterator, Mapping

import msgspec

from crawler.config import unsupported
from crawler.config.sections.connection import Auth, DatahubApi
from crawler.config.sections.recipe import (
    DatahubReporter,
    FailureLog,
    FileReporter,
    NoOptions,
    Pipeline,
    RecipeFlags,
    Reporter,
    Typed,
)
from crawler.config.sections.sink import FileSink, LiteFile, LiteSink, RestSink
from crawler.config.sections.source import MlflowSource, StatefulIngestion
from crawler.config.unsupported import Unsupported

RELEASE = "1.7.0.17"
"""Of acryl-datahub, whose options these are."""
_CONNECTION = (
    *("server", "token", "auth", "timeout_sec", "retry_status_codes", "retry_max_times", "pool_connections"),
    *("pool_maxsize", "extra_headers", "ca_certificate_path", "client_certificate_path", "client_key_path"),
    *("disable_ssl_verification", "openapi_ingestion", "respect_mcp_sync_marker", "client_mode", "datahub_component"),
    *("server_config_refresh_interval", "tcp_keepalive", "default_emit_mode"),
)


class OfficialConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One class of acryl-datahub.

    Attributes:
        model: its name.
        path: where a recipe has it; empty for the recipe itself.
        options: the names of its fields.
        struct: our section, which has those that are honoured.
        unsupported: what is said of the others.
        within: what is said of all of them, where the section as a whole is refused or has no effect.
    """

    model: str
    path: str
    options: tuple[str, ...]
    struct: type[msgspec.Struct] = NoOptions
    unsupported: Mapping[str, Unsupported] = {}
    within: Unsupported | None = None

    def said_of(self, option: str) -> Unsupported | None:
        """Return what is said of an option that is not honoured; None for one that is."""
        if option in self.struct.__struct_fields__ and self.within is None:
            return None
        return self.within or self.unsupported[option]


OFFICIAL = (
    OfficialConfig(
        model="PipelineConfig",
        path="",
        options=(
            *("source", "sink", "transformers", "flags", "reporting", "run_id", "datahub_api", "pipeline_name"),
            *("failure_log", "recording"),
        ),
        struct=Pipeline,
        unsupported=unsupported.UNSUPPORTED_IN_PIPELINE,
    ),
    OfficialConfig(
        model="SourceConfig",
        path="source",
        options=("type", "config", "extractor", "extractor_config"),
        struct=Typed,
        unsupported=unsupported.UNSUPPORTED_IN_SOURCE,
    ),
    OfficialConfig(
        model="MLflowConfig",
        path="source.config",
        options=(
            *("tracking_uri", "registry_uri", "model_name_separator", "base_external_url", "username", "password"),
            *("materialize_dataset_inputs", "source_mapping_to_platform", "env", "stateful_ingestion"),
        ),
        struct=MlflowSource,
    ),
    OfficialConfig(
        model="StatefulStaleMetadataRemovalConfig",
        path="source.config.stateful_ingestion",
        options=(
            *("enabled", "max_checkpoint_state_size", "state_provider", "ignore_old_state", "ignore_new_state"),
            *("remove_stale_metadata", "fail_safe_threshold"),
        ),
        struct=StatefulIngestion,
    ),
    OfficialConfig(
        model="DynamicTypedStateProviderConfig",
        path="source.config.stateful_ingestion.state_provider",
        options=("type", "config"),
        within=Unsupported("Accepted, without effect.", without_effect=True),
    ),
    OfficialConfig(
        model="DynamicTypedConfig",
        path="sink, transformers[]",
        options=("type", "config"),
        struct=Typed,
    ),
    OfficialConfig(
        model="DatahubRestSinkConfig",
        path="sink.config of datahub-rest",
        options=(
            *_CONNECTION,
            *("mode", "endpoint", "max_threads", "max_pending_requests", "max_per_batch"),
            "min_process_interval_seconds",
        ),
        struct=RestSink,
        unsupported=unsupported.UNSUPPORTED_IN_REST_SINK,
    ),
    OfficialConfig(
        model="DatahubClientConfig",
        path="datahub_api",
        options=_CONNECTION,
        struct=DatahubApi,
        unsupported=unsupported.UNSUPPORTED_IN_CLIENT,
    ),
    OfficialConfig(
        model="AuthConfig",
        path="sink.config.auth, datahub_api.auth",
        options=("type", "config"),
        struct=Auth,
    ),
    OfficialConfig(
        model="FileSinkConfig",
        path="sink.config of file",
        options=("filename", "legacy_nested_json_string"),
        struct=FileSink,
    ),
    OfficialConfig(
        model="DataHubLiteSinkConfig",
        path="sink.config of datahub-lite",
        options=("type", "config", "forward_to"),
        struct=LiteSink,
        unsupported=unsupported.UNSUPPORTED_IN_LITE_SINK,
    ),
    OfficialConfig(
        model="DuckDBLiteConfig",
        path="sink.config.config of datahub-lite",
        options=("file", "read_only", "options"),
        struct=LiteFile,
        unsupported=unsupported.UNSUPPORTED_IN_LITE_FILE,
    ),
    OfficialConfig(
        model="ReporterConfig",
        path="reporting[]",
        options=("type", "config", "required"),
        struct=Reporter,
    ),
    OfficialConfig(
        model="DatahubIngestionRunSummaryProviderConfig",
        path="reporting[].config of datahub",
        options=("report_recipe", "sink"),
        struct=DatahubReporter,
        unsupported=unsupported.UNSUPPORTED_IN_DATAHUB_REPORTER,
    ),
    OfficialConfig(
        model="FileReporterConfig",
        path="reporting[].config of file",
        options=("filename", "format"),
        struct=FileReporter,
    ),
    OfficialConfig(
        model="FailureLoggingConfig",
        path="failure_log",
        options=("enabled", "log_config"),
        struct=FailureLog,
    ),
    OfficialConfig(
        model="FlagsConfig",
        path="flags",
        options=(
            *("generate_browse_path_v2", "generate_browse_path_v2_dry_run", "generate_memory_profiles"),
            *("auto_resolve_lineage_urns", "progress_report_max_failures", "progress_report_max_warnings"),
            *("progress_report_max_infos", "report_failure_sample_size", "report_warning_sample_size"),
            *("report_info_sample_size", "set_system_metadata", "set_system_metadata_pipeline_name"),
        ),
        struct=RecipeFlags,
        unsupported=unsupported.UNSUPPORTED_IN_FLAGS,
    ),
    OfficialConfig(
        model="AutoResolveLineageUrnsConfig",
        path="flags.auto_resolve_lineage_urns",
        options=("enabled", "upstream_platforms", "resolve_all_platforms"),
        within=unsupported.UNSUPPORTED_IN_FLAGS["auto_resolve_lineage_urns"],
    ),
    OfficialConfig(
        model="UpstreamPlatformCasing",
        path="flags.auto_resolve_lineage_urns.upstream_platforms[]",
        options=("env", "platform_instance", "platform"),
        within=unsupported.UNSUPPORTED_IN_FLAGS["auto_resolve_lineage_urns"],
    ),
    OfficialConfig(
        model="RecordingConfig",
        path="recording",
        options=("enabled", "password", "s3_upload", "output_path"),
        within=unsupported.UNSUPPORTED_IN_PIPELINE["recording"],
    ),
)


def rows(descriptions: Mapping[type[msgspec.Struct], Mapping[str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """Yield path, option, what becomes of it, and why or how, for each option; `descriptions` are those of our keys."""
    for config in OFFICIAL:
        for option in config.options:
            said = config.said_of(option)
            if said is not None:
                yield config.path, option, "no effect" if said.without_effect else "refused", said.why
                continue
            meaning = descriptions[config.struct][option]
            has_effect = not meaning.startswith("Accepted, without effect")
            yield config.path, option, "honoured" if has_effect else "no effect", meaning
