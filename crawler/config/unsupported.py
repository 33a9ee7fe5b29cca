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
    "recording": Unsupported("a crawl cannot be recorded. Leave it out; -v logs each retry.", only_enabled=True),
}
_NOT_SENT = (
    "which are not sent here. Leave it out; or write a file (sink: {type: file}), and let `datahub ingest` run it on "
    "that (source: {type: file, config: {path: …}})."
)
UNSUPPORTED_TRANSFORMERS = {
    "set_attribution": f"it writes patches, {_NOT_SENT}",
    **{f"{how}add_dataset_dataproduct": f"it writes patches, {_NOT_SENT}" for how in ("", "simple_", "pattern_")},
}
"""acryl-datahub's transformers that write nothing but patches, and why they do not run here."""
TRANSFORMERS_OF_OWNERS = {
    f"{how}add_{what}ownership" for how in ("", "simple_", "pattern_") for what in ("", "dataset_")
}
UNSUPPORTED_IN_TRANSFORMERS_OF_OWNERS = {
    "is_container": Unsupported(f"owners of containers are patches, {_NOT_SENT}", (None, False)),
}
_SAMPLES = _without_effect("the report keeps a few samples of each failure and warning, always.")
_PROGRESS = _without_effect("no report is printed while it goes on; the log tells the progress.")
UNSUPPORTED_IN_FLAGS = {
    "generate_memory_profiles": _without_effect("no memory profile is written; the report tells the peak."),
    "auto_resolve_lineage_urns": Unsupported(
        "URNs are not fitted to those in DataHub. Leave it out, and write the names of hosted datasets as DataHub has "
        "them when they are logged to MLflow.",
        only_enabled=True,
    ),
    "progress_report_max_failures": _PROGRESS,
    "progress_report_max_warnings": _PROGRESS,
    "progress_report_max_infos": _PROGRESS,
    "report_failure_sample_size": _SAMPLES,
    "report_warning_sample_size": _SAMPLES,
    "report_info_sample_size": _SAMPLES,
}
UNSUPPORTED_IN_DATAHUB_REPORTER = {
    "sink": Unsupported("the DataHub of the sink is told. Leave it out, or write to that DataHub."),
}
UNSUPPORTED_IN_FAILURE_LOG = {
    "legacy_nested_json_string": _without_effect("dead letters have one form, which `replay` reads."),
}
UNSUPPORTED_IN_SOURCE = {
    "extractor": Unsupported("MLflow's source needs no extractor. Leave it out.", (None, "generic")),
    "extractor_config": Unsupported("MLflow's source needs no extractor. Leave it out.", (None, {})),
}
UNSUPPORTED_IN_CLIENT = {
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
}
UNSUPPORTED_IN_REST_SINK = UNSUPPORTED_IN_CLIENT | {
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
