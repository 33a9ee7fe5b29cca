"""Options of the official connector and its pipeline that are not supported: why, and what to do instead."""

from typing import Any

import msgspec


class Unsupported(msgspec.Struct, frozen=True):
    """An official option that is not supported.

    Attributes:
        why: why, and what to do instead; messages show it.
        harmless: values that would change nothing here, so they are accepted silently.
        only_enabled: True also accepts a mapping that does not say `enabled: true`.
    """

    why: str
    harmless: tuple[Any, ...] = (None,)
    only_enabled: bool = False

    def accepts(self, value: Any) -> bool:
        """True if `value` asks for nothing that would be missed."""
        if self.only_enabled and isinstance(value, dict) and not value.get("enabled"):
            return True
        return any(_is_same(value, harmless) for harmless in self.harmless)


def _is_same(value: Any, harmless: Any) -> bool:
    if isinstance(value, str) and isinstance(harmless, str):
        return value.casefold() == harmless.casefold()
    return bool(value == harmless) and type(value) is type(harmless)


_NO_STATE = "the crawler keeps no state in DataHub yet, so nothing that vanished from MLflow is removed. Leave it out."

UNSUPPORTED_IN_PIPELINE = {
    "transformers": Unsupported(
        "transformers are not run. Write a file (sink type file) and let datahub's file source run them on it.",
        (None, []),
    ),
    "reporting": Unsupported(
        "no run is reported to DataHub's ingestion page yet. Leave it out, or use --report.", (None, [])
    ),
    "datahub_api": Unsupported("DataHub is not read from. Give its server and token under sink.config.", (None, {})),
    "failure_log": Unsupported(
        "failures are in the summary and the report, not in a failure log. Leave it out, or use --report.",
        only_enabled=True,
    ),
    "recording": Unsupported("a crawl cannot be recorded. Leave it out.", only_enabled=True),
}
_SAMPLES = Unsupported("the report keeps a few samples of each failure and warning, always. Leave it out.", (None, 10))
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
    "auth": Unsupported("only a token is known as credential. Give it as token."),
    "retry_status_codes": Unsupported("408, 425, 429 and 5xx are tried again, always. Leave it out."),
    "pool_connections": Unsupported("connections are counted by max_threads. Leave it out."),
    "pool_maxsize": Unsupported("connections are counted by max_threads. Leave it out."),
    "openapi_ingestion": Unsupported("the endpoint is named by its own option. Set endpoint: OPENAPI.", (None, False)),
    "respect_mcp_sync_marker": Unsupported("no proposal carries such a marker. Leave it out.", (None, False)),
    "client_mode": Unsupported("the crawler names itself. Leave it out.", (None, "INGESTION", "SDK", "CLI")),
    "datahub_component": Unsupported("the crawler names itself. Leave it out."),
    "server_config_refresh_interval": Unsupported("DataHub's version is asked once a crawl. Leave it out."),
    "tcp_keepalive": Unsupported("connections are kept for one crawl only. Leave it out.", (None, False, True)),
    "default_emit_mode": Unsupported("use mode: SYNC or ASYNC.", (None,)),
    "max_pending_requests": Unsupported("what waits is bounded by max_threads. Leave it out.", (None, 2000)),
    "min_process_interval_seconds": Unsupported("batches leave when they are full. Leave it out.", (None, 30, 30.0)),
}
UNSUPPORTED_IN_LITE_SINK = {
    "forward_to": Unsupported("nothing is forwarded. Crawl a second time, with the other sink."),
}
UNSUPPORTED_IN_LITE_FILE = {
    "read_only": Unsupported("the catalog is written to. Leave it out.", (None, False)),
    "options": Unsupported("no options are handed on to the database. Leave it out.", (None, {})),
}
STATE_UNSUPPORTED = f"source.config.stateful_ingestion.enabled: {_NO_STATE}"
