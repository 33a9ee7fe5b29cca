"""MLflow's search endpoints: listings as streams of pages, one a request, in orders that writers do not disturb."""

from collections.abc import AsyncIterator, Callable

from crawler.errors import CredentialsRefused, RequestRefused, WrongServer
from crawler.http import Server
from crawler.mlflow import decoding as pages
from crawler.mlflow.api import API, Api
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.entities import Experiment, ModelVersion, RegisteredModel
from crawler.mlflow.paging.listing import Ask, read_listing
from crawler.mlflow.run_reader import RunReader
from crawler.telemetry.timing import Timing

REGISTERED_MODELS_A_PAGE = 500
MODEL_VERSIONS_A_PAGE = 2_000
EXPERIMENTS_A_PAGE = 2_000

_NO_REGISTRY = "registry functionality is unavailable"


class ExperimentsMissing(Exception):
    """The server is MLflow, but older than 1.28.0: it has no experiments/search."""


class RegistryMissing(Exception):
    """The server is MLflow, but keeps its data where no model registry can be."""


class MlflowClient:
    """Reads one tracking server and the registry that belongs to it; `timing` counts the time of decoding.

    `unreadable(kind, rows)` is told of rows that are listed but cannot be read. Errors: those of `crawler.http`, and
    WrongServer where something else than MLflow answers.
    """

    runs: RunReader

    def __init__(self, tracking: Server, registry: Server, page_size: int, timing: Timing) -> None:
        self._tracking = tracking
        self._registry = registry
        self._api = Api(tracking, registry, timing)
        self.runs = RunReader(self._api, page_size)

    @property
    def url(self) -> str:
        """The tracking server's base URL."""
        return self._tracking.url

    async def version(self) -> str | None:
        """What `/version` tells; None where the server has no such page (MLflow 1.x)."""
        try:
            text = (await self._tracking.get("/version")).body.decode(errors="replace").strip()
        except (RequestRefused, WrongServer):
            return None
        return text if text[:1].isdigit() and len(text) < 40 else None

    async def pages(self, resource):
        from crawler.mlflow.paging.step import Step

        async for rows in getattr(self, resource.name)():
            told, self._api.told = self._api.told, []
            yield Step(rows, None, told)

    @property
    def concurrency(self) -> int:
        """How many requests the tracking server may have in flight now."""
        return self._tracking.concurrency

    def registered_models(self) -> AsyncIterator[list[RegisteredModel]]:
        """`registered-models/search`, by name. Raises RegistryMissing for file stores of MLflow 1.x."""
        ask = self._registered("registered_models", ["name ASC"], pages.decode_registered_models)
        return self._listing("registered_models", ask, REGISTERED_MODELS_A_PAGE, lambda model: model.name)

    def model_versions(self) -> AsyncIterator[list[ModelVersion]]:
        """`model-versions/search`, by name and version, of all models; servers before 2.0 answer everything at once."""
        ask = self._registered("model_versions", ["name ASC", "version_number ASC"], pages.decode_model_versions)
        return self._listing("model_versions", ask, MODEL_VERSIONS_A_PAGE, lambda each: (each.name, each.version))

    def experiments(self) -> AsyncIterator[list[Experiment]]:
        """`experiments/search`, by id, deleted ones included. Raises ExperimentsMissing before MLflow 1.28.0."""

        async def ask(token: str, rows: int) -> Page[Experiment]:
            query = {"max_results": rows, "view_type": "ALL", "order_by": ["experiment_id ASC"], "page_token": token}
            try:
                body = await self._api.search("experiments/search", query)
            except RequestRefused as refused:
                if refused.status != 404:
                    raise
                await self._require_mlflow()
                raise ExperimentsMissing from refused
            return self._api.decoded("experiments", pages.decode_experiments, body)

        return self._listing("experiments", ask, EXPERIMENTS_A_PAGE, lambda experiment: experiment.experiment_id)

    def _registered(self, kind: str, order: list[str], decode: Callable[[bytes], Page[Row]]) -> Ask[Row]:
        endpoint = f"{kind.replace('_', '-')}/search"
        order_by = [("order_by", column) for column in order]

        async def ask(token: str, rows: int) -> Page[Row]:
            paged = [("page_token", token)] if token else []
            try:
                body = await self._api.get_registered(endpoint, [("max_results", str(rows)), *order_by, *paged])
            except RequestRefused as refused:
                raise _explained(refused, self._registry.url) from None
            return self._api.decoded(kind, decode, body)

        return ask

    def _listing(self, kind: str, ask: Ask[Row], rows: int, key: Callable[[Row], object]) -> AsyncIterator[list[Row]]:
        return read_listing(ask, rows, key, lambda told: self._api.unreadable(kind, told))

    async def _require_mlflow(self) -> None:
        """Raises WrongServer where not even registered models can be searched, which every MLflow server has."""
        try:
            await self._api.require_models()
        except RequestRefused as refused:
            raise _explained(refused, self._tracking.url) from None


def _explained(refused: RequestRefused, url: str) -> Exception:
    """What a refused search of registered models says about the server as a whole."""
    if _NO_REGISTRY in refused.answer:
        return RegistryMissing()
    if refused.status == 404:
        return WrongServer(
            f"{url} is not an MLflow server: it has no {API}/registered-models/search (404).",
            "Give the URL that MLflow's own client uses (MLFLOW_TRACKING_URI), with the base path if there is one.",
        )
    if refused.status == 403:
        return CredentialsRefused(
            f"MLflow at {url} does not allow these credentials to read its registered models (403).",
            "Use an account that may read the whole server.",
        )
    return refused
