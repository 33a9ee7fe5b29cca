"""Options of the official connector and its pipeline that are not supported: why, and what to do instead."""

from typing import Any

import msgspec


class Unsupported(msgspec.Struct, frozen=True):
    """An official option that is not supported.

    Attributes:
        why: why, and what to do instead; messages show it.
        harmless: values that would change nothing here, so they are accepted silently.
        only_enabled: True also accepts a mapping that does not say `enabled: true`.
        without_effect: True accepts every value, with a line in the log: what is written stays the same.
    """

    why: str
    harmless: tuple[Any, ...] = (None,)
    only_enabled: bool = False
    without_effect: bool = False

    def accepts(self, value: Any) -> bool:
        """True if `value` asks for nothing that would be missed."""
        if self.only_enabled and isinstance(value, dict) and not value.get("enabled"):
            return True
        return any(_is_same(value, harmless) for harmless in self.harmless)


def _is_same(value: Any, harmless: Any) -> bool:
    if isinstance(value, str) and isinstance(harmless, str):
        return value.casefold() == harmless.casefold()
    return bool(value == harmless) and type(value) is type(harmless)


def _without_effect(why: str) -> Unsupported:
    return Unsupported(why, without_effect=True)


UNSUPPORTED_IN_PIPELINE = {
    "transformers": Unsupported(
        "transformers are not run. Write a file (sink type file) and let datahub's file source run them on it.",
        (None, []),
    ),
    "reporting": Unsupported(
        "no run is reported to DataHub's ingestion page yet. Leave it out, or use --report.", (None, [])
    ),
    "failure_log": Unsupported(
        "failures are in the summary and the report, not in a failure log. Leave it out, or use --report.",
        only_enabled=True,
    ),
    "recording": Unsupported("a crawl cannot be recorded. Leave it out.", only_enabled=True),
}
_SAMPLES = _without_effect("the report keeps a few samples of each failure and warning, always.")
UNSUPPORTED_IN_FLAGS = {
    "generate_browse_path_v2": Unsupported("containers get their browse path, always. Leave it out.", (None, True)),
    "generate_browse_path_v2_dry_run": Unsupported("browse paths are written, always. Leave it out.", (None, False)),
    "generate_memory_profiles": Unsupported("no memory profile is written. Leave it out; the report tells the peak."),
    "auto_resolve_lineage_urns": Unsupported(
        "DataHub is not read from, so URNs are not fitted to those in it. Leave it out.", only_enabled=True
    ),
    "progress_report_max_failures": _SAMPLES,
    "progress_report_max_warnings": _SAMPLES,
    "progress_report_max_infos": _SAMPLES,
    "report_failure_sample_size": _SAMPLES,
    "report_warning_sample_size": _SAMPLES,
    "report_info_sample_size": _SAMPLES,
    "set_system_metadata": Unsupported(
        "DataHub's rollback works by it, so it is always set. Leave it out.", (None, True)
    ),
    "set_system_metadata_pipeline_name": Unsupported(
        "pipeline_name is always written where it is given. Leave out one of the two.", (None, True)
    ),
}
UNSUPPORTED_IN_SOURCE = {
    "extractor": Unsupported("MLflow's source needs no extractor. Leave it out.", (None, "generic")),
    "extractor_config": Unsupported("MLflow's source needs no extractor. Leave it out.", (None, {})),
}
UNSUPPORTED_IN_REST_SINK = {
    "retry_status_codes": _without_effect("408, 425, 429 and 5xx are tried again, always."),
    "pool_connections": _without_effect("connections are counted by max_threads."),
    "pool_maxsize": _without_effect("connections are counted by max_threads."),
    "openapi_ingestion": _without_effect("the endpoint is named by endpoint, as in datahub's own sink."),
    "respect_mcp_sync_marker": _without_effect("no proposal carries such a marker."),
    "client_mode": _without_effect("the crawler names itself."),
    "datahub_component": _without_effect("the crawler names itself."),
    "server_config_refresh_interval": _without_effect("DataHub's version is asked once a crawl."),
    "tcp_keepalive": _without_effect("connections are kept for one crawl only."),
    "default_emit_mode": _without_effect("the sink has mode, as datahub's own."),
    "max_pending_requests": _without_effect("what waits is bounded by max_threads."),
    "min_process_interval_seconds": _without_effect("batches leave when they are full."),
}
UNSUPPORTED_IN_LITE_SINK = {
    "forward_to": Unsupported("nothing is forwarded. Crawl a second time, with the other sink."),
}
UNSUPPORTED_IN_LITE_FILE = {
    "read_only": Unsupported("the catalog is written to. Leave it out.", (None, False)),
    "options": Unsupported("no options are handed on to the database. Leave it out.", (None, {})),
}
_DATABRICKS = (
    "signing in by a profile of Databricks is not supported. Give https://WORKSPACE as tracking_uri, and a token."
)
UNSUPPORTED_URIS = {
    "databricks": _DATABRICKS,
    "databricks-uc": "Unity Catalog's registry is not supported. Leave registry_uri out.",
    "uc": "Unity Catalog's registry is not supported. Leave registry_uri out.",
    "arn": "a server of SageMaker wants signed requests (AWS SigV4), which are not supported.",
    "azureml": "this scheme is not supported. Give the workspace's URL with https:// as tracking_uri, and a token.",
}
"""The schemes of services that MLflow's client signs in to in a way of their own."""
UNSUPPORTED_SIGN_INS = {
    "MLFLOW_TRACKING_AWS_SIGV4": "signed requests (AWS SigV4) are not supported.",
    "MLFLOW_TRACKING_AUTH": "plugins of MLflow that sign in are not supported.",
}
"""Variables by which MLflow's client signs in in other ways."""
