"""The settings of owners in DataHub, from `source.config.owner` of a recipe."""

from collections.abc import Mapping
from typing import Any

from crawler.config.sections.source import OwnerOptions
from crawler.config.strict import section
from crawler.errors import SettingsError
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.mapping import OwnerSettings
from crawler.settings.patterns import problem_of

_PATH = "source.config.owner"
OWN_TYPE = "urn:li:ownershipType:"
OWNERSHIP_TYPES = frozenset(
    {
        *("BUSINESS_OWNER", "CONSUMER", "DATAOWNER", "DATA_STEWARD", "DELEGATE"),
        *("DEVELOPER", "NONE", "PRODUCER", "STAKEHOLDER", "TECHNICAL_OWNER"),
    }
)


def load_owner(options: Mapping[Any, Any] | None, diagnostics: Diagnostics) -> OwnerSettings | None:
    """Return how owners are told; None where no owners are wanted. Raises SettingsError."""
    if options is None:
        return None
    owner = section(options, _PATH, OwnerOptions, diagnostics=diagnostics)
    if not owner.tags and not diagnostics.has_error_at(f"{_PATH}:", f"{_PATH}.tags"):
        raise SettingsError(f"{_PATH}: there must be a key tags.", "Name the tags whose values name owners: [owner].")
    if owner.pattern is not None and (problem := problem_of(owner.pattern)):
        raise SettingsError(f"{_PATH}.pattern: no regular expression: {problem}.")
    return OwnerSettings(
        tags=tuple(owner.tags),
        pattern=owner.pattern,
        user_domain=owner.user_domain and owner.user_domain.removeprefix("@"),
        type=_type(owner.type),
    )


def _type(text: str) -> str:
    if text.startswith(OWN_TYPE):
        return text
    if text.upper() not in OWNERSHIP_TYPES:
        raise SettingsError(
            f"{_PATH}.type: DataHub knows no {text!r}.",
            f"Known are: {', '.join(sorted(OWNERSHIP_TYPES))}, and a URN that begins with {OWN_TYPE}.",
        )
    return text.upper()
