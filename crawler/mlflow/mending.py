"""Values that no struct or no UTF-8 can hold, replaced or left out so that their row is kept; see docs/values.md."""

import math
import re
from typing import Any

_TIMES = frozenset(
    (
        *("start_time", "end_time", "creation_time", "created_time", "last_update_time"),
        *("creation_timestamp", "last_updated_timestamp", "creation_timestamp_ms", "last_updated_timestamp_ms"),
    )
)
_MAX_TIME = 2**62  # the end of entities.Millis
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_SHOWN = 40


def mend(row: object) -> tuple[object, list[str]]:
    """Return a row of parsed JSON with its unusual values mended, and a text on each that was changed.

    A lone surrogate becomes U+FFFD. A time loses its fraction of a millisecond, and is left out if it is none.
    """
    changes: list[str] = []
    return _mended(row, changes), changes


def _mended(value: Any, changes: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            _mended(key, changes): mended
            for key, item in value.items()
            if (mended := _mended_time(key, item, changes) if key in _TIMES else _mended(item, changes)) is not None
        }
    if isinstance(value, list):
        return [_mended(item, changes) for item in value]
    if isinstance(value, str):
        whole, halves = _HALF_PAIR.subn("\ufffd", value)
        if halves:
            changes.append(f"half of a surrogate pair in {_shown(value)} was replaced by U+FFFD")
        return whole
    return value


def _mended_time(name: str, value: object, changes: list[str]) -> object:
    """Return a time in whole ms, None for what is none; what is no single value is of a wrong shape, and stays."""
    if isinstance(value, dict | list):
        return value
    time = _as_number(value)
    if time is None or not -_MAX_TIME <= time < _MAX_TIME:
        changes.append(f"{name} {_shown(value)} was left out: it is no time")
        return None
    if time != math.floor(time):
        changes.append(f"{name} {_shown(value)} was cut to whole milliseconds")
    return math.floor(time)


def _as_number(value: object) -> int | float | None:
    """Return a number, or a text as the number that it holds; None for anything else."""
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        except ValueError:
            return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(value: object) -> str:
    return f"{value!r:.{_SHOWN}}"
