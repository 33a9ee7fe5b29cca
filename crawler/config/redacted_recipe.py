"""A recipe as others may see it, as in `datahub ingest`, which shows it on DataHub's Ingestion page."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from crawler.secrets.secret import is_secret_key
from crawler.url_credentials import strip_text

HIDDEN = "********"
_MAPPINGS_OF_SECRETS = frozenset({"extra_headers"})
_REFERENCE = re.compile(r"\$\{\w+\}")
"""Nothing else that begins with a dollar sign: a password may, and `${NAME:-default}` may have one as its default."""


def redacted_recipe(document: Mapping[Any, Any]) -> str:
    """Return a recipe, in which no variable is expanded yet, as JSON without its secrets.

    Hidden are the values of keys that acryl-datahub hides (`redact_raw_config`), and headers, commands, and what stands
    before the host of a URL. A reference to a variable is no secret.
    """
    return msgspec.json.encode(_redacted(document), enc_hook=str).decode()


def _redacted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _hidden(item) if is_secret_key(key) else _of_key(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(item) for item in value]
    return strip_text(value) if isinstance(value, str) else value


def _of_key(key: Any, value: Any) -> Any:
    if key in _MAPPINGS_OF_SECRETS and isinstance(value, Mapping):
        return {str(name): _hidden(item) for name, item in value.items()}
    return _redacted(value)


def _hidden(value: Any) -> Any:
    """Return what is shown in place of a secret."""
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return value
    return value if value is None or isinstance(value, bool) or value in ([], {}) else HIDDEN
