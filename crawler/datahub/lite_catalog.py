"""Opens DataHub Lite's catalog through acryl-datahub."""

from pathlib import Path
from typing import TYPE_CHECKING

from crawler.acryl import without_telemetry

if TYPE_CHECKING:
    from datahub.lite.lite_local import DataHubLiteLocal


def open_lite_catalog(kind: str, path: Path, *, read_only: bool = False) -> "DataHubLiteLocal":
    """Open a catalog, `sqlite` or `duckdb`. The first call imports acryl-datahub's classes: 2 s, 100 MB.

    Raises:
        ConfigurationError: acryl-datahub's own, where the format's package is missing.
        Exception: OSError, or what the database raises.
    """
    with without_telemetry():
        from datahub.lite.lite_util import get_datahub_lite  # noqa: PLC0415

    return get_datahub_lite({"type": kind, "config": {"file": str(path)}}, read_only=read_only)
