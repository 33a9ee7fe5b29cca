"""The model versions of a crawl by the run that made them: the one thing that is held in memory as a whole.

A version gets its params and metrics from its run, whenever that streams by; the versions of one model leave in
ascending order, since DataHub keeps their version set in that order.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

import msgspec

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mlflow.entities import ModelVersion, RegisteredModel, Run

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ModelVersion).decode

_DELIVERED = Entity("mlModel", "", ())
"""Stands for the entity of a version that DataHub has already."""


class _Waiting(msgspec.Struct, gc=False):
    """A version until it leaves: `entity` is there once its run is known, or known not to be there.

    It waits packed: a million of these take half the memory of as many ModelVersions.
    """

    packed: bytes
    urn: str
    entity: Entity | None = None


class VersionIndex:
    """Filled with `add_model` and `add`, closed by `seal`, then asked run by run."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._aliases: dict[tuple[str, str], list[str]] = {}
        self._owners: dict[str, list[_Waiting]] = {}
        self._models: dict[str, list[_Waiting]] = {}
        self._by_run: dict[str, list[_Waiting]] = {}
        self._unseen: set[str] = set()

    def add_model(self, model: RegisteredModel) -> None:
        """Keeps the model's aliases, which no version knows of itself."""
        for alias in model.aliases:
            self._aliases.setdefault((model.name, alias.version), []).append(alias.alias)

    def add(self, version: ModelVersion, delivered: Callable[[str], bool] = lambda _urn: False) -> str | None:
        """Takes one version of any model, in any order, once. Gives the name of another model that has its URN. One
        whose URN was `delivered` before is known as an output of its run, and nothing else becomes of it.
        """
        urn = model_urn(version.name, version.version, self._settings)
        versions = self._models.setdefault(version.name, [])
        if owner := self._owners.get(urn):
            return None if owner is versions else _unpack(owner[0].packed).name
        self._owners[urn] = versions
        waiting = _Waiting(_pack(version), urn)
        versions.append(waiting)
        if delivered(urn):
            waiting.entity = _DELIVERED
        if version.run_id:
            self._by_run.setdefault(version.run_id, []).append(waiting)
            if waiting.entity is None:
                self._unseen.add(version.run_id)
        return None

    def seal(self) -> Iterator[Entity]:
        """Says that all models and versions are there; gives those that wait for no run."""
        self._owners.clear()
        for name in list(self._models):
            self._order(name)
            yield from self._release(name)

    def outputs(self, run_id: str) -> list[str]:
        """The URNs of all versions that the run made and that DataHub can take."""
        return [waiting.urn for waiting in self._by_run.get(run_id, ()) if not urns.problem(waiting.urn)]

    def resolve(self, run: Run) -> list[Entity]:
        """Gives the versions that can leave now that their run is known."""
        if run.info.run_id not in self._unseen:
            return []
        self._unseen.remove(run.info.run_id)
        names: dict[str, None] = {}
        for waiting in self._by_run[run.info.run_id]:
            if not waiting.packed:
                continue
            version = _unpack(waiting.packed)
            names[version.name] = None
            self._settle(waiting, version, run)
        return [entity for name in names for entity in self._release(name)]

    @property
    def unseen(self) -> list[str]:
        """The run ids that versions name and that have not come by."""
        return sorted(self._unseen)

    def give_up(self, run_ids: Iterable[str]) -> Iterator[Entity]:
        """Gives the versions whose run is nowhere, without params and metrics."""
        for run_id in run_ids:
            self._unseen.discard(run_id)
            for waiting in self._by_run[run_id]:
                if waiting.packed:
                    self._settle(waiting, _unpack(waiting.packed), None)
        for name in list(self._models):
            yield from self._release(name)

    def waiting(self) -> list[str]:
        """The URNs of the versions that wait for their run."""
        return [each.urn for versions in self._models.values() for each in versions if each.entity is None]

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

    def _order(self, name: str) -> None:
        """Puts a model's highest version first, since they are released from the end; settles those without a run."""
        by_version: list[tuple[tuple[int, str], _Waiting]] = []
        for waiting in self._models[name]:
            if waiting.entity is _DELIVERED:
                waiting.packed, waiting.entity = b"", None
                continue
            version = _unpack(waiting.packed)
            by_version.append((_sort_key(version.version), waiting))
            if not version.run_id:
                self._settle(waiting, version, None)
        by_version.sort(key=itemgetter(0), reverse=True)
        self._models[name] = [waiting for _, waiting in by_version]

    def _settle(self, waiting: _Waiting, version: ModelVersion, run: Run | None) -> None:
        aliases = self._aliases.get((version.name, version.version), [])
        waiting.entity = model_version_entity(version, run, aliases, self._settings)
        waiting.packed = b""


def _sort_key(version: str) -> tuple[int, str]:
    # Of thousands of digits Python makes no number; such a version has no URN that DataHub takes.
    is_number = version.isdecimal() and len(version) <= urns.MAX_CHARACTERS
    return (int(version) if is_number else 0, version)
