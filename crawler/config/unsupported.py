"""Options of the official connector and its pipeline that are not honoured: why, and what to do instead."""

from crawler.config.strict import Refused

_NO_STATE = "the crawler keeps no state in DataHub yet, so nothing that vanished from MLflow is removed. Leave it out."

REFUSED_IN_PIPELINE = {
    "transformers": Refused(
        "transformers are not run. Write a file (sink type file) and let datahub's file source run them on it.",
        (None, []),
    ),
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
_SAMPLES = Refused("the report keeps a few samples of each failure and warning, always. Leave it out.", (None, 10))
REFUSED_IN_FLAGS = {
    "generate_browse_path_v2": Refused("containers get their browse path, always. Leave it out.", (None, True)),
    "generate_browse_path_v2_dry_run": Refused("browse paths are written, always. Leave it out.", (None, False)),
    "generate_memory_profiles": Refused("no memory profile is written. Leave it out; the report tells the peak."),
    "auto_resolve_lineage_urns": Refused(
        "DataHub is not read from, so URNs are not fitted to those in it. Leave it out.", only_enabled=True
    ),
    "progress_report_max_failures": _SAMPLES,
    "progress_report_max_warnings": _SAMPLES,
    "progress_report_max_infos": _SAMPLES,
    "report_failure_sample_size": _SAMPLES,
    "report_warning_sample_size": _SAMPLES,
    "report_info_sample_size": _SAMPLES,
    "set_system_metadata": Refused("DataHub's rollback works by it, so it is always set. Leave it out.", (None, True)),
    "set_system_metadata_pipeline_name": Refused(
        "pipeline_name is always written where it is given. Leave out one of the two.", (None, True)
    ),
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
    "openapi_ingestion": Refused("the endpoint is named by its own option. Set endpoint: OPENAPI.", (None, False)),
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
REFUSED_IN_LITE_FILE = {
    "read_only": Refused("the catalog is written to. Leave it out.", (None, False)),
    "options": Refused("no options are handed on to the database. Leave it out.", (None, {})),
}
STATE_WANTED = f"source.config.stateful_ingestion.enabled: {_NO_STATE}"
