"""Turning a recipe's section into a struct; unknown keys, refused options and wrong types end in one clear sentence."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import EnumType
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from crawler.config.durations import Duration, duration
from crawler.config.settings import Secret
from crawler.errors import SettingsError

Section = TypeVar("Section")
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$(?:\.(?P<key>\w+))?(?P<rest>.*)`)?", re.DOTALL)
_WORDS = {
    " | null": "",
    "`object`": "a mapping",
    "`array`": "a list",
    "object missing required field": "there must be a key",
    "`null`": "nothing",
    "`": "",
}


class Refused(msgspec.Struct, frozen=True):
    """An option of the official connector that is not honoured: why, and what to do instead.

    Values in `harmless` change nothing here and are taken in silence, and so, with `only_enabled`, is a mapping that
    does not say `enabled: true`.
    """

    why: str
    harmless: tuple[Any, ...] = (None,)
    only_enabled: bool = False

    def takes(self, value: Any) -> bool:
        """Whether `value` asks for nothing that would be missed."""
        if self.only_enabled and isinstance(value, dict) and not value.get("enabled"):
            return True
        return any(_same(value, harmless) for harmless in self.harmless)


def section(
    data: dict[str, Any] | None, path: str, struct: type[Section], refused: Mapping[str, Refused] | None = None
) -> Section:
    """The section as a struct. Raises SettingsError with the key's path; values are not shown, they may be secrets."""
    if data is None:
        data = {}
    fields = {field.name: field for field in msgspec.structs.fields(struct)}  # type: ignore[arg-type]
    refused = refused or {}
    for key, value in data.items():
        if key in refused:
            if not refused[key].takes(value):
                raise SettingsError(f"{_place(struct, path, key)}: {refused[key].why}")
        elif key not in fields:
            raise _unknown(key, path, [*fields, *refused])
    known = {key: data[key] for key in data if key in fields and not _left_out(data[key], fields[key].default)}
    try:
        return msgspec.convert(known, struct, strict=False, dec_hook=_special)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(str(error), path, struct, fields)) from None


def choose(value: str, known: Mapping[str, Section], path: str) -> Section:
    """The thing that `value` names. Raises SettingsError with the nearest known name."""
    if value not in known:
        raise SettingsError(f"{path}: unknown type {value!r}.", _nearest(value, known))
    return known[value]


def _place(struct: type, path: str, key: str) -> str:
    """Where a key stands. A struct that is no part of a recipe says itself how its keys are named."""
    place = getattr(struct, "place", None)
    return f"{path}.{key}".lstrip(".") if place is None else str(place(path, key))


def _left_out(value: Any, default: Any) -> bool:
    """Nothing was given: no value, or the empty text of `${NAME:-}` for an option that may be missing."""
    return value is None or (value == "" and default is None)


def _same(value: Any, harmless: Any) -> bool:
    if isinstance(value, str) and isinstance(harmless, str):
        return value.casefold() == harmless.casefold()
    return bool(value == harmless) and type(value) is type(harmless)


def _unknown(key: object, path: str, known: Iterable[str]) -> SettingsError:
    name, colon, _ = str(key).partition(":")
    if colon:
        # In braces, `password:secret` is one key to YAML.
        return SettingsError(f"{path}: unknown key {name + ':…'!r}.".lstrip(": "), "Put a space behind the colon.")
    return SettingsError(f"{path}: unknown key {key!r}.".lstrip(": "), _nearest(key, known))


def _nearest(key: object, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(str(key), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(sorted(known))}."


def _special(kind: type, value: Any) -> Any:
    if kind is Secret:
        # Not of a number: YAML has read 0123 as 83 by now.
        if isinstance(value, str):
            return Secret(value)
        raise ValueError(f"Expected a text in quotes, got `{_kind(value)}`")
    if kind is Duration and isinstance(value, str):
        return duration(value)
    if kind is Path and isinstance(value, str):
        return _path(value)
    raise ValueError(f"Expected `str`, got `{_kind(value)}`")


def _path(text: str) -> Path:
    if not text:
        raise ValueError("Expected a path, got an empty text")
    if "://" in text:
        raise ValueError("Expected a path on this machine, got a URL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("Expected a path, got ~ of a user who is not known here") from None


def _sentence(message: str, path: str, struct: type, fields: Mapping[str, msgspec.structs.FieldInfo]) -> str:
    """What msgspec says, in the words of a recipe and with the place as it is written there."""
    match = _AT.fullmatch(message)
    what, key, rest = match.group("what", "key", "rest") if match else (message, None, None)
    if key is not None and what.startswith("Invalid enum value"):
        what = f"expected one of {', '.join(_choices(fields[key].type))}"
    what = what[:1].lower() + what[1:]
    for theirs, ours in _WORDS.items():
        what = what.replace(theirs, ours)
    where = path if key is None else _place(struct, path, key)
    return f"{where}{rest or ''}: {what}.".lstrip(": ")


def _choices(kind: Any) -> list[str]:
    """What an enum or a Literal, possibly optional, can be."""
    if isinstance(kind, EnumType):
        return [str(member.value) for member in kind]  # type: ignore[var-annotated]
    return [choice for each in get_args(kind) for choice in ([each] if isinstance(each, str) else _choices(each))]


def _kind(value: object) -> str:
    return {"NoneType": "nothing", "list": "a list", "dict": "a mapping"}.get(
        type(value).__name__, type(value).__name__
    )
