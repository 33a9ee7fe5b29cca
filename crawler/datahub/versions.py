"""What older DataHub servers do not know."""

import re

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


def unsupported_aspects(version: str | None) -> frozenset[tuple[str, str]]:
    """(entity type, aspect) that a server of this version refuses as unknown; none where the version cannot be told.

    DataHub learnt them for its own MLflow connector in 1.0 (pull requests 12174, 12334, 12587).
    """
    match = re.match(r"v?(\d+)\.", version or "")
    return _BEFORE_1_0 if match and int(match[1]) < 1 else frozenset()
