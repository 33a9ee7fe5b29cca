"""MLflow's listings as streams of pages, one a request."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from crawler.errors import RequestRefused, WrongServer
from crawler.http import Server
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page, Row, decode_experiment, decode_experiment_ids, decode_trace_count
from crawler.mlflow.entities import Experiment, ModelVersion
from crawler.mlflow.logged_model_reader import LoggedModelReader
from crawler.mlflow.metric_history import MetricHistoryReader
from crawler.mlflow.model_file import FILE_NAME, MAX_FILE_BYTES, ModelFile, read_file
from crawler.mlflow.paging.listing import read_pages
from crawler.mlflow.paging.step import Step
from crawler.mlflow.resources import Resource
from crawler.mlflow.rights import has_model, may_hide
from crawler.mlflow.run_reader import RunReader
from crawler.mlflow.workspaces import DEFAULT, WORKSPACE_HEADER, has_workspaces, list_workspaces
from crawler.settings.crawl import MlflowSettings
from crawler.telemetry.timing import Timing

_ARTIFACT_OF_VERSION = "/model-versions/get-artifact"
"""Beside MLflow's API, not below it: what its own pages download artifacts from."""
_ATTEMPTS_AT_FILES = 2
"""A storage that cannot be reached is a 500, for each of them."""


class MlflowClient:
    """Reads a tracking server and the registry that belongs to it; `timing` counts the time of decoding.

    `runs` and `logged_models` read these, `page_size` at a time at most, `metric_history` what was logged to metrics of
    runs before their latest values. `chosen_workspace` is the one that the
    settings name. Whether the registry has workspaces, too, `registry_has_workspaces` says once the tracking server is
    known to have some. Errors: those of `crawler.http`.
    """

    runs: RunReader
    logged_models: LoggedModelReader
    metric_history: MetricHistoryReader

    def __init__(
        self, tracking: Server, registry: Server, page_size: int, timing: Timing, workspace: str | None = None
    ) -> None:
        self.chosen_workspace = workspace
        self._tracking = tracking
        self._registry = registry
        self.registry_has_workspaces = False
        self._api = Api(tracking, registry, timing)
        self.runs = RunReader(self._api, page_size)
        self.logged_models = LoggedModelReader(self._api, page_size)
        self.metric_history = MetricHistoryReader(self._api)

    @property
    def url(self) -> str:
        """The tracking server's base URL."""
        return self._tracking.url

    @property
    def registry_url(self) -> str:
        """The registry's base URL; mostly that of the tracking server."""
        return self._registry.url

    @property
    def concurrency(self) -> int:
        """How many requests the tracking server may have in flight now."""
        return self._tracking.concurrency

    async def version(self) -> str | None:
        """Return the answer of `/version`; None where the server has no such page (MLflow 1.x)."""
        try:
            text = (await self._tracking.get("/version")).body.decode(errors="replace").strip()
        except (RequestRefused, WrongServer):
            return None
        return text if text[:1].isdigit() and len(text) < 40 else None

    def version_of_registry(self, version: str | None) -> str | None:
        """Return the registry's version where the tracking server has this one; None where it is a server beside it."""
        return version if self.registry_url == self.url else None

    def has_registry_of(self, workspace: str) -> bool:
        """Return whether models are read with a workspace: those of a registry without any, with the default only."""
        return self.registry_has_workspaces or workspace in {DEFAULT, self.chosen_workspace}

    async def has_workspaces(self) -> bool | None:
        """Return whether the tracking server has workspaces; None where it does not tell."""
        if not (found := await has_workspaces(self._tracking)):
            return found
        is_one_server = self._registry is self._tracking
        self.registry_has_workspaces = is_one_server or bool(await has_workspaces(self._registry))
        return True

    async def has_workspaces_in_registry_only(self) -> bool:
        """Return whether the registry has workspaces, where the tracking server beside it has none."""
        return self._registry is not self._tracking and bool(await has_workspaces(self._registry))

    async def workspaces(self) -> list[str]:
        """Return the names of the workspaces that the account may see; none where the server does not list them."""
        return await list_workspaces(self._tracking)

    def use_workspace(self, name: str) -> None:
        """Read this workspace from now on, on each server that has any: another one would refuse everything.

        Call it after `has_workspaces`, while nothing is being read.
        """
        self._tracking.send_header(WORKSPACE_HEADER, name)
        if self.registry_has_workspaces:
            self._registry.send_header(WORKSPACE_HEADER, name)
        self.runs.null_start_times.forget()

    def pages(
        self, resource: Resource[Row], filter_text: str = "", experiment_ids: Sequence[str] = ()
    ) -> AsyncIterator[Step[Row]]:
        """Read a listing that is paged by offset to its end, each row once.

        With `filter_text` what passes it, with `experiment_ids` what is of these experiments.
        """
        condition = resource.filter_with(filter_text)
        more: dict[str, object] = {"filter": condition} if condition else {}
        if experiment_ids:
            more["experiment_ids"] = list(experiment_ids)

        async def ask(token: str, rows: int) -> Page[Row]:
            body = await self._api.search(resource, resource.query(rows, token, **more))
            return self._api.decoded(resource.decode, body)

        return read_pages(ask, resource.page_rows, resource.key)

    async def may_hide(self, settings: MlflowSettings) -> bool:
        """Return whether one of the servers may hide rows from the account that the settings sign in with."""
        servers = [(self._tracking, settings.tracking), (self._registry, settings.registry or settings.tracking)]
        return any([await may_hide(server, of_server) for server, of_server in servers])

    async def has_model(self, name: str) -> bool | None:
        """Return whether the registry has a model, listed or not; None where it does not tell."""
        return await has_model(self._registry, name)

    async def experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment. Raises RequestRefused where it is not there, or may not be read."""
        return decode_experiment((await self._api.get("experiments/get", {"experiment_id": experiment_id})).body)

    async def model_file(self, version: ModelVersion) -> ModelFile:
        """Return the MLmodel of a version, from where the registry's server finds its artifacts.

        Raises RequestRefused where there is none, DecodeError for something else, AnswerTooLarge.
        """
        params = {"name": version.name, "version": version.version, "path": FILE_NAME}
        answer = await self._registry.get(
            _ARTIFACT_OF_VERSION, params, attempts=_ATTEMPTS_AT_FILES, max_answer_bytes=MAX_FILE_BYTES
        )
        return read_file(answer.body)

    async def experiments_of_dataset(self, dataset_id: str) -> list[str]:
        """Return the ids of the experiments that an evaluation dataset belongs to."""
        endpoint = f"datasets/{quote(dataset_id, safe='')}/experiment-ids"
        return decode_experiment_ids((await self._api.get(endpoint, {}, api="3.0")).body)

    async def count_traces(self, experiment_ids: Sequence[str]) -> int:
        """Return how many traces some experiments have together: MLflow counts by no experiment of several."""
        body: dict[str, object] = {
            "experiment_ids": experiment_ids,
            "view_type": "TRACES",
            "metric_name": "trace_count",
            "aggregations": [{"aggregation_type": "COUNT"}],
        }
        return decode_trace_count((await self._api.post("traces/metrics", body, api="3.0")).body)

    async def require_models(self) -> None:
        """Raise RequestRefused where the tracking server cannot even search registered models."""
        await self._api.require_models()
