"""`config schema`: prints the JSON Schema of a recipe."""

import argparse
import json

from crawler.cli.standard_streams import write_output
from crawler.config.recipe_schema import recipe_schema
from crawler.errors import ExitCode


def config_command(_arguments: argparse.Namespace) -> ExitCode:
    """Print the schema."""
    write_output(f"{json.dumps(recipe_schema(), indent=2)}\n")
    return ExitCode.OK
