"""The flags of the command line, as far as they are settings."""

from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.durations import Duration
from crawler.config.sections import BatchSize, Count, PageSize, Positive
from crawler.config.settings import Confirm, Endpoint


class Flags(msgspec.Struct, kw_only=True, frozen=True):
    """The flags of a command; None where one is not given."""

    mlflow_uri: str | None = None
    datahub_url: str | None = None
    sink: Literal["rest", "file", "lite"] | None = None
    endpoint: Endpoint | None = None
    output: Path | None = None
    report: Path | None = None
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
    def place(path: str, key: str) -> str:  # noqa: ARG004  a flag is no part of a recipe, so it has no path there
        """How a message names a flag: as it is typed."""
        return "--" + key.replace("_", "-")
