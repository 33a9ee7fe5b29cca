"""Opens DataHub Lite's catalog through acryl-datahub, whose telemetry stays off and writes no file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datahub.lite.lite_local import DataHubLiteLocal


def open_lite_catalog(kind: str, path: Path, *, read_only: bool = False) -> "DataHubLiteLocal":
    """Open a catalog, `sqlite` or `duckdb`. The first call imports acryl-datahub's classes: 2 s, 100 MB.

    Raises:
        ConfigurationError: acryl-datahub's own, where the format's package is missing.
        Exception: OSError, or what the database raises.
    """
    os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"
    from datahub.cli import config_utils  # noqa: PLC0415

    # The telemetry that is off writes ~/.datahub/telemetry-config.json all the same, when it is imported.
    folder, config_utils.DATAHUB_ROOT_FOLDER = config_utils.DATAHUB_ROOT_FOLDER, os.devnull
    try:
        from datahub.lite.lite_util import get_datahub_lite  # noqa: PLC0415
    finally:
        config_utils.DATAHUB_ROOT_FOLDER = folder
    return get_datahub_lite({"type": kind, "config": {"file": str(path)}}, read_only=read_only)
