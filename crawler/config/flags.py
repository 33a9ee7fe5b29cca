"""The flags of the command line that become settings."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.durations import Duration
from crawler.config.sections import BatchSize, Count, PageSize, Positive
from crawler.config.settings import Confirm, Endpoint


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
    confirm: Confirm | None = None
    patience: Duration | None = None
    max_duration: Duration | None = None
    grace: Duration | None = None
    dry_run: bool = False
    validate: bool = False
    page_size: PageSize | None = None
    mlflow_concurrency: Count | None = None
    mlflow_rps: Positive | None = None
    datahub_concurrency: Count | None = None
    batch_size: BatchSize | None = None

    @staticmethod
    def name_of(key: str) -> str:
        """Return how messages name a flag: as it is typed."""
        return "--" + key.replace("_", "-")
