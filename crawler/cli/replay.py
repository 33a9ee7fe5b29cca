"""`replay`: sends the proposals of a file, dead letters or a file sink's output, with all that surrounds a crawl."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from msgspec import structs

from crawler.atomic_files import AtomicFile, reason_of
from crawler.cli.job import Limits, run_job
from crawler.cli.output_paths import grows_at, output_of, place_for, require_apart
from crawler.cli.reporting import settings_told, told
from crawler.cli.settings import delivery_settings_of
from crawler.config.settings import DeliverySettings
from crawler.delivery.dead_letters import DEFAULT_PATH
from crawler.errors import ExitCode, SettingsError
from crawler.replay.run import Wanted, replay
from crawler.telemetry.logs import configure_logging
from crawler.telemetry.report import Report

STDIN = Path("-")

_log = logging.getLogger("crawler")


def replay_command(arguments: argparse.Namespace) -> ExitCode:
    """Sends what `arguments.file` holds, writes the report and prints the summary, whatever happens."""
    configure_logging(arguments.log_format, verbose=arguments.verbose)
    report = Report(run_id="")
    place = place_for(arguments.report, "report")
    letters = (arguments.dead_letters or _next_to(arguments.file)).resolve()
    written = {"report": place, "dead_letters": grows_at(letters)}
    _require_apart(arguments.file, **written)
    with settings_told(report, place):
        settings = structs.replace(delivery_settings_of(arguments), dead_letters=letters)
        profile = place_for(arguments.profile, "profile")
        descriptor = _opened(arguments.file)
    # No report is written where this fails: it could be what overwrites another file.
    _require_apart(arguments.file, **written, profile=profile, output=output_of(settings))
    report.run_id = settings.run_id
    report.replayed = arguments.file
    with told(report, arguments, place, profile):
        return _run(settings, descriptor, arguments, report)


def _run(settings: DeliverySettings, descriptor: int, arguments: argparse.Namespace, report: Report) -> ExitCode:
    wanted = Wanted(frozenset(arguments.type or ()), frozenset(arguments.code or ()))

    async def job(stop: asyncio.Event) -> None:
        await replay(settings, descriptor, wanted, report, stop)

    live = sys.stderr.isatty() and not arguments.no_progress
    try:
        return run_job(job, report, Limits(settings.grace, settings.max_duration), live=live)
    finally:
        if arguments.file != STDIN:
            os.close(descriptor)


def _opened(path: Path) -> int:
    """A descriptor of the file, which may be a pipe or `-`. Raises SettingsError."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        return sys.stdin.fileno() if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Cannot read {path}: {reason_of(error)}.", "Give the path of a file of proposals, or - for standard input."
        ) from None


def _next_to(path: Path) -> Path:
    """Where what fails again goes if nobody says: dead-letters.jsonl → dead-letters.2.jsonl, or the next number that is
    free; for a pipe, in the working directory.
    """
    read = path if path != STDIN and path.is_file() else DEFAULT_PATH
    name, _, last = read.stem.rpartition(".")
    if not name or not last.isdecimal():
        name, last = read.stem, "1"
    number = int(last) + 1
    while (free := read.with_name(f"{name}.{number}.jsonl")).exists():
        number += 1
    return free


def _require_apart(read: Path, **written: AtomicFile | None) -> None:
    """Raises SettingsError where a file that is written is another one, or the one that is read, whatever its name."""
    require_apart(**written)
    for name, place in written.items():
        for path in () if place is None else {place.path, place.temp_path}:
            if _is_same(path, read):
                what = name.replace("_", " ")
                raise SettingsError(
                    f"The {what} would be written to {path}, the file that is replayed.", "Give another path."
                )


def _is_same(path: Path, read: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()) if read == STDIN else read.stat())
    except (OSError, ValueError):
        return False
