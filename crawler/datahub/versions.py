"""What older DataHub servers lack."""

import re

from crawler.errors import SettingsError

_BEFORE_1_0 = frozenset(
    {
        ("dataProcessInstance", "mlTrainingRunProperties"),
        ("dataProcessInstance", "container"),
        ("dataProcessInstance", "dataPlatformInstance"),
        ("dataProcessInstance", "subTypes"),
        ("dataProcessInstance", "status"),
        ("mlModel", "versionProperties"),
    }
)
_NUMBERS = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?")
_CLOUD = ((0, 3, 11), (0, 4))
"""DataHub Cloud once counted by itself: its 0.3.11 is 1.0.1 (acryl-datahub's `server_config_util.py`)."""


def unsupported_aspects(version: str | None) -> frozenset[tuple[str, str]]:
    """Return the (entity type, aspect) pairs that a server of this version refuses as unknown.

    None where the version is not known. DataHub got them for its own MLflow connector in 1.0 (pull requests 12174,
    12334, 12587).
    """
    return _BEFORE_1_0 if _is_older(version, (1, 0, 0)) else frozenset()


def reads_back(version: str | None) -> bool:
    """Return whether a server of this version can be read back through OpenAPI v3; True where it is not known."""
    return not _is_older(version, (1, 0, 1))


def require_openapi(version: str | None) -> None:
    """Raise SettingsError for a server that cannot be written to through OpenAPI v3."""
    if not reads_back(version):
        raise SettingsError(
            f"DataHub {version} is older than 1.0.1, the first version that can be written to with endpoint openapi.",
            "Use --endpoint restli, or endpoint: restli under sink.config.",
        )


def knows_lifecycle(version: str | None, *, is_cloud: bool) -> bool:
    """Return whether the `status` of this server has `lifecycleLastUpdated`; not where its version is not known."""
    return _is_at_least(version, (2, 1, 0) if is_cloud else (1, 6, 0))


def patches_status(version: str | None, *, is_cloud: bool) -> bool:
    """Return whether this server takes a patch of `status` (acryl-datahub's `auto_status_aspect.py`)."""
    return _is_at_least(version, (2, 1, 0) if is_cloud else (1, 7, 0))


def _is_at_least(version: str | None, numbers: tuple[int, int, int]) -> bool:
    return _NUMBERS.match(version or "") is not None and not _is_older(version, numbers)


def _is_older(version: str | None, than: tuple[int, int, int]) -> bool:
    match = _NUMBERS.match(version or "")
    if match is None:
        return False
    numbers = tuple(int(number or 0) for number in match.groups())
    first, end = _CLOUD
    return numbers < than and not first <= numbers < end
