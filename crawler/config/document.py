"""Reads a recipe from YAML or JSON. Messages have the place of a mistake, and no text of the file: it has secrets."""

import re
from pathlib import Path
from typing import Any

import orjson
import yaml

from crawler.errors import SettingsError

_TEXT_OF_THE_FILE = re.compile(r"(alias|anchor|tag|handle|character) ['\"].*")
_QUOTES = "A text that begins with one of * & ! @ % ` needs quotes."


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last, and a mapping that contains itself."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        # Everything is constructed at once, from the inside to the outside.
        self.deep_construct = True

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping whose own keys differ; keys that `<<` merges into it later may be the same."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                # In braces, `password:secret` is one key to YAML.
                shown = key.value.partition(":")[0]
                raise yaml.composer.ComposerError(None, None, f"the key {shown} is given twice", key.start_mark)
            if name is not None:
                seen.add(name)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Construct a value: `!!int abc` or 2024-02-31 raises many errors, some of which quote the file."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            raise yaml.constructor.ConstructorError(
                None, None, "a value is not what it looks like", node.start_mark
            ) from None


def read_document(path: Path, name: str = "recipe") -> dict[Any, Any]:
    """Read a file that holds one mapping, without expanding anything in it.

    Args:
        path: the file; it is JSON if its name ends with `.json`, otherwise YAML.
        name: how messages name the file.

    Raises:
        SettingsError: the file cannot be read, or holds no mapping.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"Cannot read the {name} {path}: {error.strerror}.", "Check its path and permissions."
        ) from None
    what = f"The {name} {path}"
    document = _from_json(content, what) if path.suffix == ".json" else _from_yaml(content, what)
    if not isinstance(document, dict):
        raise SettingsError(
            f"{what} is {'empty' if document is None else 'no mapping'}.",
            "It must have the keys that datahub expects in it.",
        )
    return document


def _from_json(content: bytes, what: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{what} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None


def _from_yaml(content: bytes, what: str) -> Any:
    try:
        return yaml.load(content, _StrictLoader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"{what} is not YAML: {_problem_and_place(error)}.", _hint(error)) from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(
            f"{what} is not YAML: it holds a character that no text has (position {error.position})."
        ) from None
    except RecursionError:
        raise SettingsError(f"{what} is not YAML: it is nested too deeply.") from None


def _problem_and_place(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong and where, without the text of the file: in `password: *abc` it may be a secret."""
    problem = _TEXT_OF_THE_FILE.sub(r"\1", error.problem or "it cannot be read")
    mark = error.problem_mark
    return problem if mark is None else f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


def _hint(error: yaml.MarkedYAMLError) -> str:
    return _QUOTES if _TEXT_OF_THE_FILE.search(error.problem or "") else ""
