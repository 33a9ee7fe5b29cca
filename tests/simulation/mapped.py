"""What the mapping makes of each state that an MLflow row had in a stretch of time: all that DataHub may hold."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from crawler.datahub import urns
from crawler.datahub.aspects.datasets import UpstreamLineage
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.logged_models import logged_model_urn
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mapping.prompts import prompt_entity, prompt_version_entity
from crawler.mapping.registered_models import registered_model_entity
from crawler.mapping.runs import run_urn
from crawler.mapping.stages import stage_tags
from crawler.mapping.users import user_entity
from crawler.mlflow.entities import PARENT_TAG, ModelVersion, Run, is_prompt
from crawler.settings.mapping import MappingSettings
from tests.simulation.history import History
from tests.simulation.mapped_logged_models import LoggedModelStates
from tests.simulation.rows import Row
from tests.simulation.tracking_server import TrackingServer, VersionKey

T = TypeVar("T")
OUTPUT = "dataProcessInstanceOutput"
_NO_UPSTREAM = UpstreamLineage(upstreams=[])

Key = tuple[str, str]
"""URN and aspect."""
Place = tuple[float, str]


class Expected(msgspec.Struct, frozen=True):
    """An entity that must be there: one of `alternatives`, each a URN with its aspects. `names` are what a failure of
    reading may call it by; of a logged model `place` is where it stands in its listing: creation time and id.
    """

    alternatives: list[tuple[str, frozenset[str]]]
    names: tuple[str, ...]
    place: Place | None = None


class Mapped:
    """Of one server under one mapping, between two times. `values` are all that may be stored, `must` what must be.

    `runs_unread` says that a crawl told that it could not read the runs of versions: these may then go without.
    `zeros_unknown` says the same of the runs that tell which metrics of logged models are NaN.
    """

    def __init__(
        self,
        server: TrackingServer,
        settings: MappingSettings,
        since: float,
        until: float,
        *,
        runs_unread: bool = False,
        zeros_unknown: bool = False,
    ) -> None:
        self.values: dict[Key, list[Any]] = defaultdict(list)
        self.must: list[Expected] = []
        self._server = server
        self._settings = settings
        self._since = since
        self._until = until
        self._runs_unread = runs_unread
        self._versions_of_run: dict[str, list[VersionKey]] = defaultdict(list)
        self._runs_that_must: set[str] = set()
        self._demand(stage_tags(), ())
        self._map_models()
        self._map_versions()
        self._map_experiments()
        self._map_runs()
        self._map_logged_models(zeros_unknown=zeros_unknown)

    def outputs_may(self, run_id: str) -> set[str]:
        """The URNs of the versions that named the run at some moment, and of the logged models that it named."""
        versions = {model_urn(name, str(number), self._settings) for name, number in self._versions_of_run[run_id]}
        return versions.union(*self._logged_by(run_id))

    def outputs_must(self, run_id: str) -> set[str]:
        """The URNs of the versions that named the run throughout and that DataHub takes, if the run must be there, and
        of the logged models that it named throughout.
        """
        found: set[str] = set()
        if run_id not in self._runs_that_must:
            return found
        found = set.intersection(*self._logged_by(run_id))
        for key in self._versions_of_run[run_id]:
            rows = self._within(self._server.versions[key])
            urn = model_urn(key[0], str(key[1]), self._settings)
            readable = all(row.entity is not None and row.entity.run_id == run_id for row in rows)
            if readable and self._stands(self._server.versions[key]) and not urns.problem(urn):
                found.add(urn)
        return found

    def _logged_by(self, run_id: str) -> list[set[str]]:
        """The logged models that the run named in each of its states that are written."""
        runs = [row.entity for row in self._within(self._server.runs[run_id]) if row.active]
        made = [[] if run.outputs is None else run.outputs.model_outputs for run in runs if run is not None]
        return [{logged_model_urn(each.model_id, self._settings) for each in models} for models in made]

    def _within(self, history: History[Row[Any]]) -> list[Row[Any]]:
        return history.within(self._since, self._until)

    def _stands(self, history: History[Row[Any]], *, active: bool = False) -> bool:
        there = history.throughout(self._since, self._until)
        return there and (not active or all(row.active for row in self._within(history)))

    def _allow(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            for aspect in entity.aspects:
                value = msgspec.json.decode(msgspec.json.encode(aspect))
                values = self.values[entity.urn, aspect.NAME]
                if value not in values:
                    values.append(value)

    def _demand(self, entities: Iterable[Entity], names: tuple[str, ...], place: Place | None = None) -> None:
        """One of these must be there: states of one row, which may have several URNs."""
        entities = list(entities)
        self._allow(entities)
        by_urn: dict[str, frozenset[str]] = {}
        for entity in entities:
            aspects = frozenset(aspect.NAME for aspect in entity.aspects)
            by_urn[entity.urn] = by_urn.get(entity.urn, aspects) & aspects
        self.must.append(Expected(list(by_urn.items()), names, place))

    def _map_models(self) -> None:
        for name, history in self._server.models.items():
            newest = self._newest_versions(name)
            rows = [_read(row) for row in self._within(history)]
            entities = [
                (prompt_entity if is_prompt(row) else registered_model_entity)(row, each, self._settings)
                for row in rows
                for each in newest
            ]
            if self._stands(history):
                self._demand(entities, (name,))
            else:
                self._allow(entities)

    def _newest_versions(self, name: str) -> list[str | None]:
        """Return which version of a model may be the newest: none is older than one that was there throughout."""
        numbers = [key[1] for key, history in self._server.versions.items() if key[0] == name and self._within(history)]
        sure = [number for number in numbers if self._can_be_read(self._server.versions[name, number])]
        newest: list[str | None] = [str(number) for number in numbers if number >= max(sure, default=0)]
        return newest if sure else [*newest, None]

    def _can_be_read(self, history: History[Row[Any]]) -> bool:
        return self._stands(history) and all(row.entity is not None for row in self._within(history))

    def _map_versions(self) -> None:
        for key, history in self._server.versions.items():
            entities = []
            for row in self._within(history):
                entities += self._states_of_version(key, _read(row))
            if self._stands(history):
                self._demand(entities, (f"{key[0]} {key[1]}",))
                users = {_read(row).user_id for row in self._within(history)}
                self._map_users(users, throughout=True)
            else:
                self._allow(entities)
                self._map_users({_read(row).user_id for row in self._within(history)}, throughout=False)

    def _states_of_version(self, key: VersionKey, version: ModelVersion) -> list[Entity]:
        """With each state of its run and each set of its aliases, but not each with each."""
        self._versions_of_run[version.run_id].append(key)
        runs, aliases = self._runs_of(version), self._aliases_of(version)
        if is_prompt(version):
            return [prompt_version_entity(version, each, self._settings) for each in aliases]
        return [model_version_entity(version, run, aliases[0], self._settings) for run in runs] + [
            model_version_entity(version, runs[0], each, self._settings) for each in aliases[1:]
        ]

    def _runs_of(self, version: ModelVersion) -> list[Run | None]:
        """The states of the version's run; None among them where MLflow may not have been able to give it."""
        history = self._server.runs.get(version.run_id)
        if history is None:
            return [None]
        rows = self._within(history)
        found: list[Run | None] = [row.entity for row in rows if row.entity is not None]
        sure = found and len(found) == len(rows) and self._stands(history) and version.run_id not in self._server.broken
        untimed = any(run is not None and run.info.start_time is None for run in found)
        return found if sure and not untimed and not self._runs_unread else [*found, None]

    def _aliases_of(self, version: ModelVersion) -> list[list[str]]:
        """The sets of aliases that the version had; none among them where its model may have been unlisted."""
        history = self._server.models[version.name]
        found = [
            [alias.alias for alias in _read(row).aliases if alias.version == version.version]
            for row in self._within(history)
        ]
        return found if self._stands(history) else [*found, []]

    def _map_users(self, users: set[str], *, throughout: bool) -> None:
        entities = [user_entity(user) for user in users if user]
        if throughout and len(users) == 1 and entities:
            self._demand(entities, ())
        else:
            self._allow(entities)

    def _map_experiments(self) -> None:
        for experiment_id, history in self._server.experiments.items():
            mapper = CrawlMapper(self._settings)
            entities = [mapper.experiment(_read(row)) for row in self._within(history) if row.active]
            if self._stands(history, active=True):
                self._demand(entities, (experiment_id,))
            else:
                self._allow(entities)

    def _map_runs(self) -> None:
        for run_id, history in self._server.runs.items():
            rows = [row for row in self._within(history) if row.active]
            if not rows:
                continue
            experiment = self._server.experiments[rows[0].fields["info"]["experiment_id"]]
            states = [self._states_of_run(row, experiment) for row in rows if row.entity is not None]
            must = self._stands(history, active=True) and self._stands(experiment, active=True)
            names = (
                run_id,
                f"experiment {rows[0].fields['info']['experiment_id']}",
                rows[0].fields["info"]["experiment_id"],
            )
            if must and not states:
                self.must.append(Expected([(run_urn(run_id), frozenset())], names))
            elif must:
                self._runs_that_must.add(run_id)
                self._demand_run(run_id, states, names)
            else:
                self._allow(entity for state in states for entity in state)

    def _states_of_run(self, row: Row[Run], experiment: History[Row[Any]]) -> list[Entity]:
        entities: list[Entity] = []
        for container in self._within(experiment):
            mapper = CrawlMapper(self._settings)
            assert row.entity is not None
            mapper.experiment(_read(container))
            entities += mapper.run(row.entity)
            entities += mapper.held()
            # Where other runs tell another upstream of a dataset, it has none.
            entities += [
                structs.replace(each, aspects=(*each.aspects[:-1], _NO_UPSTREAM))
                for each in entities
                if _has_upstream(each)
            ]
            if parents := self._parents_of(row.entity):
                entities += mapper.run(row.entity, parents)
        return entities

    def _parents_of(self, run: Run) -> set[str]:
        """Return the parents of a run that are crawled, if MLflow can say so."""
        named = {tag.value for tag in run.data.tags if tag.key == PARENT_TAG} & self._server.runs.keys()
        return {parent for parent in named if any(row.active for row in self._within(self._server.runs[parent]))}

    def _demand_run(self, run_id: str, states: list[list[Entity]], names: tuple[str, ...]) -> None:
        """The run itself, and what comes with it in all of its states."""
        by_urn: dict[str, list[Entity]] = defaultdict(list)
        for entity in (entity for state in states for entity in state):
            by_urn[entity.urn].append(entity)
        for urn, entities in by_urn.items():
            if all(any(entity.urn == urn for entity in state) for state in states):
                self._demand(entities, names)
            else:
                self._allow(entities)

    def _map_logged_models(self, *, zeros_unknown: bool) -> None:
        """Those of active experiments, whatever their runs are."""
        states = LoggedModelStates(self._server, self._settings, self._since, self._until, zeros_unknown=zeros_unknown)
        for model_id, history in self._server.logged_models.items():
            rows = self._within(history)
            if not rows:
                continue
            info = rows[0].fields["info"]
            experiment_id = info["experiment_id"]
            if self._stands(history) and self._stands(self._server.experiments[experiment_id], active=True):
                names = (model_id, f"experiment {experiment_id}", experiment_id)
                self._demand(states.of(model_id), names, (info["creation_timestamp_ms"], model_id))
            else:
                self._allow(states.of(model_id))


def _has_upstream(entity: Entity) -> bool:
    return isinstance(entity.aspects[-1], UpstreamLineage)


def _read(row: Row[T]) -> T:
    """What MLflow gives of a row that it can always give."""
    assert row.entity is not None
    return row.entity
