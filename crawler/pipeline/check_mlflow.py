"""What a check finds on MLflow: one page of each listing that a crawl would read, counted."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from crawler.errors import CrawlerError
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.decoding import Row
from crawler.mlflow.entities import Experiment, ModelVersion, RegisteredModel
from crawler.mlflow.paging.by_creation import LoggedModelCursor
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.resources import (
    EVALUATION_DATASETS,
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    PROMPT_VERSIONS,
    PROMPTS,
    REGISTERED_MODELS,
    Resource,
)
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.entities import open_mlflow
from crawler.pipeline.evaluation_datasets import EXPERIMENTS_A_REQUEST
from crawler.pipeline.listings import Listings
from crawler.pipeline.newer_listings import (
    asks_evaluation_datasets,
    asks_logged_models,
    asks_prompts,
    asks_trace_counts,
)
from crawler.pipeline.run_choice import RunChoice
from crawler.pipeline.run_filter import try_run_filter
from crawler.pipeline.trace_counts import TraceCounts
from crawler.pipeline.workspaces import OF_ONE_WORKSPACE, NamesWorkspace, choose_workspaces
from crawler.settings.crawl import Settings
from crawler.settings.selection import Selection
from crawler.telemetry.events import Listener, WorkspacesChosen
from crawler.telemetry.findings.reading import (
    LISTING_MISSING,
    LISTING_UNREAD,
    NOTHING_LISTED,
    WORKSPACE_UNREAD,
    row_findings,
)
from crawler.telemetry.report import Report

TRACES = "traces"
Count = int | UnsetType | None


class MlflowCheck(msgspec.Struct):
    """What MLflow was found to be; UNSET where `error` ended the check before, or a recipe leaves a kind out.

    `version` is None before MLflow 2.0. A count is None where the server does not give that listing; experiments
    include deleted ones, logged models and traces are those of active ones that are chosen. `workspaces` are those that
    would be read and those that are not chosen, where MLflow has any; the counts are those of all that would be read.
    `left_out` counts those of these rows that are not chosen, by listing. `more` names the listings that have more rows
    than were counted: only a page of each is read.
    """

    url: str | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    workspaces: WorkspacesChosen | UnsetType | None = UNSET
    registered_models: Count = UNSET
    model_versions: Count = UNSET
    prompts: Count = UNSET
    prompt_versions: Count = UNSET
    evaluation_datasets: Count = UNSET
    experiments: Count = UNSET
    logged_models: Count = UNSET
    traces: Count = UNSET
    left_out: dict[str, int] = {}
    more: list[str] = []
    error: CrawlerError | None = None

    def add(self, name: str, count: int | None, *, is_all: bool = True) -> None:
        """Add what one workspace has of a listing, None where it has no such listing; `is_all` if that is all of it."""
        before = getattr(self, name)
        setattr(self, name, count if before is UNSET or before is None else before + (count or 0))
        if not is_all and name not in self.more:
            self.more.append(name)

    def leave_out(self, name: str, count: int) -> None:
        """Add how many rows of a listing are not chosen."""
        if count:
            self.left_out[name] = self.left_out.get(name, 0) + count


async def check_mlflow(settings: Settings, report: Report) -> MlflowCheck:
    """Return what a crawl would find; findings go to the report."""
    found = MlflowCheck()
    try:
        async with open_mlflow(settings.mlflow, report.mlflow, report.time) as client:
            found.url = client.url
            found.version = version = await client.version()
            selection = settings.selection
            names = await choose_workspaces(client, version, selection.workspace_pattern, report)
            found.workspaces = report.workspaces
            if names:
                client.use_workspace(names[0])
            await try_run_filter(client, selection.run_filter)
            if await _count_all(client, names, found, version, selection, report):
                report(NOTHING_LISTED.found())
    except CrawlerError as error:
        found.error = error
    return found


async def _count_all(
    client: MlflowClient,
    names: Sequence[str],
    found: MlflowCheck,
    version: str | None,
    selection: Selection,
    report: Report,
) -> bool:
    """Count all workspaces, or a server without any. Returns whether there is nothing."""
    if not names:
        return await _Counter(client, found, version, selection, report).count(registry=True)
    are_empty = True
    failed = 0
    for name in names:
        client.use_workspace(name)
        listener = report if len(names) == 1 else NamesWorkspace(report, name)
        counter = _Counter(client, found, version, selection, listener)
        try:
            are_empty &= await counter.count(registry=client.has_registry_of(name))
        except OF_ONE_WORKSPACE as error:
            failed += 1
            if failed == len(names):
                raise
            report(WORKSPACE_UNREAD.found(f"{name}: {error}"))
    return are_empty


class _Counter:
    """Counts the first page of each listing, which is all of it where no other one follows."""

    def __init__(
        self, client: MlflowClient, found: MlflowCheck, version: str | None, selection: Selection, listener: Listener
    ) -> None:
        self._client = client
        self._found = found
        self._version = version
        self._include = selection.include
        self._pattern = selection.registered_model_pattern
        self._choice = RunChoice(selection)
        self._listener = listener
        self._listings = Listings(client, listener)
        self._listed_ids: list[str] = []
        self._experiment_ids: list[str] = []
        """Of those that are written."""

    async def count(self, *, registry: bool) -> bool:
        """Count a server or a workspace, its models and prompts with `registry`. Returns whether there is nothing."""
        if registry:
            await self._count_rows(REGISTERED_MODELS, self._has_model)
            await self._count_rows(MODEL_VERSIONS, self._has_model)
        await self._count_rows(EXPERIMENTS, self._has_experiment)
        await self._listings.require_any()
        if registry:
            await self._count_prompts()
        await self._count_evaluation_datasets()
        for versions in (MODEL_VERSIONS, PROMPT_VERSIONS):
            if self._listings.wants_filter(versions):
                # A crawl asks for the versions of each model.
                self._listings.forgive(versions)
        self._listings.tell_failures()
        await self._count_logged_models()
        await self._count_traces()
        return self._listings.are_empty

    async def _count_rows(self, resource: Resource[Row], chooses: Callable[[Row], bool] = lambda _row: True) -> int:
        """Add the rows on the first page. Returns their number."""
        count, is_all = await self._first_page(resource, chooses)
        self._found.add(resource.name, count, is_all=is_all)
        return count or 0

    async def _first_page(
        self, resource: Resource[Row], chooses: Callable[[Row], bool] = lambda _row: True
    ) -> tuple[int | None, bool]:
        """Return how many rows the first page has, None where there is no page, and whether that is all."""
        async for step in self._listings.steps(resource):
            self._found.leave_out(resource.name, len(step.rows) - sum(map(chooses, step.rows)))
            return len(step.rows), step.is_last
        return None, True

    def _has_model(self, row: RegisteredModel | ModelVersion) -> bool:
        return self._include.registered_models and self._pattern.allows(row.name)

    def _has_experiment(self, row: Experiment) -> bool:
        """Return whether an experiment is chosen, and note it if it is written, too."""
        self._listed_ids.append(row.experiment_id)
        written, deleted, _ = self._choice.divide_experiments([row])
        self._experiment_ids += [each.experiment_id for each in written]
        return bool(written or deleted)

    async def _count_prompts(self) -> None:
        version = self._client.version_of_registry(self._version)
        if not self._include.prompts:
            return
        prompts = 0
        if asks_prompts(self._include, version) and not self._listings.lacks(REGISTERED_MODELS):
            prompts = await self._count_rows(PROMPTS)
            self._listings.forgive_missing(PROMPTS, or_refused=version is None)
        else:
            self._found.add(PROMPTS.name, None)
        if prompts:
            await self._count_rows(PROMPT_VERSIONS)
        else:
            self._found.add(PROMPT_VERSIONS.name, None if self._found.prompts is None else 0)

    async def _count_evaluation_datasets(self) -> None:
        if not self._include.evaluation_datasets:
            return
        count: int | None = None
        is_all = True
        if asks_evaluation_datasets(self._include, self._version):
            count, is_all = await self._first_page(EVALUATION_DATASETS)
            if self._listings.is_forbidden(EVALUATION_DATASETS):
                count, is_all = await self._count_datasets_of_experiments()
            self._listings.forgive_missing(EVALUATION_DATASETS, or_refused=self._version is None)
        self._found.add(EVALUATION_DATASETS.name, count, is_all=is_all)

    async def _count_datasets_of_experiments(self) -> tuple[int | None, bool]:
        """Return how many are on the first page of those of the first experiments, and whether that is all."""
        some = self._listed_ids[:EXPERIMENTS_A_REQUEST]
        if not some:
            self._listings.forgive(EVALUATION_DATASETS)
            return 0, True
        try:
            async for step in self._listings.pages(EVALUATION_DATASETS, experiment_ids=some):
                self._listings.forgive(EVALUATION_DATASETS)
                return len(step.rows), step.is_last and self._knows_all(asks_all=len(some) == len(self._listed_ids))
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
        return None, True

    async def _count_logged_models(self) -> None:
        if not self._include.has_logged_models:
            return
        count: int | None = None
        is_all = True
        if asks_logged_models(self._include, self._version) and self._has_experiments:
            try:
                count, is_all = await self._first_logged_models()
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                self._tell_without_logged_models(error)
        self._found.add(LOGGED_MODELS.name, count, is_all=is_all)

    async def _first_logged_models(self) -> tuple[int, bool]:
        """Return how many there are on the first page, and whether that is all."""
        some = self._experiment_ids[: self._client.logged_models.experiment_ids.ids]
        cursor = LoggedModelCursor()
        while some and cursor.query is not None:
            async with self._client.logged_models.next_page(some, cursor) as step:
                for finding in row_findings(LOGGED_MODELS.name, step.unreadable, step.mended):
                    self._listener(finding)
                if step.rows or step.is_last:
                    return len(step.rows), step.is_last and self._knows_all(
                        asks_all=len(some) == len(self._experiment_ids)
                    )
        return 0, self._knows_all(asks_all=not some)

    def _tell_without_logged_models(self, error: CrawlerError) -> None:
        if not is_missing(error):
            self._listener(LISTING_UNREAD[LOGGED_MODELS.name].found(str(error)))
        elif self._version is not None:
            self._listener(LISTING_MISSING[LOGGED_MODELS.name].found(error.message))

    async def _count_traces(self) -> None:
        if not (self._include.experiments and self._include.trace_counts):
            return
        total: int | None = None
        if asks_trace_counts(self._include, self._version) and self._has_experiments:
            counts = TraceCounts(self._client, self._listener)
            total = await counts.together(self._experiment_ids, is_expected=self._version is not None)
        self._found.add(TRACES, total, is_all=self._knows_all(asks_all=True))

    @property
    def _has_experiments(self) -> bool:
        """Whether the server lists experiments, without which there is nothing to ask for."""
        return bool(self._listed_ids) or self._listings.error_of(EXPERIMENTS) is None

    def _knows_all(self, *, asks_all: bool) -> bool:
        """Return whether all experiments are known, of which all were asked for."""
        return asks_all and EXPERIMENTS.name not in self._found.more
