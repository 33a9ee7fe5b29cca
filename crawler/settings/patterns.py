"""Names that are allowed or denied by regular expressions, as acryl-datahub's `AllowDenyPattern` does it. Pure."""

import re

import msgspec


class AllowDenyPattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which names are chosen: of workspaces, experiments, registered models or runs.

    The text under a field is its line in docs/recipe.md, as in `crawler.config.sections`.
    """

    allow: tuple[str, ...] = (".*",)
    """Regular expressions; a name is left out if none of them matches its beginning. `$` stands for its end."""
    deny: tuple[str, ...] = ()
    """Regular expressions; a name is left out if one of them matches its beginning, whatever `allow` says."""
    ignoreCase: bool = True  # noqa: N815  the official name
    """Make no difference between upper and lower case."""

    @property
    def allows_all(self) -> bool:
        """Whether every name is chosen, as far as that shows without trying."""
        return not self.deny and ".*" in self.allow

    def allows(self, name: str) -> bool:
        """Return whether a name is chosen. A match need not reach its end: `prod` matches `production`."""
        return not self._matches(self.deny, name) and self._matches(self.allow, name)

    def _matches(self, expressions: tuple[str, ...], name: str) -> bool:
        flags = re.IGNORECASE if self.ignoreCase else re.NOFLAG
        return any(re.match(expression, name, flags) for expression in expressions)


ALL = AllowDenyPattern()
"""Every name is chosen."""


def problem_of(expression: str) -> str | None:
    """Return why a text is no regular expression, None if it is one."""
    try:
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None
