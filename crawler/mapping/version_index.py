"""The model versions of a crawl by the run that made them: the one thing that is held in memory as a whole.

A version gets its params and metrics from its run, whenever that streams by; the versions of one model leave in
ascending order, since DataHub keeps their version set in that order.
"""

from collections.abc import Iterable, Iterator

import msgspec

from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mlflow.entities import ModelVersion, RegisteredModel, Run
from crawler.settings import MappingSettings


class _Waiting(msgspec.Struct):
    """A version until it leaves: `entity` is there once its run is known, or known not to be there."""

    version: ModelVersion
    urn: str
    entity: Entity | None = None


class VersionIndex:
    """Filled with `add_model` and `add`, closed by `seal`, then asked run by run."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._aliases: dict[tuple[str, str], list[str]] = {}
        self._owners: dict[str, str] = {}
        self._models: dict[str, list[_Waiting]] = {}
        self._by_run: dict[str, list[_Waiting]] = {}
        self._unseen: set[str] = set()

    def add_model(self, model: RegisteredModel) -> None:
        """Keeps the model's aliases, which no version knows of itself."""
        for alias in model.aliases:
            self._aliases.setdefault((model.name, alias.version), []).append(alias.alias)

    def add(self, version: ModelVersion) -> str | None:
        """Takes one version of any model, in any order, once. Gives the name of another model that has its URN."""
        urn = model_urn(version.name, version.version, self._settings)
        if urn in self._owners:
            owner = self._owners[urn]
            return owner if owner != version.name else None
        self._owners[urn] = version.name
        waiting = _Waiting(version, urn)
        self._models.setdefault(version.name, []).append(waiting)
        if version.run_id:
            self._by_run.setdefault(version.run_id, []).append(waiting)
            self._unseen.add(version.run_id)
        return None

    def seal(self) -> Iterator[Entity]:
        """Says that all models and versions are there; gives those that wait for no run."""
        for name, versions in list(self._models.items()):
            for waiting in versions:
                if not waiting.version.run_id:
                    waiting.entity = self._entity(waiting.version, None)
            # Released from the end of the list, so the highest version comes first.
            versions.sort(key=lambda waiting: _sort_key(waiting.version.version), reverse=True)
            yield from self._release(name)

    def outputs(self, run_id: str) -> list[str]:
        """The URNs of all versions that the run made and that DataHub can take."""
        return [waiting.urn for waiting in self._by_run.get(run_id, ()) if not urns.problem(waiting.urn)]

    def resolve(self, run: Run) -> Iterator[Entity]:
        """Gives the versions that can leave now that their run is known."""
        if run.info.run_id not in self._unseen:
            return
        self._unseen.remove(run.info.run_id)
        made = self._by_run[run.info.run_id]
        for waiting in made:
            waiting.entity = self._entity(waiting.version, run)
        for name in dict.fromkeys(waiting.version.name for waiting in made):
            yield from self._release(name)

    @property
    def unseen(self) -> list[str]:
        """The run ids that versions name and that have not come by."""
        return sorted(self._unseen)

    def give_up(self, run_ids: Iterable[str]) -> Iterator[Entity]:
        """Gives the versions whose run is nowhere, without params and metrics."""
        for run_id in run_ids:
            self._unseen.discard(run_id)
            for waiting in self._by_run[run_id]:
                waiting.entity = waiting.entity or self._entity(waiting.version, None)
        for name in list(self._models):
            yield from self._release(name)

    def ready(self) -> Iterator[Entity]:
        """Gives, when the crawl ends early, the versions that know their run and wait only for an older version."""
        for versions in self._models.values():
            for waiting in reversed(versions):
                if waiting.entity is not None:
                    yield waiting.entity
        self._models.clear()

    def _release(self, name: str) -> Iterator[Entity]:
        versions = self._models.get(name, [])
        while versions and (entity := versions[-1].entity) is not None:
            versions.pop().entity = None
            yield entity
        if not versions:
            self._models.pop(name, None)

    def _entity(self, version: ModelVersion, run: Run | None) -> Entity:
        aliases = self._aliases.get((version.name, version.version), [])
        return model_version_entity(version, run, aliases, self._settings)


def _sort_key(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else 0, version)
