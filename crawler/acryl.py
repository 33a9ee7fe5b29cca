"""Imports of acryl-datahub, whose telemetry stays off and writes no file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import acryl-datahub in this context; the first time takes 2 s and 100 MB."""
    os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"
    from datahub.cli import config_utils  # noqa: PLC0415

    # The telemetry that is off writes ~/.datahub/telemetry-config.json all the same, when it is imported.
    folder, config_utils.DATAHUB_ROOT_FOLDER = config_utils.DATAHUB_ROOT_FOLDER, os.devnull
    try:
        yield
    finally:
        config_utils.DATAHUB_ROOT_FOLDER = folder
