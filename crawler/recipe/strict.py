"""Turning a recipe's section into a struct; unknown keys, refused options and wrong types end in one clear sentence."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from crawler.errors import SettingsError
from crawler.settings import Secret

Section = TypeVar("Section")
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)


class Refused(msgspec.Struct, frozen=True):
    """An option of the official connector that is not honoured: why, and what to do instead.

    Values in `harmless` change nothing here and are taken in silence, and so, with `only_enabled`, is a mapping that
    does not say `enabled: true`.
    """

    why: str
    harmless: tuple[Any, ...] = (None,)
    only_enabled: bool = False


def section(data: Any, path: str, struct: type[Section], refused: Mapping[str, Refused] | None = None) -> Section:
    """The section as a struct. Raises SettingsError with the key's path; values are not shown, they may be secrets."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: expected a mapping, got {_kind(data)}.")
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(struct)}  # type: ignore[arg-type]
    refused = refused or {}
    for key, value in data.items():
        if key in refused:
            _check_refused(refused[key], value, f"{path}.{key}".lstrip("."))
        elif key not in defaults:
            raise _unknown(key, path, [*defaults, *refused])
    known = {key: data[key] for key in data if key not in refused and not _left_out(data[key], defaults[key])}
    try:
        return msgspec.convert(known, struct, strict=False, dec_hook=_special)
    except msgspec.ValidationError as error:
        raise SettingsError(_readable(str(error), path)) from None


def choose(value: str, known: Mapping[str, Section], path: str) -> Section:
    """The thing that `value` names. Raises SettingsError with the nearest known name."""
    if value not in known:
        raise SettingsError(f"{path}: unknown type {value!r}.", _nearest(value, known))
    return known[value]


def _left_out(value: Any, default: Any) -> bool:
    """Nothing was given: no value, or the empty text of `${NAME:-}` for an option that may be missing."""
    return value is None or (value == "" and default is None)


def _check_refused(option: Refused, value: Any, path: str) -> None:
    if option.only_enabled and isinstance(value, dict) and not value.get("enabled"):
        return
    if not any(_same(value, harmless) for harmless in option.harmless):
        raise SettingsError(f"{path}: {option.why}")


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
    if kind is Path and isinstance(value, str):
        return _path(value)
    raise ValueError(f"Expected `str`, got `{_kind(value)}`")


def _path(text: str) -> Path:
    if "://" in text:
        raise ValueError("Expected a path on this machine, got a URL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("Expected a path, got ~ of a user who is not known here") from None


def _readable(message: str, path: str) -> str:
    match = _AT.match(message)
    what, inner = (match["what"], match["path"] or "") if match else (message, "")
    where = path + inner.removeprefix("key` in `").removeprefix("$")
    return f"{where.lstrip('.')}: {what[:1].lower()}{what[1:]}.".replace("`", "")


def _kind(value: object) -> str:
    return {"NoneType": "nothing", "list": "a list", "dict": "a mapping"}.get(
        type(value).__name__, type(value).__name__
    )
