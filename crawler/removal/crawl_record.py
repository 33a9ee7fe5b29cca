"""What one crawl lists, and what speaks against concluding anything from what it does not list."""

from collections import Counter

from crawler.mlflow.entities import Experiment
from crawler.telemetry.events import Event, RowsRead, RowsSkipped, Started
from crawler.telemetry.findings.kind import Finding

_LISTINGS = {
    "mlModelGroup": ("registered_models",),
    "mlModel": ("model_versions",),
    "container": ("experiments", "deleted experiments"),
    "dataset": ("runs", "deleted runs"),
}
"""The rows that entities of a type come from, as events name them."""


class CrawlRecord:
    """A listener of the crawl, and the witness of its mapping.

    `urns` are these, in the order in which they were first seen: the next checkpoint. `own` are those of kinds that the
    official connector does not know: it would remove them, so they are in no checkpoint of its.
    """

    def __init__(self) -> None:
        self.urns: dict[str, None] = {}
        self.own: dict[str, None] = {}
        self.deleted: dict[str, Experiment] = {}
        """Experiments that MLflow lists as deleted, by the URN of their container."""
        self.failures = 0
        self.is_partial = False
        """Whether this crawl reads only a part of the runs."""
        self._rows: Counter[str] = Counter()

    def see(self, urn: str) -> None:
        """Note that MLflow has an entity."""
        self.urns[urn] = None

    def see_own(self, urn: str) -> None:
        """Note that MLflow has an entity of a kind that the official connector does not know."""
        self.own[urn] = None

    def see_deleted(self, urn: str, experiment: Experiment) -> None:
        """Note that MLflow lists an experiment as deleted."""
        self.deleted[urn] = experiment

    def __call__(self, event: Event) -> None:
        """Count failures and rows."""
        match event:
            case Finding(severity="failure"):
                self.failures += 1
            case RowsRead():
                self._rows[event.resource] += event.count
            case RowsSkipped():
                self._rows[event.what] += event.count
            case Started():
                self.is_partial = event.resumed is not None or event.since is not None
                self.failures += 0 if event.resumed is None else len(event.resumed.failures)
            case _:
                pass

    @property
    def empty(self) -> frozenset[str]:
        """The entity types whose listing came back empty."""
        return frozenset(
            entity_type for entity_type, rows in _LISTINGS.items() if not any(self._rows[each] for each in rows)
        )
