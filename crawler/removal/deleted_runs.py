"""Runs that MLflow lists as deleted: those that DataHub still shows are marked as removed. That is no guess."""

from collections.abc import Sequence

from crawler.datahub.proposals import Entity, removal_of
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import Run
from crawler.removal.known_runs import KnownRuns
from crawler.removal.shown_entities import ShownEntities
from crawler.removal.stale import RUN, Why
from crawler.telemetry.events import Listener, StaleFound


class DeletedRuns:
    """Marks deleted runs, whichever listing has them."""

    def __init__(self, shown: ShownEntities, listener: Listener, known_runs: KnownRuns | None = None) -> None:
        self._shown = shown
        self._listener = listener
        self._known_runs = known_runs

    async def removals(self, runs: Sequence[Run]) -> list[Entity]:
        """Return what marks the deleted ones of these runs as removed."""
        deleted = [run_urn(run.info.run_id) for run in runs if run.deleted]
        shown = await self._shown.of(RUN, deleted) if deleted else []
        if self._known_runs is not None and len(shown) < len(deleted):
            self._known_runs.forget(set(deleted).difference(shown))
        if shown:
            self._listener(StaleFound(RUN, Why.DELETED, is_removed=True, urns=shown))
        return [removal_of(RUN, urn) for urn in shown]
