"""The flags of the command line that become settings."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.layers import Layer
from crawler.config.sections.values import BatchSize, Count, PageSize, Positive, Removal
from crawler.settings.durations import Duration
from crawler.settings.sinks import Confirm, Endpoint
from crawler.settings.sizes import Size


class Flags(msgspec.Struct, kw_only=True, frozen=True):
    """The flags of a command; None for one that is not given. Durations are in seconds."""

    mlflow_uri: str | None = None
    workspace: str | None = None
    datahub_url: str | None = None
    sink: Literal["rest", "file", "lite"] | None = None
    endpoint: Endpoint | None = None
    output: Path | None = None
    dead_letters: Path | None = None
    state: Path | None = None
    removal: Removal | None = None
    changed_only: bool | None = None
    incremental: bool | None = None
    verify_every: Duration | None = None
    confirm: Confirm | None = None
    confirm_wait: Duration | None = None
    max_unconfirmed: Size | None = None
    patience: Duration | None = None
    max_duration: Duration | None = None
    grace: Duration | None = None
    dry_run: bool = False
    no_default_report: bool = False
    validate: bool = False
    page_size: PageSize | None = None
    mlflow_concurrency: Count | None = None
    mlflow_rps: Positive | None = None
    datahub_concurrency: Count | None = None
    batch_size: BatchSize | None = None

    def layer(self, **fields: str) -> Layer:
        """Return what the flags say of a section: by option, the field that has its value."""
        return Layer(
            place="flags",
            options={option: getattr(self, field) for option, field in fields.items()},
            names={option: self.name_of(field) for option, field in fields.items()},
        )

    @staticmethod
    def name_of(key: str) -> str:
        """Return how messages name a flag: as it is typed."""
        return "--" + key.replace("_", "-")
