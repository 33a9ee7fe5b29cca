"""What older DataHub servers do not know."""

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
    """(entity type, aspect) that a server of this version refuses as unknown; none where the version cannot be told.

    DataHub learnt them for its own MLflow connector in 1.0 (pull requests 12174, 12334, 12587).
    """
    return _BEFORE_1_0 if _is_older(version, (1, 0, 0)) else frozenset()


def reads_back(version: str | None) -> bool:
    """Whether a server of this version has OpenAPI v3 as we read it back; yes where the version cannot be told."""
    return not _is_older(version, (1, 0, 1))


def require_openapi(version: str | None) -> None:
    """Raises SettingsError for a server that is older than its OpenAPI v3 endpoint as we write to it."""
    if not reads_back(version):
        raise SettingsError(
            f"DataHub {version} is older than 1.0.1, the first version that can be written to with endpoint openapi.",
            "Use --endpoint restli, or endpoint: restli under sink.config.",
        )


def _is_older(version: str | None, than: tuple[int, int, int]) -> bool:
    match = _NUMBERS.match(version or "")
    if match is None:
        return False
    numbers = tuple(int(number or 0) for number in match.groups())
    first, end = _CLOUD
    return numbers < than and not first <= numbers < end
