"""The workspaces of what a crawl did not list: where to ask MLflow for it, and whether it is left out by choice."""

from crawler.mapping.experiments import container_urn
from crawler.mapping.workspaces import of_workspace, workspace_of_model
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.entities import Experiment
from crawler.mlflow.resources import EXPERIMENTS
from crawler.pipeline.listings import Listings
from crawler.pipeline.workspaces import NamesWorkspace
from crawler.removal.crawl_record import DeletedExperiment
from crawler.removal.stale import possible_names, type_of
from crawler.removal.stale_removal import StaleRemoval
from crawler.settings.crawl import Settings
from crawler.telemetry.events import Listener

_CONTAINER = "container"


class StaleWorkspaces:
    """Knows workspaces by URNs, once all of them are read. Where there is none, or only one is, it changes nothing."""

    def __init__(self, client: MlflowClient, settings: Settings, stale: StaleRemoval, listener: Listener) -> None:
        """Know the workspaces that the crawl of `stale` has listed."""
        self._client = client
        self._mapping = settings.mapping
        self._stale = stale
        self._listener = listener
        chosen = stale.record.workspaces
        # One that the settings name is mapped as if there were no other.
        self._are_told_apart = chosen is not None and settings.mlflow.workspace is None
        self._left_out = chosen.left_out if chosen is not None and self._are_told_apart else []
        self._all = [*chosen.read, *chosen.left_out] if chosen is not None and self._are_told_apart else []

    async def has_model(self, name: str) -> bool | None:
        """Ask MLflow for a model, by its name in URNs; None where it does not tell, or not for such a workspace."""
        if not self._are_told_apart:
            return await self._client.has_model(name)
        found = workspace_of_model(name, self._mapping, self._all)
        if found is None:
            return None
        workspace, name = found
        self._client.use_workspace(workspace)
        return await self._client.has_model(name)

    def enter(self, deleted: DeletedExperiment) -> Experiment:
        """Have the client read the workspace of a deleted experiment, which is returned."""
        if deleted.workspace is not None:
            self._client.use_workspace(deleted.workspace)
        return deleted.experiment

    async def see_left_out(self) -> None:
        """Note of the last checkpoint what lies in workspaces that are not chosen: it has not vanished.

        Experiments are looked for there; models tell by their names. A workspace that fails is a failure.
        """
        if not self._left_out:
            return
        record, absent = self._stale.record, self._stale.absent()
        for urn in absent.urns:
            if any(self._is_left_out(name) for name in possible_names(absent.groups.get(urn, urn))):
                record.see(urn)
        containers = {urn for urn in absent.urns if type_of(urn) == _CONTAINER and urn not in record.deleted}
        for workspace in self._left_out if containers else ():
            await self._see_experiments(workspace, containers)

    def _is_left_out(self, name: str) -> bool:
        found = workspace_of_model(name, self._mapping, self._all)
        return found is not None and found[0] in self._left_out

    async def _see_experiments(self, workspace: str, containers: set[str]) -> None:
        self._client.use_workspace(workspace)
        settings = of_workspace(self._mapping, workspace)
        listings = Listings(self._client, NamesWorkspace(self._listener, workspace))
        async for step in listings.steps(EXPERIMENTS):
            for experiment in step.rows:
                if (urn := container_urn(experiment, settings)) in containers:
                    self._stale.record.see(urn)
        listings.tell_failures()
