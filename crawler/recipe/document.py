"""Reading a recipe: YAML as `datahub ingest` takes it, with `${VAR}` expanded in its texts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.errors import SettingsError

_BRACED = re.compile(r"\$\{.+\}")
_WORDS_OF_THE_FILE = re.compile(r"(alias|anchor|tag|handle) ['\"].*")


def read_document(path: Path, name: str = "recipe") -> dict[str, Any]:
    """The file's mapping, not yet expanded. Raises SettingsError for what is no readable YAML mapping."""
    import yaml  # noqa: PLC0415  only a recipe needs it

    try:
        document = yaml.load(path.read_bytes(), _strict_loader())  # noqa: S506  a SafeLoader
    except OSError as error:
        raise SettingsError(
            f"Cannot read the {name} {path}: {error.strerror}.", "Check its path and permissions."
        ) from None
    except yaml.YAMLError as error:
        raise SettingsError(f"The {name} {path} is not YAML: {_where(error)}.", _hint(error)) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise SettingsError(f"The {name} {path} is not YAML: {error}.") from None
    if not isinstance(document, dict):
        raise SettingsError(f"The {name} {path} is no mapping.", "It must have the keys that datahub expects in it.")
    return document


def expand(value: Any, environment: Mapping[str, str], path: str = "") -> Any:
    """The value with `${VAR}`, `${VAR:-default}` and a leading `$VAR` replaced in all its texts, as officially.

    Only texts are expanded, so a variable's value never changes the recipe's structure, and nothing is ever run.
    """
    if isinstance(value, dict):
        return {key: expand(item, environment, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environment, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str) and (_BRACED.search(value) or value.startswith("$")):
        return _expand_text(value, environment, path)
    return value


def _expand_text(text: str, environment: Mapping[str, str], path: str) -> str:
    import expandvars  # noqa: PLC0415  only a recipe needs it

    try:
        return str(expandvars.expand(text, nounset=True, environ=dict(environment)))
    except (expandvars.UnboundVariable, expandvars.ParameterNullOrNotSet) as error:
        if not _BRACED.search(text):
            # A password that begins with a dollar sign: the official loader takes it as it is.
            return text
        name = str(error.args[0]).partition(":")[0]
        raise SettingsError(
            f"{path}: the variable {name} is not set.", "Set it, or give a default: ${NAME:-default}."
        ) from None
    except (expandvars.ExpandvarsException, ValueError, IndexError, KeyError, RecursionError):
        raise SettingsError(f"{path}: the expression with $ cannot be read.", r"Write \$ for a dollar sign.") from None


def _strict_loader() -> type[Any]:
    import yaml  # noqa: PLC0415  only a recipe needs it

    class StrictLoader(yaml.SafeLoader):
        """Refuses a key that is given twice, of which YAML would silently take the last."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} is given twice", key_node.start_mark
                )
            seen.add(key)
        loader.flatten_mapping(node)
        constructed: dict[Any, Any] = loader.construct_mapping(node, deep=True)
        return constructed

    StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return StrictLoader


def _where(error: Any) -> str:
    """What is wrong and where, without words of the file: in `password: *abc` they may be a secret."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    problem = _WORDS_OF_THE_FILE.sub(r"\1", problem)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else str(problem)


def _hint(error: Any) -> str:
    quoting = _WORDS_OF_THE_FILE.search(getattr(error, "problem", None) or "")
    return "A text that begins with *, & or ! needs quotes." if quoting else ""
