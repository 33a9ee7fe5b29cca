"""A check: connects to both servers as a crawl would, and returns what it would find, or what is wrong."""

from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType, structs

from crawler.datahub.client import GmsClient
from crawler.datahub.versions import require_openapi
from crawler.datahub.wire import openapi, restli
from crawler.datahub.wire.protocol import WriteRequest
from crawler.errors import (
    CrawlerError,
    CredentialsRefused,
    DecodeError,
    ExitCode,
    RequestRefused,
    Unreachable,
    WrongServer,
)
from crawler.http import Server
from crawler.pipeline.check_mlflow import MlflowCheck, check_mlflow
from crawler.pipeline.privileges import NEEDED, MissingPrivilege, missing_privileges
from crawler.settings.crawl import Settings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import Endpoint, FileSettings, LiteSettings, RestSettings, SinkSettings
from crawler.sinks.lite import require_package
from crawler.telemetry.report import Report
from crawler.telemetry.tally import FindingSummary

ATTEMPTS = 2
_NOTHING = {
    Endpoint.RESTLI: WriteRequest(restli.PATH, restli.body([], asynchronous=False), restli.HEADERS),
    Endpoint.OPENAPI: WriteRequest(openapi.path("tag", asynchronous=False), b"[]"),
}
"""Writes of no proposal at all, through each endpoint."""


class DatahubCheck(msgspec.Struct):
    """What DataHub was found to be; UNSET where `error` ended the check before.

    `version` is None where DataHub does not tell it. `token_accepted` is False where none is given and none is needed.
    `queue_lag` is how many proposals are in its queue, None where it does not tell, or not to this user.
    `missing_privileges` are those that its user lacks for what the settings ask.
    """

    url: str | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    token_accepted: bool | UnsetType = UNSET
    queue_lag: int | UnsetType | None = UNSET
    missing_privileges: list[MissingPrivilege] = []
    error: CrawlerError | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """What `check` found. `output` is DataHub or a file's path.

    `warnings` and `failures` say what of MLflow is missing, empty or cannot be read, as in the report of a crawl.
    """

    mlflow: MlflowCheck
    output: DatahubCheck | Path
    failures: list[FindingSummary]
    warnings: list[FindingSummary] = []

    @property
    def errors(self) -> list[CrawlerError]:
        """What is wrong with the servers."""
        error = None if isinstance(self.output, Path) else self.output.error
        return [each for each in (self.mlflow.error, error) if each is not None]

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the worst that was found."""
        codes = [error.exit_code for error in self.errors]
        return max(codes, default=ExitCode.FAILURES if self.failures or self._lacks_needed_privilege else ExitCode.OK)

    @property
    def _lacks_needed_privilege(self) -> bool:
        return isinstance(self.output, DatahubCheck) and any(
            each.to in NEEDED for each in self.output.missing_privileges
        )


async def check(settings: Settings) -> CheckResult:
    """Check MLflow and the output, also if the first is wrong. Errors are in the result. Nothing is written.

    Example:
        result = await check(load("recipe.yml"))
        print(result.mlflow.version, result.mlflow.experiments, result.errors)
    """
    checkpoint_of = _checkpoint_in_sink(settings)
    settings = _impatient(settings)
    report = Report(settings.run_id)
    mlflow = await check_mlflow(settings, report)
    output = await _check_output(settings.sink, checkpoint_of, report)
    return CheckResult(mlflow, output, report.failures, report.warnings)


def _checkpoint_in_sink(settings: Settings) -> str | None:
    """Return the pipeline whose checkpoint a crawl reads from the sink, if it does."""
    removal = settings.removal
    if removal is None or removal.ignore_old_state or removal.checkpoint != settings.sink.server:
        return None
    return settings.pipeline_name


async def _check_output(sink: SinkSettings, checkpoint_of: str | None, report: Report) -> DatahubCheck | Path:
    if isinstance(sink, FileSettings):
        return sink.output_file
    found = DatahubCheck()
    try:
        if isinstance(sink, LiteSettings):
            require_package(sink)
            return sink.output_file
        async with Server("DataHub", sink.server, report.datahub) as server:
            client = GmsClient(server)
            found.url = server.url
            found.version = await client.version()
            if sink.endpoint is Endpoint.OPENAPI:
                require_openapi(found.version)
            await client.require_batches(_NOTHING[sink.endpoint])
            found.token_accepted = sink.server.token is not None
            found.queue_lag = await _queue_lag(client)
            found.missing_privileges = await missing_privileges(client, sink, checkpoint_of)
    except CrawlerError as error:
        found.error = error
    return found


async def _queue_lag(client: GmsClient) -> int | None:
    try:
        return (await client.queue_offsets()).lag
    except (RequestRefused, DecodeError, CredentialsRefused, Unreachable, WrongServer):
        return None


def _impatient(settings: Settings) -> Settings:
    """Retry little and wait for no outage: whoever checks wants to hear of it."""

    def impatient(server: ServerSettings) -> ServerSettings:
        return structs.replace(server, attempts=ATTEMPTS, patience=0.0)

    mlflow = structs.replace(
        settings.mlflow,
        tracking=impatient(settings.mlflow.tracking),
        registry=settings.mlflow.registry and impatient(settings.mlflow.registry),
    )
    sink = settings.sink
    if isinstance(sink, RestSettings):
        sink = structs.replace(sink, server=impatient(sink.server))
    return structs.replace(settings, mlflow=mlflow, sink=sink)
