"""A secret that nobody sees by accident, where it is kept, and the keys of a recipe that hold one."""

from pathlib import Path
from typing import Any

import msgspec

_SECRET_KEYS = frozenset({"password", "token", "secret", "options", "sqlalchemy_uri", "connection_string"})
_SECRET_ENDS = tuple(
    f"{separator}{end}"
    for separator in "_-"
    for end in ("password", "secret", "token", "key", f"key{separator}id", f"connection{separator}string", "command")
)


class Secret:
    """A password or token that prints as `***`; only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep `value` from being shown."""
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the request that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Return `***`."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare the secrets themselves."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Return the hash of the secret itself."""
        return hash(self._value)


class TokenProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of acryl-datahub's token providers.

    Attributes:
        type: its name there, or the import path of a class.
        config: its options, as JSON.
    """

    type: str
    config: Secret


class SecretSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is kept, so that it can be read again: a file, a command or a token provider.

    Attributes:
        option: how messages name the option or variable that says so.
        file: a file that has the secret in its first line.
        command: a command that prints it in its first line.
        provider: what makes a new token each time.
    """

    option: str
    file: Path | None = None
    command: str | None = None
    provider: TokenProvider | None = None


def is_secret_key(key: Any) -> bool:
    """Return whether the value of a key is to be hidden, as acryl-datahub does it (`redact_raw_config`)."""
    return isinstance(key, str) and (key in _SECRET_KEYS or key.endswith(_SECRET_ENDS))
