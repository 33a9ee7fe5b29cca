"""The settings of stale removal, from `stateful_ingestion` of a recipe."""

from collections.abc import Mapping
from pathlib import Path

from crawler.config.flags import Flags
from crawler.config.sections.source import DatahubStateProvider, FileStateProvider, StatefulIngestion, StateProvider
from crawler.config.sections.values import Options
from crawler.config.sink import load_server
from crawler.config.strict import choose, section
from crawler.errors import SettingsError
from crawler.settings.crawl import RemovalSettings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import SinkSettings

_PATH = "source.config.stateful_ingestion"
_PROVIDER = f"{_PATH}.state_provider"
_PROVIDERS: dict[str, type] = {"datahub": DatahubStateProvider, "file": FileStateProvider}


def load_removal(
    options: Options | None,
    pipeline_name: str | None,
    sink: SinkSettings | None,
    environment: Mapping[str, str],
    flags: Flags,
    home: Path | None,
    diagnostics: Diagnostics,
) -> RemovalSettings | None:
    """Return how what vanished is removed; None where `stateful_ingestion` does not ask for it.

    Raises SettingsError if there is no pipeline name, or no place for the checkpoint.
    """
    state = section(options, _PATH, StatefulIngestion, diagnostics=diagnostics)
    if not state.enabled:
        if flags.removal is not None:
            raise SettingsError(
                "--removal: nothing is removed without stateful_ingestion.",
                f"Set {_PATH}.enabled to true in the recipe, or leave the flag out.",
            )
        return None
    if not pipeline_name:
        raise SettingsError(
            f"{_PATH}.enabled: there is no pipeline_name, by which the checkpoint of the last crawl is found.",
            "Give pipeline_name at the top of the recipe.",
        )
    if not state.remove_stale_metadata:
        diagnostics.note(f"{_PATH}: with remove_stale_metadata: false nothing is removed and no checkpoint is kept.")
        return None
    return RemovalSettings(
        checkpoint=_place(state.state_provider, sink, environment, home, diagnostics),
        fail_safe_threshold=state.fail_safe_threshold,
        max_state_bytes=state.max_checkpoint_state_size,
        ignore_old_state=state.ignore_old_state,
        ignore_new_state=state.ignore_new_state,
        is_confirmed=(flags.removal or state.removal) == "confirm",
    )


def _place(
    options: Options | None,
    sink: SinkSettings | None,
    environment: Mapping[str, str],
    home: Path | None,
    diagnostics: Diagnostics,
) -> ServerSettings | Path:
    """Return the server or the file that keeps the checkpoint."""
    provider = StateProvider(type="datahub")
    if options is not None:
        provider = section(options, _PROVIDER, StateProvider, diagnostics=diagnostics)
    path = f"{_PROVIDER}.config"
    if choose(provider.type, _PROVIDERS, _PROVIDER, diagnostics) is FileStateProvider:
        file = section(provider.config, path, FileStateProvider, diagnostics=diagnostics).filename
        if file is None and not diagnostics.has_error_at(f"{path}.filename"):
            raise SettingsError(f"{path}: there must be a key filename.", "Give the path of a file.")
        return file or Path()
    datahub = section(provider.config, path, DatahubStateProvider, diagnostics=diagnostics)
    if datahub.datahub_api:
        return load_server(datahub.datahub_api, f"{path}.datahub_api", environment, home, diagnostics)
    if sink is None or sink.server is None:
        raise SettingsError(
            f"{_PROVIDER}: there is no DataHub to keep the checkpoint in.",
            "Write to DataHub, or name a file: {type: file, config: {filename: checkpoint.json}}.",
        )
    return sink.server
