"""MLflow's listings, each of which fails by itself: what fails is named once, in the server's words."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import structs

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import FORBIDDEN
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.decoding import Row
from crawler.mlflow.paging.step import Step
from crawler.mlflow.refusals import is_missing, no_listing, wants_filter
from crawler.mlflow.resources import EXPERIMENTS, MODEL_VERSIONS, PROMPT_VERSIONS, REGISTERED_MODELS, Resource
from crawler.mlflow.row_errors import is_of_one_request
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.reading import (
    LISTING_MISSING,
    LISTING_UNREAD,
    REGISTRY_MISSING,
    row_findings,
)

_LISTED = (REGISTERED_MODELS, MODEL_VERSIONS, EXPERIMENTS)


class Listings:
    """Reads the listings that are paged by offset, and remembers which of them failed."""

    def __init__(self, client: MlflowClient, listener: Listener, *, asks_registry: bool = True) -> None:
        """Read through `client`; `listener` hears of rows that cannot be read, and of what failed when it is told.

        Without `asks_registry`, experiments are all that is listed.
        """
        self.client = client
        self._asks_registry = asks_registry
        self._listener = listener
        self._failed: dict[str, CrawlerError] = {}
        self._has_rows: set[str] = set()
        self._answered: set[str] = set()
        """Of these there was a page, so the server has them, whatever it says of a later one."""
        self._told: set[str] = set()

    async def steps(self, resource: Resource[Row]) -> AsyncIterator[Step[Row]]:
        """Yield the pages of a listing to its end, or until it fails. Raises what is not of this listing alone."""
        try:
            async for step in self.pages(resource):
                yield step
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._failed.setdefault(resource.name, error)

    async def pages(
        self, resource: Resource[Row], filter_text: str = "", experiment_ids: Sequence[str] = ()
    ) -> AsyncIterator[Step[Row]]:
        """Yield the pages of what passes a filter, or is of some experiments. Raises whatever it fails with."""
        async for step in self.client.pages(resource, filter_text, experiment_ids):
            for finding in row_findings(resource.name, step.unreadable, step.mended):
                self._listener(finding)
            if resource.has is not None:
                step = structs.replace(step, rows=[*filter(resource.has, step.rows)])  # noqa: PLW2901
            self._answered.add(resource.name)
            if step.rows or step.unreadable:
                self._has_rows.add(resource.name)
            yield step

    def error_of(self, resource: Resource[Any]) -> CrawlerError | None:
        """Return why a listing failed; None if it did not."""
        return self._failed.get(resource.name)

    def lacks(self, resource: Resource[Any]) -> bool:
        """Return whether the server has no such listing, as far as it was asked."""
        return self._is_absent(resource.name)

    def wants_filter(self, resource: Resource[Any]) -> bool:
        """Return whether a listing may have been refused for the want of a filter."""
        error = self.error_of(resource)
        return error is not None and resource.name not in self._has_rows and wants_filter(error)

    def is_forbidden(self, resource: Resource[Any]) -> bool:
        """Return whether all of a listing may not be read by this account."""
        error = self.error_of(resource)
        return isinstance(error, RequestRefused) and error.status == FORBIDDEN and resource.name not in self._answered

    def forgive(self, resource: Resource[Any]) -> None:
        """Forget that a listing failed: it was read in another way."""
        self._failed.pop(resource.name, None)

    def forgive_missing(self, resource: Resource[Any], *, or_refused: bool) -> None:
        """Forget that a listing failed where the server has none, which is no news; or that it was `or_refused`.

        A server of an unknown version may have none, and refuse it in words of its own. One that gave a page has some.
        """
        is_refused = or_refused and isinstance(self.error_of(resource), RequestRefused)
        if self.lacks(resource) or (is_refused and resource.name not in self._answered):
            self.forgive(resource)

    def tell_failures(self) -> None:
        """Name each listing that failed, once: one finding where all of the registry is missing."""
        models = self.error_of(REGISTERED_MODELS)
        if models is not None and self.lacks(REGISTERED_MODELS) and self.lacks(MODEL_VERSIONS):
            self._tell({REGISTERED_MODELS.name, MODEL_VERSIONS.name}, REGISTRY_MISSING.found(models.message))
        for name, error in self._failed.items():
            is_absent = name in LISTING_MISSING and self._is_absent(name)
            kind = LISTING_MISSING[name] if is_absent else LISTING_UNREAD[name]
            self._tell({name}, kind.found(error.message if is_absent else str(error)))

    def _is_absent(self, name: str) -> bool:
        error = self._failed.get(name)
        return error is not None and is_missing(error) and name not in self._answered

    def _tell(self, names: set[str], finding: Finding) -> None:
        if not names <= self._told:
            self._told |= names
            self._listener(finding)

    async def require_any(self) -> None:
        """Raise ServerError, or the server's refusal, where a server gives no listing, or an empty one at most."""
        failed = [(each, error) for each in _LISTED if (error := self.error_of(each)) is not None]
        experiments = self.error_of(EXPERIMENTS)
        if experiments is not None and len(failed) > 1 and not self._has_rows:
            refused, error = next((each for each in failed if not is_missing(each[1])), failed[0])
            url = self.client.url if refused is EXPERIMENTS else self.client.registry_url
            raise no_listing(error, url, refused)
        if experiments is None:
            return
        if not self._asks_registry and not self._has_rows and not is_missing(experiments):
            raise no_listing(experiments, self.client.url, EXPERIMENTS)
        if self.lacks(EXPERIMENTS) and not (self._asks_registry and self.client.registry_url == self.client.url):
            await self._require_tracking()

    @property
    def are_empty(self) -> bool:
        """Whether there is no model and no experiment: versions alone are those of models that may not be read."""
        has_none = self._has_rows <= {MODEL_VERSIONS.name, PROMPT_VERSIONS.name}
        return has_none and self.error_of(REGISTERED_MODELS) is None and self._asks_registry

    async def _require_tracking(self) -> None:
        """Raise WrongServer where the tracking server, beside which there is a registry, is none."""
        try:
            await self.client.require_models()
        except RequestRefused as refused:
            if is_missing(refused):
                raise no_listing(refused, self.client.url, REGISTERED_MODELS) from None
