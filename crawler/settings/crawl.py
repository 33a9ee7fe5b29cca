"""The settings of a crawl: one frozen struct for each part of it.

`crawler.config.load` makes them from a recipe, the environment and flags. They are final: the crawl reads them only.
`msgspec.structs.replace(settings, dry_run=True)` returns a changed copy.
"""

from pathlib import Path
from typing import Any

import msgspec

from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Selection
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import SinkSettings


class MlflowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MLflow servers to read.

    Attributes:
        tracking: the server of experiments and runs.
        registry: the server of registered models and their versions; None if that is the tracking server.
        page_size: the most runs to ask for in one page; fewer if they are large.
        workspace: the only workspace to read, as if the server had no other one; None for those that are selected.
    """

    tracking: ServerSettings
    registry: ServerSettings | None = None
    page_size: int = 1024
    workspace: str | None = None


class TransformerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of acryl-datahub's transformers.

    Attributes:
        type: its name there, or the import path of a class.
        config: its options, which it checks itself.
    """

    type: str
    config: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Return the type alone: options may be secrets."""
        return f"TransformerSettings(type={self.type!r})"


class IngestionPageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The crawl as DataHub's Ingestion page shows it.

    Attributes:
        recipe: the recipe as JSON, without its secrets; empty to show none.
        is_asked_for: True where the recipe asks for it; otherwise a DataHub that refuses is no more than a line in the
            log.
        is_required: True ends a crawl that cannot be shown before anything is read.
    """

    recipe: str = ""
    is_asked_for: bool = False
    is_required: bool = False


class RemovalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about entities that MLflow does not list any more (`stateful_ingestion`).

    Attributes:
        checkpoint: where the last crawl's URNs are kept: DataHub's server, or a file.
        fail_safe_threshold: the percentage of them that may vanish at once; 100 for no limit.
        max_state_bytes: the most bytes of a checkpoint's payload.
        ignore_old_state: True neither reads the checkpoint nor removes what it has.
        ignore_new_state: True does not write the checkpoint.
        is_confirmed: True if the user says that what MLflow does not list was deleted there.
    """

    checkpoint: ServerSettings | Path
    fail_safe_threshold: float = 75.0
    max_state_bytes: int = 2**24
    ignore_old_state: bool = False
    ignore_new_state: bool = False
    is_confirmed: bool = False


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where proposals go and how, whether a crawl or a replay makes them.

    Attributes:
        run_id: the run id in the system metadata of each proposal; DataHub's rollback works by it.
        pipeline_name: the pipeline name there.
        labels_run: False leaves both out of the system metadata.
        labels_pipeline: False leaves out the pipeline name alone.
        sink: where proposals go.
        dead_letters: the file for proposals that cannot be delivered; None for one of the run in the working directory.
        max_duration: the seconds after which the job is stopped cleanly; None for no limit.
        grace: the most seconds that a clean stop may take; Kubernetes kills 30 s after SIGTERM.
        dry_run: True delivers nothing.
        validate: True checks each proposal with acryl-datahub's schema first.
        notes: what the user should know about how the settings were chosen.
    """

    run_id: str
    pipeline_name: str | None = None
    labels_run: bool = True
    labels_pipeline: bool = True
    sink: SinkSettings
    dead_letters: Path | None = None
    max_duration: float | None = None
    grace: float = 25.0
    dry_run: bool = False
    validate: bool = False
    notes: tuple[str, ...] = ()


class IncrementalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an incremental crawl finds what may have changed.

    Attributes:
        full_every: the seconds after which everything is read again.
        not_ended_for: the seconds since its start for which a run that has not ended is read again.
    """

    full_every: float = 7 * 86_400.0
    not_ended_for: float = 14 * 86_400.0


class KeepingCurrent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a crawl uses what the state keeps of earlier ones.

    Attributes:
        incremental: how it reads only what may have changed; None reads everything.
        verify_every: the seconds after which DataHub is asked whether it has what the state says; None for never.
    """

    incremental: IncrementalSettings | None = None
    verify_every: float | None = None


class Settings(DeliverySettings, frozen=True, kw_only=True):
    """The settings of one crawl; `crawler.config.load.load()` makes them.

    Attributes:
        mlflow: the servers to read.
        selection: what of them is read.
        mapping: what is written for them.
        state: the checkpoint file, by which a crawl that was cut off is resumed; None for none.
        removal: how what vanished from MLflow is removed; None to remove nothing.
        browse_paths: False leaves out browse paths.
        transformers: what changes the entities before they are delivered, in this order.
        graph: the DataHub that transformers read from; None for none.
        ingestion_page: how DataHub's Ingestion page shows the crawl; None for not at all.
        report_files: files that the report is written to in the form of `datahub ingest`.
        changed_only: how only what has changed since the last crawl with this state is sent; None sends everything.

    Example:
        settings = load("recipe.yml")
        assert isinstance(settings, Settings)
        print(settings.mlflow.tracking.url, settings.sink)
    """

    mlflow: MlflowSettings
    selection: Selection = Selection()
    mapping: MappingSettings
    state: Path | None = None
    removal: RemovalSettings | None = None
    browse_paths: bool = True
    transformers: tuple[TransformerSettings, ...] = ()
    graph: ServerSettings | None = None
    ingestion_page: IngestionPageSettings | None = None
    report_files: tuple[Path, ...] = ()
    changed_only: KeepingCurrent | None = None
