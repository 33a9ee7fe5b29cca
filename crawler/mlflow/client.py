"""MLflow's listings as streams of pages, one a request."""

from collections.abc import AsyncIterator
from typing import Any

from crawler.errors import RequestRefused, WrongServer
from crawler.http import Server
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.paging.listing import read_pages
from crawler.mlflow.paging.step import Step
from crawler.mlflow.refusals import explain_refusal
from crawler.mlflow.resources import Resource
from crawler.mlflow.run_reader import RunReader
from crawler.telemetry.timing import Timing


class MlflowClient:
    """Reads a tracking server and the registry that belongs to it; `timing` counts the time of decoding.

    `runs` reads runs, `page_size` at a time at most. Errors: those of `crawler.http`, and WrongServer where something
    else than MLflow answers.
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

    def pages(self, resource: Resource[Row]) -> AsyncIterator[Step[Row]]:
        """Read a listing that is paged by offset to its end, each row once.

        Raises `resource.missing`, or RegistryMissing for file stores of MLflow 1.x.
        """

        async def ask(token: str, rows: int) -> Page[Row]:
            try:
                body = await self._api.search(resource, resource.query(rows, token))
            except RequestRefused as refused:
                raise await self._explained(resource, refused) from None
            return self._api.decoded(resource.decode, body)

        return read_pages(ask, resource.page_rows, resource.key)

    async def _explained(self, resource: Resource[Any], refused: RequestRefused) -> Exception:
        if resource.missing is None:
            return explain_refusal(refused, self._registry.url)
        if refused.status != 404:
            return refused
        try:
            await self._api.require_models()
        except RequestRefused as models_refused:
            return explain_refusal(models_refused, self._tracking.url)
        return resource.missing()
