"""A check: connects to both servers as a crawl would, and returns what it would find, or what is wrong."""

from collections.abc import Callable, Sequence
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
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.decoding import Row
from crawler.mlflow.entities import ModelVersion, RegisteredModel
from crawler.mlflow.resources import EXPERIMENTS, MODEL_VERSIONS, REGISTERED_MODELS, Resource
from crawler.pipeline.entities import open_mlflow
from crawler.pipeline.listings import Listings
from crawler.pipeline.privileges import NEEDED, MissingPrivilege, missing_privileges
from crawler.pipeline.run_choice import RunChoice
from crawler.pipeline.run_filter import try_run_filter
from crawler.pipeline.workspaces import OF_ONE_WORKSPACE, NamesWorkspace, choose_workspaces
from crawler.settings.crawl import Settings
from crawler.settings.selection import Selection
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import Endpoint, FileSettings, LiteSettings, RestSettings, SinkSettings
from crawler.sinks.lite import require_package
from crawler.telemetry.events import Listener, WorkspacesChosen
from crawler.telemetry.findings.reading import NOTHING_LISTED, WORKSPACE_UNREAD
from crawler.telemetry.report import Report
from crawler.telemetry.tally import FindingSummary

ATTEMPTS = 2
_NOTHING = {
    Endpoint.RESTLI: WriteRequest(restli.PATH, restli.body([], asynchronous=False), restli.HEADERS),
    Endpoint.OPENAPI: WriteRequest(openapi.path("tag", asynchronous=False), b"[]"),
}
"""Writes of no proposal at all, through each endpoint."""


class MlflowCheck(msgspec.Struct):
    """What MLflow was found to be; UNSET where `error` ended the check before.

    `version` is None before MLflow 2.0. A count is None where the server does not give that listing; experiments
    include deleted ones. `workspaces` are those that would be read and those that are not chosen, where MLflow has any;
    the counts are those of all that would be read. `left_out` counts those of these rows that are not chosen, by
    listing. `more` names the listings that have more rows than were counted: only a page of each is read.
    """

    url: str | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    workspaces: WorkspacesChosen | UnsetType | None = UNSET
    registered_models: int | UnsetType | None = UNSET
    model_versions: int | UnsetType | None = UNSET
    experiments: int | UnsetType | None = UNSET
    left_out: dict[str, int] = {}
    more: list[str] = []
    error: CrawlerError | None = None


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
    mlflow = await _check_mlflow(settings, report)
    output = await _check_output(settings.sink, checkpoint_of, report)
    return CheckResult(mlflow, output, report.failures, report.warnings)


def _checkpoint_in_sink(settings: Settings) -> str | None:
    """Return the pipeline whose checkpoint a crawl reads from the sink, if it does."""
    removal = settings.removal
    if removal is None or removal.ignore_old_state or removal.checkpoint != settings.sink.server:
        return None
    return settings.pipeline_name


async def _check_mlflow(settings: Settings, report: Report) -> MlflowCheck:
    found = MlflowCheck()
    try:
        async with open_mlflow(settings.mlflow, report.mlflow, report.time) as client:
            found.url = client.url
            found.version = await client.version()
            selection = settings.selection
            names = await choose_workspaces(client, found.version, selection.workspace_pattern, report)
            found.workspaces = report.workspaces
            if names:
                client.use_workspace(names[0])
            await try_run_filter(client, selection.run_filter)
            if await _count_all(client, names, found, selection, report):
                report(NOTHING_LISTED.found())
    except CrawlerError as error:
        found.error = error
    return found


async def _count_all(
    client: MlflowClient, names: Sequence[str], found: MlflowCheck, selection: Selection, report: Report
) -> bool:
    """Count all workspaces, or a server without any. Returns whether there is nothing."""
    if not names:
        return await _count(client, found, selection, report)
    are_empty = True
    failed = 0
    for name in names:
        client.use_workspace(name)
        listener = report if len(names) == 1 else NamesWorkspace(report, name)
        try:
            are_empty &= await _count(client, found, selection, listener)
        except OF_ONE_WORKSPACE as error:
            failed += 1
            if failed == len(names):
                raise
            report(WORKSPACE_UNREAD.found(f"{name}: {error}"))
    return are_empty


async def _count(client: MlflowClient, found: MlflowCheck, selection: Selection, listener: Listener) -> bool:
    """Count the first page of each listing, which is all of it where no other one follows."""
    listings = Listings(client, listener)
    choice = RunChoice(selection)

    def has_model(row: RegisteredModel | ModelVersion) -> bool:
        return selection.include.registered_models and selection.registered_model_pattern.allows(row.name)

    models = await _first_rows(listings, REGISTERED_MODELS, found, has_model)
    versions = await _first_rows(listings, MODEL_VERSIONS, found, has_model)
    experiments = await _first_rows(listings, EXPERIMENTS, found, choice.chooses_experiment)
    await listings.require_any()
    found.registered_models = _added(found.registered_models, models)
    found.model_versions = _added(found.model_versions, versions)
    found.experiments = _added(found.experiments, experiments)
    if listings.wants_filter(MODEL_VERSIONS):
        # A crawl asks for the versions of each model.
        listings.forgive(MODEL_VERSIONS)
    listings.tell_failures()
    return listings.are_empty


def _added(count: int | UnsetType | None, more: int | None) -> int | None:
    """Return the count of all workspaces up to now; None where none of them has the listing."""
    if count is UNSET or count is None:
        return more
    return count + (more or 0)


async def _first_rows(
    listings: Listings, resource: Resource[Row], found: MlflowCheck, chooses: Callable[[Row], bool]
) -> int | None:
    """Return the number of rows on the first page; None where there is none."""
    async for step in listings.steps(resource):
        if not step.is_last and resource.name not in found.more:
            found.more.append(resource.name)
        if left_out := sum(not chooses(row) for row in step.rows):
            found.left_out[resource.name] = found.left_out.get(resource.name, 0) + left_out
        return len(step.rows)
    return None


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
