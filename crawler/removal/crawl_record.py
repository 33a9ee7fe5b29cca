"""What one crawl lists, and what speaks against concluding anything from what it does not list."""

from collections import Counter
from collections.abc import Set

import msgspec

from crawler.mlflow.entities import Experiment
from crawler.telemetry.events import Event, RowsRead, RowsSkipped, Started, WorkspacesChosen
from crawler.telemetry.findings.kind import Finding

_LISTINGS = {
    "mlModelGroup": ("registered_models", "registered models left out"),
    "mlModel": ("model_versions", "model versions left out"),
    "container": ("experiments", "deleted experiments", "experiments left out"),
    "dataset": ("runs", "deleted runs", "runs left out"),
}
"""The rows that entities of a type come from, as events name them."""


class DeletedExperiment(msgspec.Struct, frozen=True):
    """An experiment that MLflow lists as deleted, and its workspace, None where MLflow has no workspaces."""

    experiment: Experiment
    workspace: str | None = None


class CrawlRecord:
    """A listener of the crawl, and the witness of its mapping.

    `urns` are these, in the order in which they were first seen: the next checkpoint. `own` are those of kinds that the
    official connector does not know, which have a checkpoint of their own.
    """

    def __init__(self) -> None:
        self.urns: dict[str, None] = {}
        self.own: dict[str, None] = {}
        self.deleted: dict[str, DeletedExperiment] = {}
        """Experiments that MLflow lists as deleted, by the URN of their container."""
        self.left_out: set[str] = set()
        """What MLflow lists and the recipe does not choose."""
        self.failures = 0
        self.is_partial = False
        """Whether this crawl reads only a part of the runs."""
        self.workspaces: WorkspacesChosen | None = None
        """Which workspaces this crawl reads, where MLflow has any."""
        self._rows: Counter[str] = Counter()

    def see(self, urn: str) -> None:
        """Note that MLflow has an entity."""
        self.urns[urn] = None

    def see_own(self, urn: str) -> None:
        """Note that MLflow has an entity of a kind that the official connector does not know."""
        self.own[urn] = None

    def see_deleted(self, urn: str, experiment: Experiment, workspace: str | None) -> None:
        """Note that MLflow lists an experiment as deleted, in a workspace where it has any."""
        self.deleted[urn] = DeletedExperiment(experiment, workspace)

    def leave_out(self, urn: str) -> None:
        """Note that MLflow has an entity which is not to be crawled: what DataHub has of it stays."""
        self.left_out.add(urn)

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
                self.is_partial = event.resumed is not None or event.since is not None or event.leaves_out_runs
                self.failures += 0 if event.resumed is None else len(event.resumed.failures)
            case WorkspacesChosen():
                self.workspaces = event
            case _:
                pass

    @property
    def all_urns(self) -> Set[str]:
        """What MLflow has, of both checkpoints: a model may have the name of a prompt of yesterday, and its URN."""
        return self.urns.keys() | self.own.keys()

    @property
    def leaves_out_workspaces(self) -> bool:
        """Whether MLflow has workspaces that are not read, since they are not chosen."""
        return self.workspaces is not None and bool(self.workspaces.left_out)

    @property
    def empty(self) -> frozenset[str]:
        """The entity types whose listing came back empty."""
        return frozenset(
            entity_type for entity_type, rows in _LISTINGS.items() if not any(self._rows[each] for each in rows)
        )
