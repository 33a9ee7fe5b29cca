"""The settings of a command from its flags, a recipe and the environment."""

import argparse

from crawler.config.flags import Flags
from crawler.config.load import Explained, load, load_delivery, load_explained
from crawler.config.strict import section
from crawler.settings.crawl import DeliverySettings, Settings


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings of a crawl. Raises SettingsError."""
    return load(arguments.config, flags=_flags(arguments))


def explained_settings_of(arguments: argparse.Namespace) -> Explained:
    """Return the settings of a crawl, and where each is from. Raises SettingsError."""
    return load_explained(arguments.config, flags=_flags(arguments))


def delivery_settings_of(arguments: argparse.Namespace) -> DeliverySettings:
    """Return the settings of a replay, which reads no MLflow. Raises SettingsError."""
    return load_delivery(arguments.config, flags=_flags(arguments))


def _flags(arguments: argparse.Namespace) -> Flags:
    given = {field: getattr(arguments, field, None) for field in Flags.__struct_fields__}
    return section({field: _text(value) for field, value in given.items()}, "flags", Flags)


def _text(value: object) -> object:
    return value if value is None or isinstance(value, bool) else str(value)
