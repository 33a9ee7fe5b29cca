"""The settings that a command's flags, the environment and a recipe come to."""

import argparse
import os

from crawler.recipe import Flags, load
from crawler.recipe.strict import section
from crawler.settings import Settings


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Raises SettingsError for what cannot be used."""
    given = {field: getattr(arguments, field, None) for field in Flags.__struct_fields__}
    flags = section({field: _text(value) for field, value in given.items()}, "flags", Flags)
    return load(arguments.config, os.environ, flags)


def _text(value: object) -> object:
    return value if value is None or isinstance(value, bool) else str(value)
