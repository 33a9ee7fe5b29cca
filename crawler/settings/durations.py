"""Durations as rclone accepts them: `90` and `90s`, `5m`, `1h30m`, `1.5h`, `500ms`; and as messages show them."""

import re

LONGEST = 366 * 86_400.0

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_PLAIN = re.compile(_NUMBER, re.ASCII)
_PART = re.compile(rf"({_NUMBER})(d|h|ms|m|s)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


class Duration(float):
    """A duration in seconds."""


def duration(text: str, longest: float = LONGEST) -> Duration:
    """Return the seconds of `text`, a number or parts with units. Raises ValueError with a message for users."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        seconds = float(text)
    elif _WHOLE.fullmatch(text) and _falling([unit for _, unit in _PART.findall(text)]):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        raise ValueError(f"expected a duration such as 90s, 5m or 1h30m, got {text[:40]!r}")
    if seconds > longest:
        raise ValueError(f"expected a duration of at most {longest / _UNITS['d']:.0f}d, got {text[:40]!r}")
    return Duration(seconds)


def human_seconds(seconds: float) -> str:
    """Return a duration as 1h02m, 3m20s or 4.2 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _falling(units: list[str]) -> bool:
    """True if each unit comes once and larger ones come first: `5m1h` and `5m5m` are slips."""
    order = list(_UNITS)
    places = [order.index(unit) for unit in units]
    return places == sorted(set(places))
