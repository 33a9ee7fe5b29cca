"""The command: which one is run, and how it ends."""

import argparse
import logging
from collections.abc import Callable, Sequence
from importlib import import_module

from crawler.cli.parser import command_parser
from crawler.cli.standard_streams import standard_streams, write_message
from crawler.errors import CrawlerError, ExitCode


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    with standard_streams():
        arguments = command_parser().parse_args(argv)
        try:
            return int(_command(arguments.command)(arguments))
        except CrawlerError as error:
            _report_error(error, log_format=getattr(arguments, "log_format", "text"))
            return int(error.exit_code)
        except KeyboardInterrupt:
            return int(ExitCode.INTERRUPTED)


def _command(name: str) -> Callable[[argparse.Namespace], ExitCode]:
    """Import a command when it is run: --help must not wait for aiohttp."""
    command: Callable[[argparse.Namespace], ExitCode] = getattr(import_module(f"crawler.cli.{name}"), f"{name}_command")
    return command


def _report_error(error: CrawlerError, *, log_format: str) -> None:
    from crawler.telemetry.logs import printable  # noqa: PLC0415  --help must not wait for msgspec

    if log_format == "json":
        logging.getLogger("crawler").error(error)
    else:
        lines = f"mlflow-datahub-crawler: error: {error}".split("\n")
        write_message("\n".join(map(printable, lines)) + "\n")
