"""A model of MLflow 3.17's search endpoints over rows that come, change and go: offsets as tokens, its orders, its
filters, and its 500 for a page that holds a run it cannot give.
"""

import base64
import json
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from crawler.http.exchange import Request
from crawler.http.responses import Response
from crawler.mlflow.entities import IS_PROMPT_TAG, Experiment, LoggedModel, ModelVersion, RegisteredModel, Run
from crawler.mlflow.resources import PROMPTS
from tests.simulation.history import History
from tests.simulation.logged_model_listing import search
from tests.simulation.rows import Refusal, Row, page_of, row_of

API = "/api/2.0/mlflow"
VERSION = "3.17.2"
LATEST = float("inf")

_CONDITION = re.compile(
    r"attributes\.(?:(start_time) (>=|<) (-?\d+)|(run_id) IN \(([^)]*)\)|(end_time) >= (\d+)|(status) != '(\w+)')"
)
_JSON = {"Content-Type": "application/json"}

VersionKey = tuple[str, int]


class IdLimit(msgspec.Struct, frozen=True):
    """How many experiments a search of runs may name, and whether a refusal tells this number, as Databricks' does."""

    ids: int = 1_000
    is_told: bool = True


class Conditions(msgspec.Struct):
    """The filter of a search of runs. Times are in ms since epoch."""

    since: int | None = None
    until: int | None = None
    run_ids: list[str] | None = None
    ended_since: int | None = None
    other_than: set[str] = set()

    def pass_by(self, info: dict[str, Any]) -> bool:
        """Whether a run passes what is no bound of start times. A run without end time has not ended since any time."""
        ended = info["end_time"]
        return info["status"] not in self.other_than and (
            self.ended_since is None or (ended is not None and ended >= self.ended_since)
        )


class TrackingServer:
    """Rows with their histories. `clock` tells the time of a change.

    `broken` are the ids of runs that MLflow fails on: a page that would hold one is a 500 whole. A run without
    start_time is one of these by nature. A search of runs or of logged models may name as many experiments as
    `id_limit` says, and none of the `forbidden` ones. `version` is what it says that it is, None for an unknown page.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.experiments: dict[str, History[Row[Experiment]]] = {}
        self.runs: dict[str, History[Row[Run]]] = {}
        self.models: dict[str, History[Row[RegisteredModel]]] = {}
        self.versions: dict[VersionKey, History[Row[ModelVersion]]] = {}
        self.logged_models: dict[str, History[Row[LoggedModel]]] = {}
        self.version: str | None = VERSION
        self.has_logged_models = False
        self.broken: set[str] = set()
        self.id_limit = IdLimit()
        self.forbidden: frozenset[str] = frozenset()
        self.allowed_searches = 0
        """Searches of runs that may yet name the forbidden experiments."""
        self.runs_given: set[str] = set()
        """Active runs that were on a page of a search."""
        self._runs_of: dict[str, list[tuple[float, str]]] = {}

    @property
    def time(self) -> float:
        """What the clock tells."""
        return self._clock()

    def put_experiment(self, fields: dict[str, Any]) -> None:
        """Creates the experiment or changes it."""
        key = fields["experiment_id"]
        active = fields["lifecycle_stage"] == "active"
        self._put(self.experiments, key, row_of(fields, Experiment, active=active))
        self._runs_of.setdefault(key, [])

    def put_run(self, fields: dict[str, Any]) -> None:
        """Creates the run or changes it; start time and experiment stay."""
        info = fields["info"]
        run_id = info["run_id"]
        history = self.runs.get(run_id)
        if history is None or history.now is None:
            insort(self._runs_of[info["experiment_id"]], (_sort_time(info), run_id))
        self._put(self.runs, run_id, row_of(fields, Run, active=info["lifecycle_stage"] == "active"))

    def purge_run(self, run_id: str) -> None:
        """Takes the run out of the database, as `mlflow gc` does."""
        row = self.runs[run_id].now
        assert row is not None
        info = row.fields["info"]
        self._runs_of[info["experiment_id"]].remove((_sort_time(info), run_id))
        self._put(self.runs, run_id, None)

    def purge_experiment(self, experiment_id: str) -> None:
        """Takes an experiment without runs out of the database, as `mlflow gc` does."""
        self._put(self.experiments, experiment_id, None)

    def put_model(self, fields: dict[str, Any]) -> None:
        """Creates the registered model or changes it."""
        self._put(self.models, fields["name"], row_of(fields, RegisteredModel))

    def put_version(self, fields: dict[str, Any]) -> None:
        """Creates the model version or changes it."""
        self._put(self.versions, (fields["name"], int(fields["version"])), row_of(fields, ModelVersion))

    def delete_version(self, key: VersionKey) -> None:
        """Takes the version out of the database; the next one made may get its number."""
        self._put(self.versions, key, None)

    def delete_model(self, name: str) -> None:
        """Takes the model and its versions out of the database."""
        for key in [key for key, history in self.versions.items() if key[0] == name and history.now]:
            self.delete_version(key)
        self._put(self.models, name, None)

    def put_logged_model(self, fields: dict[str, Any]) -> None:
        """Creates the logged model or changes it; creation time and experiment stay."""
        self._put(self.logged_models, fields["info"]["model_id"], row_of(fields, LoggedModel))

    def delete_logged_model(self, model_id: str) -> None:
        """Deletes the logged model: nothing lists it any more, though its run still names it."""
        self._put(self.logged_models, model_id, None)

    def answer(self, request: Request) -> Response:
        """What MLflow answers now."""
        address = urlsplit(request.url)
        given = request.params.items() if hasattr(request.params, "items") else request.params
        params = [*parse_qsl(address.query), *given]
        if address.path == "/version" and self.version is not None:
            return Response(200, self.version.encode(), {"Content-Type": "text/html; charset=utf-8"})
        query = json.loads(request.body) if request.body else _query(params)
        try:
            return Response(200, self._page(address.path.removeprefix(API), query), _JSON)
        except Refusal as refusal:
            return Response(refusal.status, refusal.body, _JSON)

    def _put(self, rows: dict[Any, History[Any]], key: object, row: Row[Any] | None) -> None:
        rows.setdefault(key, History()).put(self._clock(), row)

    def _page(self, endpoint: str, query: dict[str, Any]) -> bytes:
        limit, offset = int(query.get("max_results", 100)), _offset(query.get("page_token", ""))
        match endpoint:
            case "/runs/search":
                return self._search_runs(query, limit, offset)
            case "/runs/get":
                row = self._give([query["run_id"]])[0]
                self._require_allowed([row.fields["info"]["experiment_id"]])
                return b'{"run": %b}' % row.json
            case "/experiments/get":
                history = self.experiments.get(query["experiment_id"])
                if history is None or history.now is None:
                    raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", "No such experiment")
                return b'{"experiment": %b}' % history.now.json
            case "/experiments/search":
                _expect(query, "order_by", ["experiment_id ASC"])
                _expect(query, "view_type", "ALL")
                return _listing("experiments", _living(self.experiments, int), limit, offset)
            case "/registered-models/search" | "/model-versions/search":
                return self._search_registry(endpoint, query, limit, offset)
            case "/logged-models/search" if self.has_logged_models:
                self._require_few(query["experiment_ids"])
                self._require_rights(query["experiment_ids"])
                return search(_living(self.logged_models, _itself), query)
        raise Refusal(404, "ENDPOINT_NOT_FOUND", endpoint)

    def _search_registry(self, endpoint: str, query: dict[str, Any], limit: int, offset: int) -> bytes:
        if endpoint == "/registered-models/search":
            return _listing("registered_models", _chosen(_living(self.models, str), query), limit, offset)
        _expect(query, "order_by", ["name ASC", "version_number ASC"])
        return _listing("model_versions", _chosen(_living(self.versions, _itself), query), limit, offset)

    def _search_runs(self, query: dict[str, Any], limit: int, offset: int) -> bytes:
        if query.get("run_view_type") != "DELETED_ONLY":
            _expect(query, "run_view_type", "ALL")
        self._require_allowed(query["experiment_ids"])
        conditions = _conditions(query.get("filter", ""))
        found = self._matching(query["experiment_ids"], conditions)
        if query["run_view_type"] == "DELETED_ONLY":
            found = [each for each in found if (row := self.runs[each].now) and not row.active]
        if (run_ids := conditions.run_ids) is not None:
            return _page("runs", self._give([run_id for run_id in found if run_id in run_ids][:limit]), None)
        if query["order_by"] == ["attributes.start_time DESC"]:
            return self._newest(found, query)
        _expect(query, "order_by", ["attributes.start_time ASC"])
        rows = self._give(found[offset : offset + limit])
        self.runs_given.update(row.entity.info.run_id for row in rows if row.active and row.entity)
        # A page that is full has a token, also where it is the last one (sqlalchemy_store.py, _search_runs).
        return _page("runs", rows, offset + limit if len(rows) == limit else None)

    def _newest(self, found: list[str], query: dict[str, Any]) -> bytes:
        """The run that started last. A crawl does not write it for that: it is not noted as given."""
        _expect(query, "max_results", 1)
        return _page("runs", self._give(found[-1:]), None)

    def _require_allowed(self, experiment_ids: Sequence[str]) -> None:
        self._require_few(experiment_ids)
        self.allowed_searches -= 1
        self._require_rights(experiment_ids)

    def _require_few(self, experiment_ids: Sequence[str]) -> None:
        if len(experiment_ids) > self.id_limit.ids:
            told = f"Maximum {self.id_limit.ids}. Found {len(experiment_ids)}" if self.id_limit.is_told else "Fewer!"
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Too many experiment_ids specified. {told}")

    def _require_rights(self, experiment_ids: Sequence[str]) -> None:
        if self.allowed_searches >= 0:
            return
        for experiment_id in self.forbidden.intersection(experiment_ids):
            raise Refusal(403, "PERMISSION_DENIED", f"Experiment {experiment_id} may not be read")

    def _matching(self, experiment_ids: Sequence[str], conditions: Conditions) -> list[str]:
        """By start time, those without one last, and by id."""
        since, until = conditions.since, conditions.until
        timed = since is not None or until is not None
        listed: list[tuple[float, str]] = []
        for experiment_id in dict.fromkeys(experiment_ids):
            runs = self._runs_of.get(experiment_id, [])
            first = 0 if since is None else bisect_left(runs, (since, ""))
            end = bisect_left(runs, (until if until is not None else LATEST, "")) if timed else len(runs)
            listed += runs[first:end]
        if len(experiment_ids) > 1:
            listed.sort()
        found = [run_id for _, run_id in listed]
        if conditions.ended_since is None and not conditions.other_than:
            return found
        return [each for each in found if (row := self.runs[each].now) and conditions.pass_by(row.fields["info"])]

    def _give(self, run_ids: list[str]) -> list[Row[Run]]:
        rows = []
        for run_id in run_ids:
            row = self.runs[run_id].now if run_id in self.runs else None
            if row is None:
                raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found")
            if row.fields["info"]["start_time"] is None:
                raise Refusal(500, "INTERNAL_ERROR", "start_time cannot be None")
            if run_id in self.broken:
                raise Refusal(500, "INTERNAL_ERROR", "Internal server error")
            rows.append(row)
        return rows


def _chosen(rows: list[Row[Any]], query: dict[str, Any]) -> list[Row[Any]]:
    """Prompts where they are asked for, else all but prompts."""
    wants_prompts = query.get("filter") == PROMPTS.filter
    _expect(query, "filter", PROMPTS.filter if wants_prompts else None)
    is_prompt = {"key": IS_PROMPT_TAG, "value": "true"}
    return [row for row in rows if (is_prompt in row.fields["tags"]) == wants_prompts]


def _sort_time(info: dict[str, Any]) -> float:
    return LATEST if info["start_time"] is None else info["start_time"]


def _itself(key: Any) -> Any:
    return key


def _living(rows: dict[Any, History[Row[Any]]], order: Callable[[Any], Any]) -> list[Row[Any]]:
    return [row for key in sorted(rows, key=order) if (row := rows[key].now) is not None]


def _listing(kind: str, rows: list[Row[Any]], limit: int, offset: int) -> bytes:
    """A page that has a token only if there is a next one."""
    end = offset + limit
    return _page(kind, rows[offset:end], end if end < len(rows) else None)


def _page(kind: str, rows: Iterable[Row[Any]], next_offset: int | None) -> bytes:
    token = None if next_offset is None else base64.b64encode(json.dumps({"offset": next_offset}).encode())
    return page_of(kind, rows, token)


def _offset(token: str) -> int:
    return int(json.loads(base64.b64decode(token))["offset"]) if token else 0


def _query(params: list[tuple[str, str]]) -> dict[str, Any]:
    query: dict[str, Any] = dict(params)
    if orders := [value for name, value in params if name == "order_by"]:
        query["order_by"] = orders
    return query


def _expect(query: dict[str, Any], name: str, value: object) -> None:
    """The model knows what the crawler asks for; anything else would need more of MLflow than is here."""
    if query.get(name) != value:
        raise Refusal(
            400, "INVALID_PARAMETER_VALUE", f"The model of MLflow takes {name} {value}, not {query.get(name)}"
        )


def _conditions(text: str) -> Conditions:
    found = Conditions()
    for condition in text.split(" AND ") if text else ():
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"The model of MLflow cannot filter by {condition}")
        if match[4]:
            found.run_ids = [run_id.strip(" '") for run_id in match[5].split(",")]
        elif match[6]:
            found.ended_since = int(match[7])
        elif match[8]:
            found.other_than.add(match[9])
        elif match[2] == ">=":
            found.since = int(match[3]) if found.since is None else max(found.since, int(match[3]))
        else:
            found.until = int(match[3]) if found.until is None else min(found.until, int(match[3]))
    return found
