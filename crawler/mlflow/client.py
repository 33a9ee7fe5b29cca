"""MLflow's search endpoints (REST API 2.0), one page a request: listings as streams of pages, in orders that writers
do not disturb.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from crawler.errors import CredentialsRefused, RequestRefused, WrongServer
from crawler.http import Response, Server, Slots
from crawler.mlflow import pages
from crawler.mlflow.entities import Experiment, ModelVersion, RegisteredModel, Run
from crawler.mlflow.pages import Page, Row
from crawler.mlflow.paging import OVERLAP, OffsetWalk, PageRows, is_offset, offset_token
from crawler.mlflow.run_walk import RunQuery, RunWalk
from crawler.timing import Timing

API = "/api/2.0/mlflow"
AJAX_API = "/ajax-api/2.0/mlflow"
"""The same endpoints for MLflow's own pages. With `--static-prefix`, MLflow 2 has only these below the prefix."""

REGISTERED_MODELS_A_PAGE = 500
MODEL_VERSIONS_A_PAGE = 2_000
EXPERIMENTS_A_PAGE = 2_000
EXPERIMENT_IDS_A_REQUEST = 1_000
MAX_RUNS_A_PAGE = 50_000
SHORT_PAGES = 4
"""So many of them make a whole one."""
EARLIEST = -(2**63)

_UNTIMED = b"start_time cannot be None"
_NO_REGISTRY = "registry functionality is unavailable"

Unreadable = Callable[[str, list[str]], None]


class ExperimentsMissing(Exception):
    """The server is MLflow, but older than 1.28.0: it has no experiments/search."""


class RegistryMissing(Exception):
    """The server is MLflow, but keeps its data where no model registry can be."""


def is_final(response: Response) -> bool:
    """Whether an answer of MLflow says 500 for what it will never be able to answer: a run without start_time."""
    return _UNTIMED in response.body


class MlflowClient:
    """Reads one tracking server and the registry that belongs to it; `timing` counts the time of decoding.

    `unreadable(kind, rows)` is told of rows that are listed but cannot be read. Errors: those of `crawler.http`, and
    WrongServer where something else than MLflow answers.
    """

    def __init__(
        self, tracking: Server, registry: Server, page_size: int, unreadable: Unreadable, timing: Timing
    ) -> None:
        self._tracking = tracking
        self._registry = registry
        self._run_rows = PageRows(page_size)
        self._page_slots = Slots(lambda: tracking.limit)
        self._one_page = asyncio.Lock()
        self._unreadable = unreadable
        self._timing = timing
        self._api = API
        self._rows_behind_filter: dict[str, int] = {}

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

    async def registered_models(self) -> AsyncIterator[list[RegisteredModel]]:
        """`registered-models/search`, by name. Raises RegistryMissing for file stores of MLflow 1.x."""
        walk: OffsetWalk[RegisteredModel] = OffsetWalk(lambda model: model.name)
        params = [("max_results", str(REGISTERED_MODELS_A_PAGE)), ("order_by", "name ASC")]
        async for rows in self._listing("registered-models/search", params, walk, pages.decode_registered_models):
            yield rows

    async def model_versions(self) -> AsyncIterator[list[ModelVersion]]:
        """`model-versions/search`, by name and version, of all models; servers before 2.0 answer everything at once."""
        walk: OffsetWalk[ModelVersion] = OffsetWalk(lambda version: (version.name, version.version))
        params = [
            ("max_results", str(MODEL_VERSIONS_A_PAGE)),
            ("order_by", "name ASC"),
            ("order_by", "version_number ASC"),
        ]
        async for rows in self._listing("model-versions/search", params, walk, pages.decode_model_versions):
            yield rows

    async def experiments(self) -> AsyncIterator[list[Experiment]]:
        """`experiments/search`, by id, deleted ones included. Raises ExperimentsMissing before MLflow 1.28.0."""
        walk: OffsetWalk[Experiment] = OffsetWalk(lambda experiment: experiment.experiment_id)
        while walk.token is not None:
            query = {
                "max_results": EXPERIMENTS_A_PAGE,
                "view_type": "ALL",
                "order_by": ["experiment_id ASC"],
                "page_token": walk.token,
            }
            try:
                body = await self._post("experiments/search", query)
            except RequestRefused as refused:
                if refused.status != 404:
                    raise
                await self._require_mlflow(self._tracking)
                raise ExperimentsMissing from refused
            yield walk.take(self._decoded("experiments", pages.decode_experiments, body))

    @asynccontextmanager
    async def next_runs(self, experiment_id: str, walk: RunWalk, *, short: bool = False) -> AsyncIterator[list[Run]]:
        """The next page of `runs/search` of one experiment, by start time, deleted runs included. A `short` one comes
        sooner, where others wait for their share of what is left.

        Pages that come meanwhile wait as bytes, a third of the size, until the context is left, and instead of those
        that could be asked for: memory stays flat however fast MLflow is.

        A run without start_time makes MLflow (1.27 to 3.17 alike) answer 500 for every page that would hold one. Then
        the others are read alone, and `unreadable` is told.
        """
        async with self._page_slots.slot(), self._next_runs(experiment_id, walk, short=short) as runs:
            yield runs

    @asynccontextmanager
    async def _next_runs(self, experiment_id: str, walk: RunWalk, *, short: bool) -> AsyncIterator[list[Run]]:
        query = walk.query
        if query is None:
            raise ValueError("The walk is at its end.")
        try:
            body = await self._search_runs([experiment_id], query, self._rows_to_ask(query, short=short))
        except RequestRefused as refused:
            if query.since is not None or not _is_untimed(refused):
                raise
            self._tell_untimed(experiment_id)
            self.leave_uncounted(experiment_id)
            walk.begin(EARLIEST)
            yield []
            return
        async with self._one_page:
            page = self._decoded_runs(body)
            del body
            runs = walk.take(page)
            if query.since is None and is_offset(page.token):
                self._rows_behind_filter.setdefault(experiment_id, 0)
            if experiment_id in self._rows_behind_filter:
                self._rows_behind_filter[experiment_id] += len(runs)
            yield runs

    @property
    def limit(self) -> int:
        """How many requests the tracking server is given at once now."""
        return self._tracking.limit

    @property
    def run_page_rows(self) -> int:
        """How many runs a whole page asks for now."""
        return self._run_rows.rows

    def leave_uncounted(self, experiment_id: str) -> None:
        """Its runs could not all be read, so their number tells nothing to `name_untimed`."""
        self._rows_behind_filter.pop(experiment_id, None)

    async def name_untimed(self) -> None:
        """Tells `unreadable` which experiments have runs without start_time, beyond those that `next_runs` met.

        They sort last, so where they are asked for is known by the number of all others: one request for a thousand
        experiments of several pages, and some more only where there are such runs.
        """
        experiment_ids = sorted(self._rows_behind_filter)
        for start in range(0, len(experiment_ids), EXPERIMENT_IDS_A_REQUEST):
            await self._name_untimed(experiment_ids[start : start + EXPERIMENT_IDS_A_REQUEST])

    async def _name_untimed(self, experiment_ids: list[str]) -> None:
        rows = sum(self._rows_behind_filter[experiment_id] for experiment_id in experiment_ids)
        try:
            body = await self._search_runs(experiment_ids, RunQuery(token=offset_token(rows)), self._run_rows.limit)
        except RequestRefused as refused:
            if not _is_untimed(refused):
                raise
        else:
            if all(run.info.start_time is not None for run in self._decoded_runs(body).rows):
                return
        if len(experiment_ids) == 1:
            self._tell_untimed(experiment_ids[0])
            return
        middle = len(experiment_ids) // 2
        await self._name_untimed(experiment_ids[:middle])
        await self._name_untimed(experiment_ids[middle:])

    def _tell_untimed(self, experiment_id: str) -> None:
        self._unreadable("runs", [f"experiment {experiment_id}: runs that have no start_time in MLflow's database"])

    async def runs_by_id(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> list[Run]:
        """The runs of these ids within these experiments, deleted ones included; ids that are nowhere, and runs that
        MLflow cannot give since they have no start_time, are left out.

        One `runs/search` where the server can filter by run id (2.0 and later), else one `runs/get` for each id.
        """
        if not experiment_ids:
            return await self._runs_one_by_one(run_ids)
        names = ",".join(f"'{run_id}'" for run_id in run_ids)
        query = {
            "experiment_ids": list(experiment_ids),
            "filter": f"attributes.run_id IN ({names}) AND attributes.start_time >= {EARLIEST}",
            "run_view_type": "ALL",
            "max_results": len(run_ids),
        }
        async with self._page_slots.slot():
            try:
                body = await self._post("runs/search", query)
            except RequestRefused as refused:
                if refused.status != 400:
                    raise
                return await self._runs_one_by_one(run_ids)
            return self._decoded("runs", pages.decode_runs, body).rows

    async def _runs_one_by_one(self, run_ids: Sequence[str]) -> list[Run]:
        runs: list[Run] = []
        for run_id in run_ids:
            try:
                response = await self._tracking.get(f"{self._api}/runs/get", {"run_id": run_id})
            except RequestRefused as refused:
                if refused.status != 404 and not _is_untimed(refused):
                    raise
            else:
                runs.append(pages.decode_run(response.body))
        return runs

    def _rows_to_ask(self, query: RunQuery, *, short: bool) -> int:
        rows = max(1, self._run_rows.rows // SHORT_PAGES) if short else self._run_rows.rows
        # Offsets overlap: a page must bring more than what comes once more.
        return max(rows, min(self._run_rows.limit, 2 * OVERLAP)) if query.token else rows

    async def _search_runs(self, experiment_ids: Sequence[str], query: RunQuery, rows: int) -> bytes:
        """The order by start time makes equal times go by run id on MLflow's SQL stores, in all versions."""
        search: dict[str, object] = {
            "experiment_ids": list(experiment_ids),
            "run_view_type": "ALL",
            "max_results": min(rows + query.known, MAX_RUNS_A_PAGE),
            "order_by": ["attributes.start_time ASC"],
        }
        if query.filter:
            search["filter"] = query.filter
        if query.token:
            search["page_token"] = query.token
        return await self._post("runs/search", search)

    def _decoded_runs(self, body: bytes) -> Page[Run]:
        page = self._decoded("runs", pages.decode_runs, body)
        self._run_rows.learn(len(page.rows), len(body))
        return page

    async def _listing(
        self,
        endpoint: str,
        params: list[tuple[str, str]],
        walk: OffsetWalk[Row],
        decode: Callable[[bytes], Page[Row]],
    ) -> AsyncIterator[list[Row]]:
        kind = endpoint.split("/", maxsplit=1)[0].replace("-", "_")
        while walk.token is not None:
            paged = [*params, ("page_token", walk.token)] if walk.token else params
            api = self._api
            try:
                response = await self._registry.get(f"{api}/{endpoint}", paged)
            except RequestRefused as refused:
                if refused.status == 404 and (self._api != api or await self._is_below_prefix()):
                    continue
                raise _explained(refused, self._registry.url) from None
            yield walk.take(self._decoded(kind, decode, response.body))

    async def _is_below_prefix(self) -> bool:
        """Whether the API is where only MLflow's own pages look for it; from now on it is asked there."""
        if self._api == AJAX_API:
            return False
        try:
            await self._registry.get(f"{AJAX_API}/registered-models/search", [("max_results", "1")])
        except (RequestRefused, WrongServer):
            return False
        self._api = AJAX_API
        return True

    async def _post(self, endpoint: str, query: dict[str, object]) -> bytes:
        return (await self._tracking.post(f"{self._api}/{endpoint}", msgspec.json.encode(query))).body

    def _decoded(self, kind: str, decode: Callable[[bytes], Page[Row]], body: bytes) -> Page[Row]:
        with self._timing.stage("decode"):
            page = decode(body)
        if page.unreadable:
            self._unreadable(kind, page.unreadable)
        return page

    async def _require_mlflow(self, server: Server) -> None:
        """Raises WrongServer where not even registered models can be searched, which every MLflow server has."""
        try:
            await server.get(f"{self._api}/registered-models/search", [("max_results", "1")])
        except RequestRefused as refused:
            raise _explained(refused, server.url) from None


def _is_untimed(refused: RequestRefused) -> bool:
    return _UNTIMED.decode() in refused.answer


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
