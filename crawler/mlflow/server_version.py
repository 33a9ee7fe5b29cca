"""The version of an MLflow server, by which it is known what it lacks. Pure."""

import re

_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})")


def is_older(version: str | None, major: int, minor: int) -> bool:
    """Return whether a server is older than a release, by its answer to `/version`; False where that is not known.

    MLflow 1.x has no `/version`, nor have some servers that speak MLflow's API: these are asked.
    """
    numbers = _NUMBERS.match(version or "")
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < (major, minor)
