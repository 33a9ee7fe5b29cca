"""A strict double of servers that speak MLflow's REST API in a dialect of their own."""

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.mlflow.listings import meets, number_token

API = "/api/2.0/mlflow"
API_3 = "/api/3.0/mlflow"
Rows = list[dict[str, Any]]
_STAGES = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted"}
PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"
_NAMED = re.compile(r"""name = (?:'([^']*)'|"([^"]*)")""")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """Yields the URL of a server all of whose requests one handler answers."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


class Dialect:
    """What the server has, and how it speaks; `async with dialect.serve() as url: …`.

    `refusals` are the status and body of listings that it refuses: "model-versions", "experiments", …;
    `refusals_behind` those of listings of which it gives the first page only. With
    `versions_by_name` it wants a filter for versions, with `order_by_text` no list; it answers 500 to
    `forbidden_headers`, and refuses the runs of `refused_experiments`. It has `admins` and other users, who do not see
    what is `hidden`, names of models and experiments. `seen` counts its requests.

    Its version is `release`, where it tells one. It knows neither `prompts` nor `evaluation_datasets`, `traces` by
    experiment nor `dataset_experiments` by dataset, unless these are given, and `logged_models` unless they are None;
    with `datasets_by_experiment` it lists all evaluation datasets to nobody, as MLflow's basic auth does.
    `endless` ones where it gives one page token again and again.
    """

    def __init__(self) -> None:
        self.models: Rows = [{"name": "fraud"}, {"name": "it's"}]
        self.versions: Rows = [version("fraud", "1", "r1"), version("fraud", "2", ""), version("it's", "1", "")]
        self.experiments: Rows = [{"experiment_id": "1", "name": "churn"}]
        self.runs: Rows = [run(f"r{number}", 1_000 + number) for number in range(3)]
        self.release: str | None = None
        self.logged_models: Rows | None = []
        self.endless = False
        self.prompts: Rows | None = []
        self.prompt_versions: Rows = []
        self.evaluation_datasets: Rows | None = None
        self.dataset_experiments: dict[str, list[str]] = {}
        self.datasets_by_experiment = False
        self.traces: dict[str, int] | None = None
        self.refusals: dict[str, tuple[int, Any]] = {}
        self.refusals_behind: dict[str, tuple[int, Any]] = {}
        self.versions_by_name = False
        self.order_by_text = False
        self.forbidden_headers: set[str] = set()
        self.refused_experiments: set[str] = set()
        self.admins: set[str] = set()
        self.hidden: set[str] = set()
        self.seen: Counter[str] = Counter()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Yields the URL."""
        async with served(self.answer) as url:
            yield url

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers a request, by its method and path."""
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", f"{API}/registered-models/search"): self._search_models,
            ("GET", f"{API}/model-versions/search"): self._search_versions,
            ("POST", f"{API}/experiments/search"): self._search_experiments,
            ("POST", f"{API}/runs/search"): self._search_runs,
            ("GET", f"{API}/runs/get"): self._get_run,
            ("GET", f"{API}/registered-models/get"): self._get_model,
            ("GET", f"{API}/users/get"): self._get_user,
            ("POST", f"{API}/logged-models/search"): self._search_logged_models,
            ("GET", "/version"): self._get_version,
            ("POST", f"{API_3}/datasets/search"): self._search_datasets,
            ("POST", f"{API_3}/traces/metrics"): self._count_traces,
        }
        handler = handlers.get((request.method, request.path))
        if request.path.startswith(f"{API_3}/datasets/") and request.path.endswith("/experiment-ids"):
            handler = self._get_dataset_experiments
        if handler is None:
            raise web.HTTPNotFound
        return await self._refused_behind(request) or await handler(request)

    async def _refused_behind(self, request: web.Request) -> web.Response | None:
        query = await request.json() if request.method == "POST" else request.query
        listing = request.path.split("/")[-2]
        if PROMPTS in query.get("filter", ""):
            listing = {"registered-models": "prompts", "model-versions": "prompt-versions"}[listing]
        has_token = "page_token" in query and listing in self.refusals_behind
        return _response(*self.refusals_behind[listing]) if has_token else None

    async def _search_models(self, request: web.Request) -> web.Response:
        if PROMPTS in request.query.get("filter", ""):
            return self._prompts(request, "prompts", "registered_models", self.prompts)
        return self._refused(request) or self._page("registered_models", self.models, request.query)

    async def _search_versions(self, request: web.Request) -> web.Response:
        if PROMPTS in request.query.get("filter", ""):
            return self._prompts(request, "prompt-versions", "model_versions", self.prompt_versions)
        if (refused := self._refused(request)) is not None:
            return refused
        filtered = request.query.get("filter", "")
        if not filtered:
            if self.versions_by_name:
                return _error(400, "INVALID_PARAMETER_VALUE", "Missing filter: please specify name='…' or run_id='…'")
            return self._page("model_versions", self.versions, request.query)
        match = _NAMED.fullmatch(filtered)
        if match is None:
            return _error(400, "INVALID_PARAMETER_VALUE", f"Unsupported filter query: {filtered}")
        name = match[1] or match[2]
        return self._page("model_versions", [each for each in self.versions if each["name"] == name], request.query)

    def _prompts(self, request: web.Request, listing: str, key: str, rows: Rows | None) -> web.Response:
        if rows is None:
            self.seen[listing] += 1
            return _error(400, "INVALID_PARAMETER_VALUE", "Invalid attribute key in the filter")
        return self._refused(request, listing) or self._page(key, rows, request.query)

    async def _get_version(self, _request: web.Request) -> web.Response:
        return web.Response(status=404) if self.release is None else web.Response(text=self.release)

    async def _search_datasets(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request, "datasets")) is not None:
            return refused
        if self.evaluation_datasets is None:
            return web.Response(status=404)
        query, rows = await request.json(), self.evaluation_datasets
        if wanted := {*query.get("experiment_ids", ())}:
            rows = [each for each in rows if wanted & {*self.dataset_experiments.get(each["dataset_id"], ())}]
        elif self.datasets_by_experiment:
            return _error(403, "PERMISSION_DENIED", "Permission denied")
        return self._page("datasets", rows, query)

    async def _get_dataset_experiments(self, request: web.Request) -> web.Response:
        dataset_id = request.path.split("/")[-2]
        if (refused := self._refused(request, f"datasets/{dataset_id}")) is not None:
            return refused
        if dataset_id not in self.dataset_experiments:
            return _error(404, "RESOURCE_DOES_NOT_EXIST", f"Dataset {dataset_id} not found")
        return web.json_response({"experiment_ids": self.dataset_experiments[dataset_id]})

    async def _count_traces(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request, "traces")) is not None:
            return refused
        if self.traces is None:
            return web.Response(status=404)
        count = sum(self.traces.get(each, 0) for each in (await request.json())["experiment_ids"])
        return web.json_response({"data_points": [{"metric_name": "trace_count", "values": {"COUNT": float(count)}}]})

    async def _search_experiments(self, request: web.Request) -> web.Response:
        return self._refused(request) or self._page("experiments", self.experiments, await request.json())

    async def _search_runs(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        query = await request.json()
        if self.refused_experiments & set(query["experiment_ids"]):
            return _error(403, "PERMISSION_DENIED", "ann may not read these runs")
        bounds = query.get("filter", "").split(" AND ")
        if unknown := [bound for bound in bounds if bound and "_time" not in bound and "run_id" not in bound]:
            return _error(400, "INVALID_PARAMETER_VALUE", f"Invalid clause(s) in filter string: {unknown[0]!r}")
        found = [each for each in self.runs if all(meets(each["info"], bound) for bound in bounds)]
        if stage := _STAGES.get(query.get("run_view_type", "ALL")):
            found = [each for each in found if each["info"].get("lifecycle_stage", "active") == stage]
        if query.get("order_by") == ["attributes.start_time DESC"]:
            found.sort(key=lambda each: each["info"]["start_time"], reverse=True)
        return self._page(
            "runs", [each for each in found if each["info"]["experiment_id"] in query["experiment_ids"]], query
        )

    async def _search_logged_models(self, request: web.Request) -> web.Response:
        """As MLflow 3.17 does: a token must come with the query that it is of, and forged ones are taken."""
        if (refused := self._refused(request)) is not None:
            return refused
        if self.logged_models is None:
            raise web.HTTPNotFound
        query = await request.json()
        self.seen["newest logged model"] += not query["order_by"][0]["ascending"]
        order_by = [{**each, "dataset_name": None, "dataset_digest": None} for each in query["order_by"]]
        asked = {"filter_string": query.get("filter"), "experiment_ids": query["experiment_ids"], "order_by": order_by}
        if query.get("page_token") == "opaque":
            return web.json_response({"next_page_token": "opaque"})
        token = json.loads(b64decode(query["page_token"])) if "page_token" in query else {**asked, "offset": 0}
        offset, rows = token.pop("offset"), int(query["max_results"])
        if token != asked or rows < 1 or not query["experiment_ids"]:
            return _error(400, "INVALID_PARAMETER_VALUE", f"token {token} does not match {asked}")
        if self.refused_experiments & set(query["experiment_ids"]):
            return _error(403, "PERMISSION_DENIED", "ann may not read these models")
        found = [
            each["info"] for each in self.logged_models if each["info"]["experiment_id"] in query["experiment_ids"]
        ]
        for bound in query["filter"].split(" AND ") if "filter" in query else ():
            name, operator, limit = bound.split()
            found = [info for info in found if _holds(info[f"{name}_ms"], operator, int(limit))]
        for field in reversed(query["order_by"]):
            name = field["field_name"].replace("timestamp", "timestamp_ms")
            found.sort(key=lambda info: info[name], reverse=not field["ascending"])
        models = {each["info"]["model_id"]: each for each in self.logged_models}
        page = [models[info["model_id"]] for info in found[offset : offset + rows]]
        more = b64encode(json.dumps({**asked, "offset": offset + rows}).encode()).decode()
        following = {"next_page_token": more} if offset + rows < len(found) else {}
        if self.endless:
            following = {"next_page_token": "opaque"}
        return web.json_response({"models": page} | following)

    async def _get_run(self, request: web.Request) -> web.Response:
        self.seen["runs/get"] += 1
        found = [each for each in self.runs if each["info"]["run_id"] == request.query["run_id"]]
        return web.json_response({"run": found[0]}) if found else _error(404, "RESOURCE_DOES_NOT_EXIST", "no such run")

    async def _get_model(self, request: web.Request) -> web.Response:
        self.seen["registered-models/get"] += 1
        name = request.query["name"]
        if name in self.hidden:
            return _error(403, "PERMISSION_DENIED", "Permission denied")
        if name not in {each["name"] for each in self.models}:
            return _error(404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")
        return web.json_response({"registered_model": {"name": name}})

    async def _get_user(self, request: web.Request) -> web.Response:
        self.seen["users/get"] += 1
        name = request.query["username"]
        return web.json_response({"user": {"id": 1, "username": name, "is_admin": name in self.admins}})

    def _refused(self, request: web.Request, listing: str = "") -> web.Response | None:
        listing = listing or request.path.removeprefix(f"{API}/").removesuffix("/search")
        self.seen[listing] += 1
        if named := [each for each in self.forbidden_headers if each in request.headers]:
            return _error(500, "FEATURE_DISABLED", f"{named} is not supported")
        if listing not in self.refusals:
            return None
        return _response(*self.refusals[listing])

    def _page(self, key: str, rows: Rows, query: Any) -> web.Response:
        order_by = query.getall("order_by", []) if hasattr(query, "getall") else query.get("order_by")
        is_text = isinstance(order_by, str) or (
            isinstance(order_by, list) and len(order_by) < 2 and hasattr(query, "getall")
        )
        if self.order_by_text and not is_text:
            return _error(400, "INVALID_PARAMETER_VALUE", "order_by is invalid")
        token = query.get("page_token")
        offset = int(json.loads(b64decode(token))["offset"]) if token else 0
        # MLflow 2 lists versions to everyone.
        rows = [row for row in rows if key == "model_versions" or row.get("name") not in self.hidden]
        page = rows[offset : offset + int(query["max_results"])]
        following = number_token(offset + len(page)) if offset + len(page) < len(rows) else ""
        return web.json_response({key: page, **({"next_page_token": following} if following else {})})


def _response(status: int, body: Any) -> web.Response:
    return web.Response(status=status, text=body) if isinstance(body, str) else web.json_response(body, status=status)


def version(name: str, number: str, run_id: str) -> dict[str, Any]:
    """A model version as MLflow lists it."""
    return {"name": name, "version": number, "run_id": run_id, "creation_timestamp": 1, "last_updated_timestamp": 1}


def run(run_id: str, start_time: int, experiment_id: str = "1") -> dict[str, Any]:
    """A run as MLflow lists it."""
    return {"info": {"run_id": run_id, "experiment_id": experiment_id, "start_time": start_time, "status": "FINISHED"}}


def logged_model(number: int, created: int, experiment_id: str = "1", run_id: str = "") -> dict[str, Any]:
    """A logged model as MLflow lists it."""
    times = {"creation_timestamp_ms": created, "last_updated_timestamp_ms": created}
    info = {"model_id": f"m-{number:032x}", "experiment_id": experiment_id, "name": f"model {number}", **times}
    return {"info": info | ({"source_run_id": run_id} if run_id else {}), "data": {}}


def _holds(value: int, operator: str, limit: int) -> bool:
    return {">=": value >= limit, "<": value < limit}[operator]


def prompt(name: str, number: str = "") -> dict[str, Any]:
    """A prompt, or a version of one, as MLflow lists it."""
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    if number:
        tags.append({"key": "mlflow.prompt.text", "value": f"text {number}"})
        return {**version(name, number, ""), "tags": tags}
    return {"name": name, "tags": tags, "aliases": [{"alias": "prod", "version": "1"}]}


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error_code": code, "message": message}, status=status)
