"""`replay`: sends the proposals of a file, dead letters or a file sink's output, with all that surrounds a crawl."""

import argparse
import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

from msgspec import structs

from crawler.atomic_files import AtomicFile
from crawler.cli.interruption import Limits
from crawler.cli.output_paths import letters_of, output_of, require_apart
from crawler.cli.reporting import final_report, report_settings_errors
from crawler.cli.run_job import run_job
from crawler.cli.settings import delivery_settings_of
from crawler.errors import ExitCode
from crawler.json_files import place_for
from crawler.pipeline.replay import ReplayFilter, replay
from crawler.proposal_files.input_file import new_dead_letters, open_input, require_not_replayed
from crawler.settings.crawl import DeliverySettings
from crawler.telemetry.logs import configure_logging
from crawler.telemetry.report import Report


def replay_command(arguments: argparse.Namespace) -> ExitCode:
    """Send the proposals of a file, then write the report and print the summary, whatever happens."""
    configure_logging(arguments.log_format, arguments.log_level)
    report = Report(run_id="")
    report.replayed = arguments.file
    place = place_for(arguments.report, "report")
    _require_apart(arguments.file, report=place, **letters_of(arguments.dead_letters))
    with ExitStack() as stack:
        with report_settings_errors(report, place):
            settings = delivery_settings_of(arguments)
            dead_letters = settings.dead_letters or new_dead_letters(arguments.file, settings.run_id)
            settings = structs.replace(settings, dead_letters=dead_letters.resolve())
            profile = place_for(arguments.profile, "profile")
            # Before the event loop runs, a signal can end the wait for the writer of a named pipe.
            descriptor = stack.enter_context(open_input(arguments.file))
        # No report is written where this fails: it could be what overwrites another file.
        written = {"report": place, **letters_of(settings.dead_letters)}
        _require_apart(arguments.file, **written, profile=profile, output=output_of(settings))
        report.run_id = settings.run_id
        with final_report(report, arguments, place, profile):
            return _run(settings, descriptor, arguments, report)


def _run(settings: DeliverySettings, descriptor: int, arguments: argparse.Namespace, report: Report) -> ExitCode:
    only = ReplayFilter(frozenset(arguments.type or ()), frozenset(arguments.code or ()))

    async def job(stop: asyncio.Event) -> None:
        await replay(
            descriptor,
            settings,
            only=only,
            unconfirmed=arguments.unconfirmed,
            any_target=arguments.any_target,
            report=report,
            stop=stop,
        )

    live = sys.stderr.isatty() and not arguments.no_progress and arguments.log_level != "error"
    return run_job(job, report, Limits(settings.grace, settings.max_duration), live=live)


def _require_apart(read: Path, **written: AtomicFile | None) -> None:
    """Raise SettingsError if a file that is written is another one of them, or the one that is read."""
    require_apart(**written)
    for name, place in written.items():
        for path in () if place is None else {place.path, place.temp_path}:
            require_not_replayed(path, name.replace("_", " "), read)
