"""Expands `${VAR}` in the texts of a recipe, as the official loader does."""

import re
from collections.abc import Mapping
from typing import Any

import expandvars

from crawler.errors import SettingsError
from crawler.settings.diagnostics import Diagnostics

_BRACED = re.compile(r"\$\{.+\}")


def expand(
    document: Mapping[Any, Any], environment: Mapping[str, str], diagnostics: Diagnostics | None = None
) -> dict[Any, Any]:
    """Replace `${VAR}`, `${VAR:-default}` and a leading `$VAR` in all texts of a document.

    Only texts are expanded, so a variable's value never changes the structure; no command is run. One copy of the
    environment serves the whole document: `${VAR:=default}` sets a variable for the texts after it.

    Args:
        document: what YAML or JSON was read to.
        environment: the variables.
        diagnostics: what keeps the errors, so that a wrong text counts as left out.

    Raises:
        SettingsError: a text cannot be expanded, and there are no `diagnostics`. The message has the text's path.
    """
    kept = Diagnostics() if diagnostics is None else diagnostics
    expanded: dict[Any, Any] = _expand(document, dict(environment), "", kept)
    if diagnostics is None:
        kept.raise_errors()
    return expanded


def _expand(value: Any, variables: dict[str, str], path: str, diagnostics: Diagnostics) -> Any:
    if isinstance(value, Mapping):
        return {key: _expand(item, variables, f"{path}.{key}".lstrip("."), diagnostics) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variables, f"{path}[{index}]", diagnostics) for index, item in enumerate(value)]
    if isinstance(value, str) and (_BRACED.search(value) or value.startswith("$")):
        with diagnostics:
            return _expand_text(value, variables, path)
        return None
    return value


def _expand_text(text: str, variables: dict[str, str], path: str) -> str:
    try:
        return str(expandvars.expand(text, nounset=True, environ=variables))
    except (expandvars.UnboundVariable, expandvars.ParameterNullOrNotSet) as error:
        if isinstance(error, expandvars.UnboundVariable) and not _BRACED.search(text):
            # A password that begins with a dollar sign: the official loader leaves it as it is.
            return text
        name = str(error.args[0]).partition(":")[0]
        raise SettingsError(
            f"{path}: the variable {name} is not set.", "Set it, or give a default: ${NAME:-default}."
        ) from None
    except (expandvars.ExpandvarsException, ValueError, IndexError, KeyError, RecursionError):
        raise SettingsError(f"{path}: the expression with $ cannot be read.", r"Write \$ for a dollar sign.") from None
