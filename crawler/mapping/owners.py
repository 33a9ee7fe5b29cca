"""Tags that name owners → ownership of models, model groups and containers."""

import re
from collections.abc import Iterator, Mapping

from crawler.datahub import urns
from crawler.datahub.aspects.entities import Owner, Ownership
from crawler.settings.mapping import OwnerSettings

USER_TAG = "mlflow.user"
_CUSTOM = "CUSTOM"
_CORP_USER, _CORP_GROUP = "urn:li:corpuser:", "urn:li:corpGroup:"


def ownership(settings: OwnerSettings | None, *tags: Mapping[str, str]) -> Ownership | None:
    """Return who owns what has these tags, the nearest first; None for nobody, or where owners are not wanted."""
    if settings is None:
        return None
    value = next((each[name] for name in settings.tags for each in tags if each.get(name, "").strip()), "")
    is_own_type = settings.type.startswith("urn:")
    owners = [
        Owner(
            owner=urn,
            type=_CUSTOM if is_own_type else settings.type,
            type_urn=settings.type if is_own_type else None,
        )
        for urn in dict.fromkeys(_urns(value, settings))
    ]
    return Ownership(owners=owners) if owners else None


def _urns(value: str, settings: OwnerSettings) -> Iterator[str]:
    """Yield the URNs of the owners in a tag's value, which are separated by commas."""
    for part in value.split(","):
        urn = _urn(part.strip(), settings)
        if urn is not None and urns.problem(urn) is None:
            yield urn


def _urn(name: str, settings: OwnerSettings) -> str | None:
    """Return the URN of one owner; None for one that the pattern leaves out."""
    for prefix in (_CORP_USER, _CORP_GROUP):
        if name.startswith(prefix) and name != prefix:
            return prefix + urns.encoded(name.removeprefix(prefix))
    if settings.pattern is not None:
        match = re.search(settings.pattern, name)
        name = "" if match is None else (match[match.re.groups and 1] or "").strip()
    # A URN of something else, or of nobody, is no name.
    if not name or name.startswith("urn:li:"):
        return None
    domain = f"@{settings.user_domain}" if settings.user_domain and "@" not in name else ""
    return _CORP_USER + urns.encoded(name + domain)
