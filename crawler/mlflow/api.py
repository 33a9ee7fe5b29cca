"""MLflow's REST API 2.0 on a tracking server and the registry that belongs to it: requests out, decoded pages in."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from crawler.errors import RequestRefused, WrongServer
from crawler.http import Response, Server
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.refusals import API, refuses_order_list
from crawler.mlflow.resources import REGISTERED_MODELS, Resource
from crawler.telemetry.timing import Timing

AJAX_API = "/ajax-api/2.0/mlflow"
"""The same endpoints for MLflow's own pages. With `--static-prefix`, MLflow 2 has only these below the prefix."""
CHEAPEST_PAGE = f"{API}/{REGISTERED_MODELS.endpoint}?max_results=1"
"""Every MLflow server answers it soon, if it is well and its database too."""

Params = Sequence[tuple[str, str]]


class Api:
    """Sends requests and decodes answers; `timing` counts the time of decoding. Errors: those of `crawler.http`."""

    def __init__(self, tracking: Server, registry: Server, timing: Timing) -> None:
        self.tracking = tracking
        self.registry = registry
        self._timing = timing
        self._path = API
        self._joins_order_by = False

    async def search(self, resource: Resource[Any], query: dict[str, object], attempts: int | None = None) -> bytes:
        """Return a page of a listing; a POST is tried at most `attempts` times, where that is given.

        Where the server refuses `order_by` as a list, it is asked with a text from then on.
        """
        try:
            return await self._search(resource, _joined(query) if self._joins_order_by else query, attempts)
        except RequestRefused as refused:
            if self._joins_order_by or not refuses_order_list(refused):
                raise
        body = await self._search(resource, _joined(query), attempts)
        self._joins_order_by = True
        return body

    async def get(self, endpoint: str, params: dict[str, str], api: str = "2.0") -> Response:
        """Return what the tracking server answers to a query in the URL."""
        return await self.tracking.get(f"{self._base(api)}/{endpoint}", params)

    async def post(self, endpoint: str, body: dict[str, object], api: str = "2.0") -> Response:
        """Return what the tracking server answers to a query in the body."""
        return await self.tracking.post(f"{self._base(api)}/{endpoint}", msgspec.json.encode(body))

    async def require_models(self) -> None:
        """Raise RequestRefused where not even registered models can be searched, which every MLflow server has."""
        await self.tracking.get(f"{self._path}/{REGISTERED_MODELS.endpoint}", [("max_results", "1")])

    def decoded(self, decode: Callable[[bytes], Page[Row]], body: bytes) -> Page[Row]:
        """Return the page. Raise DecodeError."""
        with self._timing.stage("decode"):
            return decode(body)

    async def _search(self, resource: Resource[Any], query: dict[str, object], attempts: int | None) -> bytes:
        server = self.tracking if resource.server == "tracking" else self.registry
        if resource.method == "GET":
            return await self._search_by_get(server, resource.endpoint, _params(query))
        body = msgspec.json.encode(query)
        return (await server.post(f"{self._base(resource.api)}/{resource.endpoint}", body, attempts=attempts)).body

    def _base(self, api: str) -> str:
        return self._path.replace("/2.0/", f"/{api}/")

    async def _search_by_get(self, server: Server, endpoint: str, params: Params) -> bytes:
        path = self._path
        try:
            return (await server.get(f"{path}/{endpoint}", params)).body
        except RequestRefused as refused:
            if refused.status != 404 or (self._path == path and not await self._is_below_prefix(server)):
                raise
        return await self._search_by_get(server, endpoint, params)

    async def _is_below_prefix(self, server: Server) -> bool:
        """Return whether the API is only where MLflow's own pages look for it; from now on it is asked there."""
        if self._path == AJAX_API:
            return False
        try:
            await server.get(f"{AJAX_API}/{REGISTERED_MODELS.endpoint}", [("max_results", "1")])
        except (RequestRefused, WrongServer):
            return False
        self._path = AJAX_API
        return True


def _joined(query: dict[str, object]) -> dict[str, object]:
    """Return the query with `order_by` as one text."""
    order_by = query.get("order_by")
    texts = [each for each in order_by if isinstance(each, str)] if isinstance(order_by, list) else []
    return {**query, "order_by": ", ".join(texts)} if texts else query


def _params(query: dict[str, object]) -> Params:
    """Return the query as parameters of a URL; a list gives one for each of its values."""
    return [
        (name, str(value))
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
    ]
