"""A crawl or a replay as the job of a process: with progress for its user, to an exit code."""

import asyncio
import gc

from crawler.cli.interruption import Interruption, Job, Limits
from crawler.errors import CrawlerError, ExitCode, Interrupted
from crawler.telemetry.findings.delivery import OUT_OF_TIME
from crawler.telemetry.findings.kind import error_found
from crawler.telemetry.progress import show_progress
from crawler.telemetry.report import Report

OBJECTS_BETWEEN_COLLECTIONS = 20_000

_EXIT_CODES = {"success": ExitCode.OK, "unconfirmed": ExitCode.UNCONFIRMED, "failures": ExitCode.FAILURES}


def run_job(job: Job, report: Report, limits: Limits, *, live: bool) -> ExitCode:
    """Run a job to its end, an error, a signal or its time limit, and finish the report."""
    interruption = Interruption(limits)
    _collect_garbage_seldom()
    try:
        asyncio.run(_with_progress(job, report, interruption, live=live))
    except (Interrupted, asyncio.CancelledError):
        if interruption.out_of_time:
            report(OUT_OF_TIME.found())
        report.finish("interrupted")
        return interruption.exit_code
    except CrawlerError as error:
        report(error_found(error))
        report.finish("failed")
        return ExitCode(error.exit_code)
    report.finish()
    return _EXIT_CODES[report.status]


def _collect_garbage_seldom() -> None:
    """Spare the tenth of a crawl's CPU in which cycles are looked for among the objects of pages, which have none."""
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


async def _with_progress(job: Job, report: Report, interruption: Interruption, *, live: bool) -> None:
    async with show_progress(report, live=live):
        await interruption.run(job)
