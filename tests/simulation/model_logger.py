"""Somebody who logs models to MLflow, measures, registers and deletes them, while it is crawled."""

import copy
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tests.simulation.tracking_server import TrackingServer
from tests.simulation.writer import LOGGED_METRICS, NEWEST, Amounts, Writer, is_shaped

VALUES = (0.25, 1e-7, 0.0, "NaN", 1.7976931348623157e308)
MOST_VERSIONS = 3
"""Of one logged model; what may be said of these is worked out combination by combination."""


class LoggedAmounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many logged models there are at first, and how many points of their metrics.

    `ties` is how likely one has the creation time of others. Somebody changes them with `write_chance` before a page of
    their listing, more seldom before any other answer, `writes` times at most.
    """

    models: int
    points: int
    ties: float
    writes: int
    write_chance: float


class ModelLogger(Writer):
    """Draws from a source of chance of its own: without it, all else that a seed writes is the same."""

    def __init__(self, server: TrackingServer, chance: Random, amounts: Amounts, logged: LoggedAmounts) -> None:
        super().__init__(server, chance, amounts)
        self._logged = logged
        self._left = logged.writes
        self._changes: tuple[Callable[[], None], ...] = (
            self._create_logged_model,
            self._finalize,
            self._measure,
            self._measure,
            self._tag,
            self._register,
            self._clean_up,
            self._clean_up,
            self._clean_up,
            self._clean_up,
        )

    def fill(self) -> None:
        """What is there before the crawl."""
        for _ in range(self._logged.models):
            self._create_logged_model()
        for _ in range(self._logged.points):
            self._measure()
        for _ in range(self._logged.models // 4):
            self._register()

    def before_answer(self, url: str) -> None:
        """Writes or not, before MLflow answers a request."""
        share = 1.0 if url.endswith("/logged-models/search") else 0.1
        if self._left and self._chance.random() < share * self._logged.write_chance:
            self._left -= 1
            self.write()

    def _create_logged_model(self) -> None:
        """MLflow 3.6 and later say of a run what it has logged, where the client has told it so."""
        experiment = self._some(self._server.experiments)
        if experiment is None or experiment["lifecycle_stage"] == "deleted":
            return
        run = self._run_of(experiment["experiment_id"]) if self._chance.random() < 0.8 else None
        created, number = self._creation_time(), self._number()
        model_id = f"m-{self._chance.getrandbits(128):032x}"
        info = {
            "model_id": model_id,
            "experiment_id": experiment["experiment_id"],
            "name": self._chance.choice((f"model {number}", "the same")),
            "creation_timestamp_ms": created,
            "last_updated_timestamp_ms": created,
            "artifact_uri": f"s3://artifacts/models/{model_id}",
            "status": "LOGGED_MODEL_PENDING",
            "model_type": self._chance.choice(("", "agent")),
            "source_run_id": None if run is None else run["info"]["run_id"],
            "tags": self._tags(),
        }
        self._server.put_logged_model({"info": info, "data": {"params": self._params(), "metrics": []}})
        if run is not None and self._chance.random() < 0.8:
            run.setdefault("outputs", {"model_outputs": []})["model_outputs"].append({"model_id": model_id, "step": 0})
            self._put_run(run)

    def _run_of(self, experiment_id: str) -> dict[str, Any] | None:
        there = [row.fields for history in self._server.runs.values() if (row := history.now) is not None]
        there = [fields for fields in there if fields["info"]["experiment_id"] == experiment_id]
        return copy.deepcopy(self._chance.choice(there)) if there else None

    def _creation_time(self) -> int:
        if self._chance.random() < self._logged.ties:
            return NEWEST - self._chance.randrange(3)
        return NEWEST - self._chance.randrange(1_000_000)

    def _update_time(self) -> int:
        return NEWEST + self._number()

    def _finalize(self) -> None:
        if fields := self._some(self._server.logged_models):
            fields["info"]["status"] = self._chance.choice(("LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"))
            fields["info"]["last_updated_timestamp_ms"] = self._update_time()
            self._server.put_logged_model(fields)

    def _tag(self) -> None:
        """Which moves no time."""
        if fields := self._some(self._server.logged_models):
            fields["info"]["tags"] = self._tags()
            self._server.put_logged_model(fields)

    def _measure(self) -> None:
        """One point more, by the model's own run or another one, which has the newest only. NaN is listed as 0.0.

        MLflow takes no metric of a run that is deleted (sqlalchemy_store.py, _check_run_is_active).
        """
        model, run = self._some(self._server.logged_models), self._some(self._server.runs)
        if model is None:
            return
        own = self._server.runs.get(model["info"]["source_run_id"])
        if own is not None and own.now is not None and self._chance.random() < 0.7:
            run = copy.deepcopy(own.now.fields)
        if run is None or not is_shaped(run) or run["info"]["lifecycle_stage"] == "deleted":
            return
        point = {
            "key": self._chance.choice(LOGGED_METRICS),
            "value": self._chance.choice(VALUES),
            "timestamp": NEWEST + self._number(),
            "step": self._chance.randrange(3),
        }
        dataset = {"dataset_name": f"payments-{self._chance.randrange(4)}"} if self._chance.random() < 0.2 else {}
        listed = {"value": 0.0} if point["value"] == "NaN" else {}
        of_run = {"run_id": run["info"]["run_id"], "model_id": model["info"]["model_id"]}
        model["data"]["metrics"].append({**point, **listed, **of_run, **dataset})
        run["data"]["metrics"] = _with_point(run["data"]["metrics"], point)
        self._put_run(run)
        self._server.put_logged_model(model)

    def _put_run(self, fields: dict[str, Any]) -> None:
        self._server.put_run(fields)

    def _register(self) -> None:
        fields = self._some(self._server.logged_models)
        if fields is not None and len(self._made_of(fields["info"]["model_id"])) < MOST_VERSIONS:
            self._create_version(fields)

    def _made_of(self, model_id: str) -> list[str]:
        """The names of the versions that ever were made of a logged model."""
        made = []
        for (name, _), history in self._server.versions.items():
            rows = history.within(float("-inf"), float("inf"))
            made += [name for row in rows if row.fields.get("source") == f"models:/{model_id}"][:1]
        return made

    def _clean_up(self) -> None:
        """Deletes some: by offset, a row of the listing is lost for each that was on a page before."""
        for _ in range(self._chance.randrange(1, 4)):
            self._delete_logged_model()

    def _delete_logged_model(self) -> None:
        if fields := self._some(self._server.logged_models):
            self._server.delete_logged_model(fields["info"]["model_id"])


def _with_point(metrics: list[dict[str, Any]], point: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of a run with one more point, if that is newer than the one of the same key."""
    known = next((metric for metric in metrics if metric["key"] == point["key"]), None)
    if known is None:
        return [*metrics, point]
    newer = (known["step"], known["timestamp"]) < (point["step"], point["timestamp"])
    return [point if metric is known and newer else metric for metric in metrics]
