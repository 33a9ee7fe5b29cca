"""Which names are chosen, by regular expressions: DataHub's AllowDenyPattern. Pure."""

import re

import msgspec


class AllowDeny(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which names are chosen.

    Attributes:
        allow: regular expressions, one of which must match a name from its beginning.
        deny: regular expressions, none of which may.
        ignore_case: True if upper and lower case are the same.
    """

    allow: tuple[str, ...] = (".*",)
    deny: tuple[str, ...] = ()
    ignore_case: bool = True

    def allows(self, name: str) -> bool:
        """Return whether a name is chosen."""
        flags = re.IGNORECASE if self.ignore_case else 0
        if any(re.match(pattern, name, flags) for pattern in self.deny):
            return False
        return any(re.match(pattern, name, flags) for pattern in self.allow)


ALL = AllowDeny()
"""Every name is chosen."""
