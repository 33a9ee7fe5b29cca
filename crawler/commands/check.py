"""`check`: reaches both servers and says what a crawl would find, or what is wrong."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

from msgspec import structs

from crawler.commands.settings import settings_of
from crawler.datahub.client import GmsClient
from crawler.datahub.versions import require_openapi
from crawler.errors import CrawlerError, ExitCode
from crawler.http import Server
from crawler.logs import configure_logging
from crawler.mlflow.client import ExperimentsMissing, RegistryMissing
from crawler.pipeline import open_mlflow
from crawler.report import CrawlReport
from crawler.settings import Endpoint, FileSettings, LiteSettings, RestSettings, Settings

ATTEMPTS = 2


def check_command(arguments: argparse.Namespace) -> ExitCode:
    """Checks both sides, also when the first is wrong; gives the worse of their exit codes."""
    configure_logging("text", verbose=arguments.verbose)
    return asyncio.run(_check(_impatient(settings_of(arguments))))


def _impatient(settings: Settings) -> Settings:
    """With few retries: whoever checks wants to hear of an outage, not to sit it out."""
    mlflow = structs.replace(
        settings.mlflow,
        tracking=structs.replace(settings.mlflow.tracking, attempts=ATTEMPTS),
        registry=settings.mlflow.registry and structs.replace(settings.mlflow.registry, attempts=ATTEMPTS),
    )
    sink = settings.sink
    if isinstance(sink, RestSettings):
        sink = structs.replace(sink, server=structs.replace(sink.server, attempts=ATTEMPTS))
    return structs.replace(settings, mlflow=mlflow, sink=sink)


async def _check(settings: Settings) -> ExitCode:
    report = CrawlReport(settings.run_id)
    worst = ExitCode.OK
    for check in (_check_mlflow, _check_sink):
        try:
            await check(settings, report)
        except CrawlerError as error:
            sys.stdout.write(f"  wrong: {error}\n")
            worst = max(worst, error.exit_code)
    for finding in report.failures:
        sys.stdout.write(f"  wrong: {finding.message} ({finding.count}: {', '.join(finding.samples)})\n")
        worst = max(worst, ExitCode.FAILURES)
    return ExitCode(worst)


async def _check_mlflow(settings: Settings, report: CrawlReport) -> None:
    async with open_mlflow(settings.mlflow, report) as client:
        sys.stdout.write(f"MLflow at {client.url}\n")
        version = await client.version()
        sys.stdout.write(f"  version {version or 'not told (older than 2.0)'}\n")
        try:
            models = await _count(client.registered_models())
            versions = await _count(client.model_versions())
        except RegistryMissing:
            sys.stdout.write("  no model registry: its data is kept where none can be\n")
        else:
            sys.stdout.write(f"  {models} registered models, {versions} model versions\n")
        try:
            experiments = await _count(client.experiments())
        except ExperimentsMissing:
            sys.stdout.write("  older than 1.28.0: experiments and runs cannot be listed and would be skipped\n")
        else:
            sys.stdout.write(f"  {experiments} experiments, deleted ones included\n")


async def _check_sink(settings: Settings, report: CrawlReport) -> None:
    if isinstance(settings.sink, FileSettings | LiteSettings):
        sys.stdout.write(f"Output\n  {settings.sink.path}\n")
        return
    await _check_datahub(settings.sink, report)


async def _check_datahub(sink: RestSettings, report: CrawlReport) -> None:
    async with Server("DataHub", sink.server, report.datahub) as server:
        client = GmsClient(server)
        sys.stdout.write(f"DataHub at {server.url}\n")
        version = await client.version()
        sys.stdout.write(f"  version {version or 'not told'}\n")
        if sink.endpoint is Endpoint.OPENAPI:
            require_openapi(version)
        await client.require_credentials()
        sys.stdout.write("  credentials accepted\n" if sink.server.token else "  no token needed\n")


async def _count(pages: AsyncIterator[Sequence[object]]) -> int:
    return sum([len(page) async for page in pages])
