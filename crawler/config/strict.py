"""Converts a section of a recipe to a struct; an unknown key or a wrong value ends in one clear sentence."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from enum import EnumType
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from crawler.config.unsupported import Unsupported
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.durations import Duration, duration
from crawler.settings.since import Since, since
from crawler.settings.sizes import Size, size

Section = TypeVar("Section")
Chosen = TypeVar("Chosen")
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$(?:\.(?P<key>\w+))?(?P<rest>.*)`)?", re.DOTALL)
_WORDS = {
    " | null": "",
    "`object`": "a mapping",
    "`array`": "a list",
    "`null`": "nothing",
    "`": "",
}


def section(
    data: Mapping[Any, Any] | None,
    path: str,
    struct: type[Section],
    unsupported: Mapping[str, Unsupported] | None = None,
    *,
    diagnostics: Diagnostics | None = None,
) -> Section:
    """Convert `data` to `struct`; a key without a value counts as left out.

    Args:
        data: the section; None for an empty one.
        path: the place of the section in the recipe, such as `sink.config`.
        struct: the struct, whose fields are the known keys.
        unsupported: further keys that are known, but accepted with a harmless value only, or without effect.
        diagnostics: what keeps the errors, so that a wrong key counts as left out, and notes.

    Raises:
        SettingsError: a key is unknown or its value wrong, and there are no `diagnostics`. The message has its path,
            and no value: it may be a secret.
    """
    kept = Diagnostics() if diagnostics is None else diagnostics
    fields = {field.name: field for field in msgspec.structs.fields(struct)}  # type: ignore[arg-type]
    given = {} if data is None else dict(data)
    for key in [key for key in given if key not in fields]:
        if (known := (unsupported or {}).get(key)) is None:
            kept.error(_unknown(key, path, [*fields, *(unsupported or {})]))
        else:
            _diagnose_unsupported(known, given[key], _path_of(struct, path, key), kept)
        del given[key]
    stated = {key: value for key, value in given.items() if not _left_out(value, fields[key].default)}
    converted = _convert(stated, path, struct, fields, kept)
    if diagnostics is None:
        kept.raise_errors()
    return converted


def _diagnose_unsupported(known: Unsupported, value: Any, where: str, diagnostics: Diagnostics) -> None:
    """Say of an official key that is no option here: it has no effect, or its value is not supported."""
    if not known.without_effect and not known.accepts(value):
        diagnostics.error(SettingsError(f"{where}: {known.why}"))
    elif known.without_effect and value is not None:
        diagnostics.note(f"{where} has no effect: {known.why}")


def _convert(
    known: dict[str, Any],
    path: str,
    struct: type[Section],
    fields: Mapping[str, msgspec.structs.FieldInfo],
    diagnostics: Diagnostics,
) -> Section:
    """Convert the known keys; one whose value is wrong is left out, so that the next one is found too."""
    while True:
        try:
            return msgspec.convert(known, struct, strict=False, dec_hook=_special)
        except msgspec.ValidationError as error:
            sentence, key = _sentence(str(error), path, struct, fields)
            if key not in known:
                raise SettingsError(sentence) from None
            diagnostics.error(SettingsError(sentence))
            del known[key]


def choose(value: str, known: Mapping[str, Chosen], path: str, diagnostics: Diagnostics) -> Chosen:
    """Return what the type of the section at `path` names. Raises SettingsError with the nearest known name."""
    if not value and not diagnostics.has_error_at(f"{path}:", f"{path}.type:"):
        raise SettingsError(f"{path}: there must be a key type.", f"Known are: {', '.join(sorted(known))}.")
    if value and value not in known:
        raise SettingsError(f"{path}.type: unknown type {value!r}.", _nearest(value, known))
    return known[value or next(iter(known))]


def _path_of(struct: type, path: str, key: str) -> str:
    """Return how messages name a key: by its path, or as a struct that is no part of a recipe says."""
    name_of = getattr(struct, "name_of", None)
    return f"{path}.{key}".lstrip(".") if name_of is None else str(name_of(key))


def _left_out(value: Any, default: Any) -> bool:
    """True for no value, and for the empty text of `${NAME:-}` if the option has no default."""
    return value is None or (value == "" and default is None)


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
    if isinstance(value, kind):
        return value
    if kind is Secret:
        # Not of a number: YAML reads 0123 as 83.
        if isinstance(value, str):
            return Secret(value)
        raise ValueError(f"Expected a text in quotes, got `{_kind(value)}`")
    if kind is Duration and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return duration(str(value))
    if kind is Since and isinstance(value, (str, int, float, date)) and not isinstance(value, bool):
        return since(str(value))
    if kind is Size and isinstance(value, (str, int)) and not isinstance(value, bool):
        return size(str(value))
    if kind is Path and isinstance(value, str):
        return _local_path(value)
    raise ValueError(f"Expected `str`, got `{_kind(value)}`")


def _local_path(text: str) -> Path:
    if not text:
        raise ValueError("Expected a path, got an empty text")
    if "://" in text:
        raise ValueError("Expected a path on this machine, got a URL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("Expected a path, got ~ of a user who is not known here") from None


def _sentence(
    message: str, path: str, struct: type, fields: Mapping[str, msgspec.structs.FieldInfo]
) -> tuple[str, str]:
    """Return msgspec's message in the words of a recipe, with the path as it is written there, and the key."""
    match = _AT.fullmatch(message)
    what, key, rest = match.group("what", "key", "rest") if match else (message, None, None)
    if key is not None and what.startswith("Invalid enum value"):
        what = f"expected one of {', '.join(_choices(fields[key].type))}"
    what = what[:1].lower() + what[1:]
    for theirs, ours in _WORDS.items():
        what = what.replace(theirs, ours)
    where = path if key is None else _path_of(struct, path, key)
    return f"{where}{rest or ''}: {what}.".lstrip(": "), key or ""


def _choices(kind: Any) -> list[str]:
    """Return the values of an enum or a Literal, optional or not."""
    if isinstance(kind, EnumType):
        return [str(member.value) for member in kind]  # type: ignore[var-annotated]
    return [choice for each in get_args(kind) for choice in ([each] if isinstance(each, str) else _choices(each))]


def _kind(value: object) -> str:
    return {"NoneType": "nothing", "list": "a list", "dict": "a mapping"}.get(
        type(value).__name__, type(value).__name__
    )
