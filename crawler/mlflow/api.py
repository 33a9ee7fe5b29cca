"""MLflow's REST API 2.0 on one tracking server and the registry that belongs to it: requests out, decoded pages in."""

from collections.abc import Callable, Sequence

import msgspec

from crawler.errors import RequestRefused, WrongServer
from crawler.http import Response, Server
from crawler.mlflow.decoding import Page, Row
from crawler.telemetry.timing import Timing

API = "/api/2.0/mlflow"
AJAX_API = "/ajax-api/2.0/mlflow"
"""The same endpoints for MLflow's own pages. With `--static-prefix`, MLflow 2 has only these below the prefix."""
CHEAPEST_PAGE = f"{API}/registered-models/search?max_results=1"
"""Every MLflow server answers it soon, if it is well and its database too."""

Unreadable = Callable[[str, list[str]], None]


class Api:
    """`unreadable(kind, rows)` is told of rows that are listed but cannot be read; `timing` counts the time of
    decoding. Errors: those of `crawler.http`.
    """

    def __init__(self, tracking: Server, registry: Server, timing: Timing) -> None:
        self.told = []
        self.tracking = tracking
        self.registry = registry
        self._timing = timing
        self._path = API

    def unreadable(self, kind, rows):
        self.told += rows

    async def search(self, endpoint: str, query: dict[str, object], attempts: int | None = None) -> bytes:
        """What the tracking server answers to a query in JSON, after at most `attempts` where others have more."""
        body = msgspec.json.encode(query)
        return (await self.tracking.post(f"{self._path}/{endpoint}", body, attempts=attempts)).body

    async def get(self, endpoint: str, params: dict[str, str]) -> Response:
        """What the tracking server answers to a query in the URL."""
        return await self.tracking.get(f"{self._path}/{endpoint}", params)

    async def get_registered(self, endpoint: str, params: Sequence[tuple[str, str]]) -> bytes:
        """What the registry answers to a query in the URL."""
        path = self._path
        try:
            return (await self.registry.get(f"{path}/{endpoint}", params)).body
        except RequestRefused as refused:
            if refused.status != 404 or (self._path == path and not await self._is_below_prefix()):
                raise
        return await self.get_registered(endpoint, params)

    async def require_models(self) -> None:
        """Raises RequestRefused where not even registered models can be searched, which every MLflow server has."""
        await self.tracking.get(f"{self._path}/registered-models/search", [("max_results", "1")])

    def decoded(self, kind: str, decode: Callable[[bytes], Page[Row]], body: bytes) -> Page[Row]:
        """The page; tells what of it cannot be read. Raises DecodeError."""
        with self._timing.stage("decode"):
            page = decode(body)
        if page.unreadable:
            self.unreadable(kind, page.unreadable)
        return page

    async def _is_below_prefix(self) -> bool:
        """Whether the API is where only MLflow's own pages look for it; from now on it is asked there."""
        if self._path == AJAX_API:
            return False
        try:
            await self.registry.get(f"{AJAX_API}/registered-models/search", [("max_results", "1")])
        except (RequestRefused, WrongServer):
            return False
        self._path = AJAX_API
        return True
