"""What the mapping makes of each state that a logged model had in a stretch of time, and of what is said beside it."""

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import Any

from crawler.datahub.proposals import Entity
from crawler.mapping.experiments import container_urn
from crawler.mapping.logged_models import (
    PointKey,
    Registered,
    latest_points,
    logged_model_entity,
    point_key,
    source_model_id,
)
from crawler.mlflow.entities import LoggedModel, MetricPoint
from crawler.settings.mapping import MappingSettings
from tests.simulation.rows import Row
from tests.simulation.tracking_server import TrackingServer, VersionKey


class LoggedModelStates:
    """Of one server under one mapping, between two times. `zeros_unknown` says that a crawl told that it could not look
    up all points that MLflow lists as 0.0.
    """

    def __init__(
        self, server: TrackingServer, settings: MappingSettings, since: float, until: float, *, zeros_unknown: bool
    ) -> None:
        self._server = server
        self._settings = settings
        self._since = since
        self._until = until
        self._zeros_unknown = zeros_unknown
        self._versions: dict[str, list[VersionKey]] = {}
        for key, history in sorted(server.versions.items()):
            for model_id in {_made_of(row) for row in history.within(since, until)} - {None}:
                self._versions.setdefault(str(model_id), []).append(key)

    def of(self, model_id: str) -> Iterator[Entity]:
        """Yield all that it may be in DataHub."""
        for begin, row in self._server.logged_models[model_id].states(self._since, self._until):
            model = row.entity
            assert model is not None
            zeros = [each for each in latest_points(model.data.metrics) if each.value == 0 and each.run_id]
            nans = [self._may_be_nan(each, max(begin, self._since)) for each in zeros]
            for container in self._containers(model):
                for versions in self._registrations(model_id):
                    for chosen in product(*nans):
                        keys = {key for each, is_nan in zip(zeros, chosen, strict=True) for key in _key(each, is_nan)}
                        yield logged_model_entity(model, container, versions, keys, self._settings)

    def _containers(self, model: LoggedModel) -> set[str]:
        rows = self._server.experiments[model.info.experiment_id].within(self._since, self._until)
        return {container_urn(row.entity, self._settings) for row in rows if row.entity is not None}

    def _registrations(self, model_id: str) -> Iterator[Sequence[Registered]]:
        """Yield what versions may be seen: those that were there throughout, and any of the others."""
        keys = self._versions.get(model_id, [])
        for chosen in product(*(self._may_be_seen(key, model_id) for key in keys)):
            yield [Registered(key[0], str(key[1])) for key, is_seen in zip(keys, chosen, strict=True) if is_seen]

    def _may_be_seen(self, key: VersionKey, model_id: str) -> Collection[bool]:
        """Whether the crawl finds the version, made of this logged model: always, or perhaps."""
        history = self._server.versions[key]
        rows = history.within(self._since, self._until)
        of_model = all(_made_of(row) == model_id for row in rows)
        return (True,) if of_model and history.throughout(self._since, self._until) else (True, False)

    def _may_be_nan(self, point: MetricPoint, since: float) -> Collection[bool]:
        """What the point's run says of it from the time on at which the model has it.

        A run that MLflow cannot give says nothing, and one that has gone on says something else.
        """
        # The run that was before the point was logged, at the same moment, says nothing of it.
        since = math.nextafter(since, math.inf)
        history = self._server.runs[point.run_id]
        rows = history.within(since, self._until)
        said = {_says_nan(row.fields, point) for row in rows}
        untimed = any(row.fields["info"]["start_time"] is None for row in rows)
        is_given = history.throughout(since, self._until) and not untimed and point.run_id not in self._server.broken
        is_given = is_given and all(row.entity is not None for row in rows)
        return said if is_given and not self._zeros_unknown else said | {False}


def _made_of(version: Row[Any]) -> str | None:
    return source_model_id(version.fields.get("source") or "")


def _says_nan(run: dict[str, Any], point: MetricPoint) -> bool:
    wanted = (point.key, point.timestamp, point.step, "NaN")
    return any(
        (each["key"], each["timestamp"], each["step"], each["value"]) == wanted
        for each in run["data"]["metrics"]
        if "key" in each
    )


def _key(point: MetricPoint, is_nan: bool) -> Collection[PointKey]:
    return [point_key(point.run_id, point)] if is_nan else []
