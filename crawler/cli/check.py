"""`check`: reaches both servers and says what a crawl would find, or what is wrong."""

import argparse
import asyncio
import sys
from typing import Any

from msgspec import structs

from crawler.cli.settings import settings_of
from crawler.config.settings import Endpoint, FileSettings, LiteSettings, RestSettings, ServerSettings, Settings
from crawler.crawl.run import open_mlflow
from crawler.datahub.client import GmsClient
from crawler.datahub.versions import require_openapi
from crawler.errors import CrawlerError, ExitCode, OutputError
from crawler.http import Server
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.refusals import ExperimentsMissing, RegistryMissing
from crawler.mlflow.resources import EXPERIMENTS, MODEL_VERSIONS, REGISTERED_MODELS, Resource
from crawler.telemetry.findings import UNREADABLE
from crawler.telemetry.logs import configure_logging, printable
from crawler.telemetry.report import CrawlReport

ATTEMPTS = 2
NO_PATIENCE = 0.0


def check_command(arguments: argparse.Namespace) -> ExitCode:
    """Checks both sides, also when the first is wrong; gives the worse of their exit codes."""
    configure_logging("text", verbose=arguments.verbose)
    return asyncio.run(_check(_impatient(settings_of(arguments))))


def _impatient(settings: Settings) -> Settings:
    """With few retries: whoever checks wants to hear of an outage, not to sit it out."""

    def hasty(server: ServerSettings) -> ServerSettings:
        return structs.replace(server, attempts=ATTEMPTS, patience=NO_PATIENCE)

    mlflow = structs.replace(
        settings.mlflow,
        tracking=hasty(settings.mlflow.tracking),
        registry=settings.mlflow.registry and hasty(settings.mlflow.registry),
    )
    sink = settings.sink
    if isinstance(sink, RestSettings):
        sink = structs.replace(sink, server=hasty(sink.server))
    return structs.replace(settings, mlflow=mlflow, sink=sink)


async def _check(settings: Settings) -> ExitCode:
    report = CrawlReport(settings.run_id)
    worst = ExitCode.OK
    for check in (_check_mlflow, _check_sink):
        try:
            await check(settings, report)
        except CrawlerError as error:
            _say(f"  wrong: {error}")
            worst = max(worst, error.exit_code)
    for finding in report.failures:
        _say(f"  wrong: {finding.message} ({finding.count}: {', '.join(finding.samples)})")
        worst = max(worst, ExitCode.FAILURES)
    return ExitCode(worst)


async def _check_mlflow(settings: Settings, report: CrawlReport) -> None:
    async with open_mlflow(settings.mlflow, report) as client:
        _say(f"MLflow at {client.url}")
        version = await client.version()
        _say(f"  version {version or 'not told (older than 2.0)'}")
        try:
            models = await _count(client, REGISTERED_MODELS, report)
            versions = await _count(client, MODEL_VERSIONS, report)
        except RegistryMissing:
            _say("  no model registry: its data is kept where none can be")
        else:
            _say(f"  {models} registered models, {versions} model versions")
        try:
            experiments = await _count(client, EXPERIMENTS, report)
        except ExperimentsMissing:
            _say("  older than 1.28.0: experiments and runs cannot be listed and would be skipped")
        else:
            _say(f"  {experiments} experiments, deleted ones included")


async def _check_sink(settings: Settings, report: CrawlReport) -> None:
    if isinstance(settings.sink, FileSettings | LiteSettings):
        _say("Output")
        _say(f"  {settings.sink.path}")
        return
    await _check_datahub(settings.sink, report)


async def _check_datahub(sink: RestSettings, report: CrawlReport) -> None:
    async with Server("DataHub", sink.server, report.datahub) as server:
        client = GmsClient(server)
        _say(f"DataHub at {server.url}")
        version = await client.version()
        _say(f"  version {version or 'not told'}")
        if sink.endpoint is Endpoint.OPENAPI:
            require_openapi(version)
        await client.require_credentials()
        _say("  credentials accepted" if sink.server.token else "  no token needed")


def _say(line: str) -> None:
    """Names and versions from servers must play no tricks on a terminal."""
    try:
        sys.stdout.write(f"{printable(line)}\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"Standard output cannot be written: {error.strerror}.", "Make room there.") from None


async def _count(client: MlflowClient, resource: Resource[Any], report: CrawlReport) -> int:
    rows = 0
    async for step in client.pages(resource):
        rows += len(step.rows)
        for sample in step.unreadable:
            report.fail(UNREADABLE[resource.name].code, UNREADABLE[resource.name].message, sample)
    return rows
