"""The options of a layer that give one secret: itself, a file or a command, of which one may be set."""

from collections.abc import Mapping

from crawler.config.layers import Layer
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret, SecretSource
from crawler.secrets.sources import read_secret
from crawler.settings.diagnostics import Diagnostics


def secret_options(name: str) -> tuple[str, str, str]:
    """Return the three options that can give one secret: the secret itself, a file, a command."""
    return name, f"{name}_file", f"{name}_command"


def has_secret(layer: Layer, name: str) -> bool:
    """True if a layer says where a secret is, even if it is not there."""
    return any(layer[option] for option in secret_options(name))


def find_secret(layer: Layer, name: str) -> tuple[Secret | None, SecretSource | None]:
    """Return a secret of a layer, wherever it is kept, and where it can be read again.

    Raises SettingsError with the option's name.
    """
    given, file, command = secret_options(name)
    if layer[file] is not None:
        source = SecretSource(option=layer.name_of(file), file=layer[file])
    elif layer[command] is not None:
        source = SecretSource(option=layer.name_of(command), command=layer[command])
    else:
        return layer[given], None
    return read_secret(source), source


def with_one_secret(layer: Layer, name: str, diagnostics: Diagnostics) -> Layer:
    """Return the layer, without a secret that it gives in more than one way, which is an error."""
    options = secret_options(name)
    with diagnostics:
        require_one({layer.name_of(option): layer[option] for option in options})
        return layer
    return layer.without(options)


def require_one(given: Mapping[str, object]) -> None:
    """Raise SettingsError if more than one of the options, by name, is given: they mean the same secret."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise SettingsError(f"{' and '.join(names)} give the same secret twice.", "Leave one of them out.")
