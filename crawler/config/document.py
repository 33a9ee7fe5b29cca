"""Reading a recipe: the YAML that `datahub ingest` takes. What is wrong is told by its place, not by its words."""

import re
from pathlib import Path
from typing import Any

import yaml

from crawler.errors import SettingsError

_WORDS_OF_THE_FILE = re.compile(r"(alias|anchor|tag|handle|character) ['\"].*")
_QUOTES = "A text that begins with one of * & ! @ % ` needs quotes."


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last, and a mapping that contains itself."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        # Everything is made at once, from the inside to the outside.
        self.deep_construct = True

    def compose_mapping_node(self, anchor: Any) -> Any:
        """The node, as long as its own keys differ; keys that `<<` merges into it come later, and may."""
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
        """The value. `!!int abc` or a day like 2024-02-31 fails in many ways, some of which quote the file."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            raise yaml.constructor.ConstructorError(
                None, None, "a value is not what it looks like", node.start_mark
            ) from None


def read_document(path: Path, name: str = "recipe") -> dict[Any, Any]:
    """The file's mapping, with nothing in it expanded. Raises SettingsError for what is no readable YAML mapping."""
    try:
        document = yaml.load(path.read_bytes(), _StrictLoader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise SettingsError(
            f"Cannot read the {name} {path}: {error.strerror}.", "Check its path and permissions."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"The {name} {path} is not YAML: {_what_and_where(error)}.", _hint(error)) from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(
            f"The {name} {path} is not YAML: it holds a character that no text has (position {error.position})."
        ) from None
    except RecursionError:
        raise SettingsError(f"The {name} {path} is not YAML: it is nested too deeply.") from None
    if not isinstance(document, dict):
        raise SettingsError(
            f"The {name} {path} is {'empty' if document is None else 'no mapping'}.",
            "It must have the keys that datahub expects in it.",
        )
    return document


def _what_and_where(error: yaml.MarkedYAMLError) -> str:
    """In `password: *abc` the words after the place may be a secret."""
    problem = _WORDS_OF_THE_FILE.sub(r"\1", error.problem or "it cannot be read")
    mark = error.problem_mark
    return problem if mark is None else f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


def _hint(error: yaml.MarkedYAMLError) -> str:
    return _QUOTES if _WORDS_OF_THE_FILE.search(error.problem or "") else ""
