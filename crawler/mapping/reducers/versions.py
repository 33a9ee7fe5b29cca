"""The models of a crawl, and their versions by the run that made them: the one thing that is held as a whole.

Prompts are among them: MLflow keeps them as models, and none has the name of one.
A model says which of its versions is the newest, so it waits for all of them.
A version gets its params and metrics from its run, whenever that is read; the versions of one model are released in
ascending order, since DataHub keeps their version set in that order.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from operator import itemgetter

import msgspec
from msgspec import structs

from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mapping.prompts import prompt_entity, prompt_version_entity
from crawler.mapping.registered_models import registered_model_entity
from crawler.mlflow.entities import ModelVersion, RegisteredModel, Run, is_prompt
from crawler.mlflow.model_file import ModelFile, Signature
from crawler.settings.mapping import MappingSettings

NOTE_BYTES = 16

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ModelVersion).decode
_unpack_model = msgspec.msgpack.Decoder(RegisteredModel).decode

_DELIVERED = Entity("mlModel", "", ())
"""Stands for the entity of a version that DataHub has already."""


class _Waiting(msgspec.Struct, gc=False):
    """A version until it is released. A million of these take half the memory of as many ModelVersions."""

    packed: bytes
    """The ModelVersion as msgpack; empty once it is mapped."""
    urn: str
    entity: Entity | None = None
    """None until its run is known, or known not to exist."""
    unchanged: bool = False
    """Whether it is left out unless its run is read."""


class VersionIndex:
    """Filled with `add_model` and `add`, closed by `seal`; then it takes run by run.

    `noted(urn)` returns the note of a version that an earlier crawl delivered. One whose row is the same as then is
    left out, unless its run is taken.
    """

    def __init__(self, settings: MappingSettings, noted: Callable[[str], bytes] | None = None) -> None:
        self._settings = settings
        self._noted = noted
        self._groups: dict[str, bytes] = {}
        self._aliases: dict[tuple[str, str], list[str]] = {}
        self._owners: dict[str, list[_Waiting]] = {}
        self._models: dict[str, list[_Waiting]] = {}
        self._by_run: dict[str, list[_Waiting]] = {}
        self._unseen: set[str] = set()
        self._of_unchanged: set[str] = set()
        """Ids of the runs of versions that are left out otherwise."""
        self._files: dict[str, ModelFile] = {}
        """By the URN of a version that is about to be mapped."""
        self._signatures: dict[Signature, Signature] = {}
        """One object of each: the versions of a model mostly share theirs."""
        self._without_file: set[str] = set()

    def add_model(self, model: RegisteredModel) -> None:
        """Keep a model until all versions are there, and its aliases, which no version has itself."""
        if model.name in self._groups:
            return
        self._groups[model.name] = _pack(structs.replace(model, aliases=[]))
        for alias in model.aliases:
            self._aliases.setdefault((model.name, alias.version), []).append(alias.alias)

    def add(self, version: ModelVersion, delivered: Callable[[str], bool] = lambda _urn: False) -> str | None:
        """Add one version of any model, in any order. Return the name of another model that has its URN, if any.

        A version that was `delivered` before is kept as an output of its run only.
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
        elif self._noted is not None and (note := self._noted(urn)):
            waiting.unchanged = note == self._note(waiting.packed, version)
        if version.run_id:
            self._by_run.setdefault(version.run_id, []).append(waiting)
            if waiting.unchanged:
                self._of_unchanged.add(version.run_id)
            elif waiting.entity is None or self._has_note(urn):
                # A crawl that reads a part, and was cut off, may have delivered the version and not its run.
                self._unseen.add(version.run_id)
        return None

    def _has_note(self, urn: str) -> bool:
        return self._noted is not None and bool(self._noted(urn))

    def of_run(self, run_id: str) -> list[ModelVersion]:
        """Return the versions that are mapped once this run is taken."""
        if run_id not in self._unseen and run_id not in self._of_unchanged:
            return []
        return [_unpack(waiting.packed) for waiting in self._by_run[run_id] if waiting.packed]

    def of_lost(self, run_ids: Iterable[str]) -> list[ModelVersion]:
        """Return the versions that are mapped once these runs are given up."""
        waiting = (each for run_id in run_ids for each in self._by_run[run_id])
        return [_unpack(each.packed) for each in waiting if each.packed and not each.unchanged]

    def of_no_run(self) -> list[ModelVersion]:
        """Return the versions that are mapped by `seal`."""
        waiting = (each for versions in self._models.values() for each in versions)
        versions = [_unpack(each.packed) for each in waiting if each.entity is None and not each.unchanged]
        return [version for version in versions if not version.run_id and not is_prompt(version)]

    def add_file(self, version: ModelVersion, file: ModelFile | None) -> None:
        """Keep the MLmodel of a version until it is mapped.

        Without one, where it could not be read, the version has no note, so that the next crawl asks again.
        """
        urn = model_urn(version.name, version.version, self._settings)
        if file is None:
            self._without_file.add(urn)
            return
        if file.signature is not None:
            file = structs.replace(file, signature=self._signatures.setdefault(file.signature, file.signature))
        self._files[urn] = file

    def seal(self) -> Iterator[Entity]:
        """Release the models, and of the versions, which are all there, those that wait for no run, in order."""
        self._owners.clear()
        for name in [*self._groups]:
            yield self._group(name)
        for name in [*self._models]:
            self._order(name)
            yield from self._release(name)

    def outputs(self, run_id: str) -> list[str]:
        """Return the URNs of all versions that the run made and that DataHub can take."""
        if run_id not in self._by_run:
            return []
        return [waiting.urn for waiting in self._by_run[run_id] if not urns.problem(waiting.urn)]

    def take(self, run: Run) -> list[Entity]:
        """Release the versions that waited for the run, and those of it that are left out otherwise."""
        run_id = run.info.run_id
        if run_id not in self._unseen and run_id not in self._of_unchanged:
            return []
        self._unseen.discard(run_id)
        self._of_unchanged.discard(run_id)
        names: dict[str, None] = {}
        released: list[Entity] = []
        for waiting in self._by_run[run_id]:
            if not waiting.packed:
                continue
            version = _unpack(waiting.packed)
            if waiting.unchanged:
                released.append(self._mapped(waiting, version, run))
            else:
                names[version.name] = None
                waiting.entity = self._mapped(waiting, version, run)
        return released + [entity for name in names for entity in self._release(name)]

    @property
    def unseen(self) -> list[str]:
        """Run ids that versions name and that were not taken."""
        return sorted(self._unseen)

    def give_up(self, run_ids: Iterable[str], *, unread: bool = False) -> Iterator[Entity]:
        """Release the versions of runs that do not exist, without params and metrics.

        If the runs are only `unread`, the versions have no note, so that the next crawl looks for them again.
        """
        for run_id in run_ids:
            self._unseen.discard(run_id)
            for waiting in self._by_run[run_id]:
                if waiting.packed and not waiting.unchanged:
                    entity = self._mapped(waiting, _unpack(waiting.packed), None)
                    waiting.entity = structs.replace(entity, note=b"") if unread else entity
        for name in list(self._models):
            yield from self._release(name)

    def waiting(self) -> list[str]:
        """Return the URNs of the versions that wait for their run."""
        return [each.urn for versions in self._models.values() for each in versions if each.entity is None]

    def finish(self) -> Iterator[Entity]:
        """Release what would have come with later rows, as when a crawl ends early.

        Those are models, and versions that have their run and wait only for an older version.
        """
        for name in [*self._groups]:
            yield self._group(name)
        for versions in self._models.values():
            for waiting in reversed(versions):
                if waiting.entity is not None:
                    yield waiting.entity
        self._models.clear()

    def _group(self, name: str) -> Entity:
        model = _unpack_model(self._groups.pop(name))
        versions = [version.version for version in model.latest_versions]
        versions += [_unpack(waiting.packed).version for waiting in self._models.get(name, ()) if waiting.packed]
        newest = max(versions, key=_sort_key, default=None)
        to_group = prompt_entity if is_prompt(model) else registered_model_entity
        return to_group(model, newest, self._settings)

    def _release(self, name: str) -> Iterator[Entity]:
        versions = self._models.get(name, [])
        while versions and (entity := versions[-1].entity) is not None:
            versions.pop().entity = None
            yield entity
        if not versions:
            self._models.pop(name, None)

    def _order(self, name: str) -> None:
        """Put a model's highest version first, since they are released from the end, and map those without a run."""
        by_version: list[tuple[tuple[int, str], _Waiting]] = []
        for waiting in self._models[name]:
            if waiting.entity is _DELIVERED:
                waiting.packed, waiting.entity = b"", None
                continue
            if waiting.unchanged:
                continue
            version = _unpack(waiting.packed)
            by_version.append((_sort_key(version.version), waiting))
            if not version.run_id:
                waiting.entity = self._mapped(waiting, version, None)
        by_version.sort(key=itemgetter(0), reverse=True)
        self._models[name] = [waiting for _, waiting in by_version]

    def _mapped(self, waiting: _Waiting, version: ModelVersion, run: Run | None) -> Entity:
        """Return the entity of a version, which is not mapped again."""
        note = b"" if self._noted is None else self._note(waiting.packed, version)
        waiting.packed = b""
        if is_prompt(version):
            return prompt_version_entity(version, self._aliases_of(version), self._settings, note)
        if waiting.urn in self._without_file:
            self._without_file.discard(waiting.urn)
            note = b""
        file = self._files.pop(waiting.urn, None)
        return model_version_entity(version, run, self._aliases_of(version), self._settings, note, file)

    def _note(self, packed: bytes, version: ModelVersion) -> bytes:
        """Return a hash of all that MLflow's registry tells of a version."""
        return blake2b(packed + _pack(self._aliases_of(version)), digest_size=NOTE_BYTES).digest()

    def _aliases_of(self, version: ModelVersion) -> list[str]:
        return self._aliases.get((version.name, version.version), [])


def _sort_key(version: str) -> tuple[int, str]:
    # Of thousands of digits Python makes no number; such a version has no URN that DataHub takes.
    is_number = version.isdecimal() and len(version) <= urns.MAX_CHARACTERS
    return (int(version) if is_number else 0, version)
