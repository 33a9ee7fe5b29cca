"""Where two values of one aspect differ, field by field: pure."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

Record = Mapping[str, Any]


class How(Enum):
    """How a field differs."""

    OURS_ONLY = "ours only"
    OFFICIAL_ONLY = "official only"
    OTHER = "another value"


class Difference(NamedTuple):
    """One field that differs.

    Attributes:
        how: who has it, or both with another value.
        field: its path from the aspect down; `[]` stands for an entry of a list.
        key: the field within a record or map at that path; empty for the field itself.
    """

    how: How
    field: str
    key: str = ""


def differences(official: Record, ours: Record) -> Iterator[Difference]:
    """Yield where the values differ. The order of lists does not count, and empty is the same as missing."""
    yield from _members(official, ours, "")


def _members(official: Record, ours: Record, path: str) -> Iterator[Difference]:
    for key in sorted(official.keys() | ours.keys()):
        one, other = official.get(key), ours.get(key)
        below = f"{path}.{key}" if path else key
        if _are(list, one, other):
            yield from _entries(one or [], other or [], f"{below}[]")
        elif _are(dict, one, other):
            yield from _members(one or {}, other or {}, below)
        elif one != other:
            yield Difference(_how(one, other), *((path, key) if path else (key,)))


def _entries(official: list[Any], ours: list[Any], path: str) -> Iterator[Difference]:
    left = list(official)
    unpaired = [each for each in ours if not _removed(left, each)]
    for other in unpaired:
        near = next((one for one in left if _same_thing(one, other)), None)
        if near is None:
            yield Difference(How.OURS_ONLY, path)
        else:
            left.remove(near)
            yield from _members(near, other, path)
    yield from (Difference(How.OFFICIAL_ONLY, path) for _ in left)


def _removed(entries: list[Any], entry: Any) -> bool:
    """Remove an equal entry. Returns whether there was one."""
    for number, each in enumerate(entries):
        if each == entry or (isinstance(each, dict) and isinstance(entry, dict) and not any(differences(each, entry))):
            del entries[number]
            return True
    return False


def _same_thing(one: Any, other: Any) -> bool:
    """Return whether two entries are of the same thing: records whose common plain fields are equal."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    plain = [key for key in one.keys() & other.keys() if not isinstance(one[key], (dict, list))]
    return bool(plain) and all(one[key] == other[key] for key in plain)


def _are(kind: type, *each: Any) -> bool:
    """Return whether those of the values that are there are of this kind."""
    there = [value for value in each if value is not None]
    return bool(there) and all(isinstance(value, kind) for value in there)


def _how(official: Any, ours: Any) -> How:
    if official is None:
        return How.OURS_ONLY
    return How.OFFICIAL_ONLY if ours is None else How.OTHER
