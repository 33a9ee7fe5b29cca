"""Somebody who works on the MLflow server: fills it, and goes on creating, editing and cleaning while it is crawled."""

import copy
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import msgspec

from tests.simulation.history import History
from tests.simulation.rows import Row
from tests.simulation.tracking_server import TrackingServer

NEWEST = 1_700_000_000_000
LONG = "long-" * 100
NAMES = ("fraud", "churn v2", "naïve café — 実験", "a(b),c", "100%", LONG, "x" * 430, "  blank", "q")
PROMPT_EVERY = 3
"""Where there are prompts at all, a model is one whose number this divides."""
PROMPT_TAGS = [
    {"key": "mlflow.prompt.is_prompt", "value": "true"},
    {"key": "mlflow.prompt.text", "value": "Hello {{name}}"},
]
STAGES = (None, "None", "Staging", "Production", "Archived")
LOGGED_METRICS = ("auc", "loss", "drift")
"""Metrics that are measured on logged models."""
USERS = ("ana", "bob", "", "CN=Carla (ops), O=x")

Item = TypeVar("Item")


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is at first. `ties` is how likely a run starts with another one, in the same millisecond; the
    last three are the shares of runs that MLflow cannot give, that have another shape, and that have no start time.
    """

    experiments: int
    runs: int
    models: int
    versions: int
    ties: float
    broken: float = 0.0
    misshapen: float = 0.0
    untimed: float = 0.0


class Writer:
    """Draws from one source of chance, so that a seed writes the same each time."""

    def __init__(self, server: TrackingServer, chance: Random, amounts: Amounts) -> None:
        self._server = server
        self._chance = chance
        self._amounts = amounts
        # A registry without any has longer listings of models, on which some faults only show.
        self._has_prompts = amounts.models % 2 == 0
        self._numbers = 0
        self._changes: tuple[Callable[[], None], ...] = (
            self._create_run,
            self._create_run,
            self._edit_run,
            self._edit_run,
            self._trash_or_restore_run,
            self._purge_run,
            self._create_version,
            self._edit_version,
            self._delete_version,
            self._create_model,
            self._edit_model,
            self._delete_model,
            self._create_experiment,
            self._edit_experiment,
            self._trash_or_restore_experiment,
        )

    def fill(self) -> None:
        """What is there before the crawl."""
        for _ in range(self._amounts.experiments):
            self._create_experiment()
        for _ in range(self._amounts.runs):
            self._create_run()
        for _ in range(self._amounts.models):
            self._create_model()
        for _ in range(self._amounts.versions):
            self._create_version()
        for _ in range(self._amounts.runs // 8):
            self._trash_or_restore_run()

    def write(self) -> None:
        """One change, or none where there is nothing of that kind."""
        self._chance.choice(self._changes)()

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _create_experiment(self) -> None:
        number = self._number()
        self._server.put_experiment(
            {
                "experiment_id": str(number),
                "name": f"{self._chance.choice(NAMES)} {number}",
                "artifact_location": f"s3://artifacts/{number}",
                "lifecycle_stage": "active",
                "creation_time": NEWEST + number,
                "last_update_time": NEWEST + number,
                "tags": self._tags(),
            }
        )

    def _edit_experiment(self) -> None:
        if fields := self._some(self._server.experiments):
            fields["tags"] = self._tags()
            fields["last_update_time"] += 1
            self._server.put_experiment(fields)

    def _trash_or_restore_experiment(self) -> None:
        """An experiment takes its runs along, in both directions."""
        if fields := self._some(self._server.experiments):
            fields["lifecycle_stage"] = _other_stage(fields["lifecycle_stage"])
            self._server.put_experiment(fields)
            for history in list(self._server.runs.values()):
                row = history.now
                if row is not None and row.fields["info"]["experiment_id"] == fields["experiment_id"]:
                    run = copy.deepcopy(row.fields)
                    run["info"]["lifecycle_stage"] = fields["lifecycle_stage"]
                    self._server.put_run(run)

    def _create_run(self) -> None:
        experiment = self._some(self._server.experiments)
        if experiment is None or experiment["lifecycle_stage"] == "deleted":
            return
        chance, number = self._chance, self._number()
        run_id = f"{chance.getrandbits(128):032x}"
        data: dict[str, Any] = {"metrics": self._metrics(), "params": self._params(), "tags": self._tags()}
        if chance.random() < self._amounts.misshapen:
            data["metrics"] = [{"value": 0.5}]
        parents = [*self._server.runs]
        if parents and chance.random() < 0.1:
            data["tags"].append({"key": "mlflow.parentRunId", "value": chance.choice(parents)})
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "experiment_id": experiment["experiment_id"],
            "run_name": f"run {number}",
            "user_id": chance.choice(USERS),
            "status": "RUNNING",
            "start_time": self._start_time(),
            "end_time": None,
            "artifact_uri": f"s3://artifacts/{run_id}",
            "lifecycle_stage": "active",
        }
        self._end(info)
        if chance.random() < self._amounts.broken:
            self._server.broken.add(run_id)
        self._server.put_run({"info": info, "data": data, "inputs": {"dataset_inputs": self._inputs()}})

    def _start_time(self) -> int | None:
        chance = self._chance
        if chance.random() < self._amounts.untimed:
            return None
        if chance.random() < self._amounts.ties:
            return NEWEST - chance.randrange(3)
        return NEWEST - chance.randrange(1_000_000)

    def _end(self, info: dict[str, Any]) -> None:
        if self._chance.random() < 0.7 and info["start_time"] is not None:
            info["status"] = self._chance.choice(("FINISHED", "FAILED", "KILLED"))
            info["end_time"] = info["start_time"] + self._chance.randrange(10_000)

    def _edit_run(self) -> None:
        if fields := self._some(self._server.runs):
            fields["data"]["tags"] = self._tags()
            if is_shaped(fields):
                fields["data"]["metrics"] = self._metrics() + of_logged_models(fields)
            if fields["info"]["end_time"] is None:
                self._end(fields["info"])
            self._server.put_run(fields)

    def _trash_or_restore_run(self) -> None:
        if fields := self._some(self._server.runs):
            fields["info"]["lifecycle_stage"] = _other_stage(fields["info"]["lifecycle_stage"])
            self._server.put_run(fields)

    def _purge_run(self) -> None:
        if fields := self._some(self._server.runs):
            self._server.purge_run(fields["info"]["run_id"])

    def _create_model(self) -> None:
        number = self._number()
        self._server.put_model(
            {
                "name": f"{self._chance.choice(NAMES)} {number}",
                "creation_timestamp": NEWEST + number,
                "last_updated_timestamp": NEWEST + number,
                "description": "A model.",
                "latest_versions": [],
                "tags": self._tags() + (PROMPT_TAGS if self._has_prompts and number % PROMPT_EVERY == 0 else []),
                "aliases": [],
            }
        )

    def _edit_model(self) -> None:
        """New tags, and an alias that moves to another version or goes."""
        if fields := self._some(self._server.models):
            fields["tags"] = self._tags() + _of_prompt(fields)
            fields["aliases"] = []
            if versions := self._versions_of(fields["name"]):
                fields["aliases"] = [{"alias": "champion", "version": str(self._chance.choice(versions))}]
            self._put_model(fields)

    def _delete_model(self) -> None:
        if fields := self._some(self._server.models):
            self._server.delete_model(fields["name"])

    def _create_version(self, logged_model: dict[str, Any] | None = None) -> None:
        """The number is one more than the highest that is there, as MLflow counts: it may have been another's.

        Of a logged model it has the run, too; a prompt is made of none.
        """
        model = self._some(self._server.models)
        if model is None:
            return
        number = max(self._versions_of(model["name"]), default=0) + 1
        self._server.put_version(
            {
                "name": model["name"],
                "version": str(number),
                "creation_timestamp": NEWEST + self._number(),
                "last_updated_timestamp": NEWEST,
                "user_id": self._chance.choice(USERS),
                "current_stage": self._chance.choice(STAGES),
                "description": "",
                "run_id": "" if _of_prompt(model) else self._run_of_version(logged_model),
                "source": None if _of_prompt(model) else _source_of_version(logged_model),
                "tags": self._tags() + _of_prompt(model),
            }
        )
        self._put_model(model)

    def _run_of_version(self, logged_model: dict[str, Any] | None) -> str:
        if logged_model is not None:
            return str(logged_model["info"]["source_run_id"] or "")
        chance = self._chance.random()
        if self._server.runs and chance < 0.8:
            return self._chance.choice([*self._server.runs])
        return "" if chance < 0.95 else f"{self._chance.getrandbits(128):032x}"

    def _edit_version(self) -> None:
        if fields := self._some(self._server.versions):
            fields["tags"] = self._tags() + _of_prompt(fields)
            fields["current_stage"] = self._chance.choice(STAGES)
            fields["last_updated_timestamp"] += 1
            self._server.put_version(fields)

    def _delete_version(self) -> None:
        if fields := self._some(self._server.versions):
            self._server.delete_version((fields["name"], int(fields["version"])))
            if model := self._server.models[fields["name"]].now:
                self._put_model(copy.deepcopy(model.fields))

    def _put_model(self, fields: dict[str, Any]) -> None:
        """With what MLflow works out of the versions."""
        versions = self._versions_of(fields["name"])
        fields["latest_versions"] = [{"version": str(max(versions))}] if versions else []
        fields["aliases"] = [alias for alias in fields["aliases"] if int(alias["version"]) in versions]
        fields["last_updated_timestamp"] += 1
        self._server.put_model(fields)

    def _versions_of(self, name: str) -> list[int]:
        return [number for (model, number), history in self._server.versions.items() if model == name and history.now]

    def _some(self, rows: dict[Any, History[Row[Any]]]) -> dict[str, Any] | None:
        """A copy of the fields of one of the rows that are there."""
        there = [row for history in rows.values() if (row := history.now) is not None]
        return copy.deepcopy(self._chance.choice(there).fields) if there else None

    def _tags(self) -> list[dict[str, str]]:
        return [
            {"key": f"tag{number}", "value": f"{self._chance.getrandbits(32):08x}"}
            for number in range(self._chance.randrange(3))
        ]

    def _metrics(self) -> list[dict[str, Any]]:
        values = (0.25, 1e-7, "NaN", 1.7976931348623157e308)
        return [
            {"key": f"metric{number}", "value": self._chance.choice(values), "timestamp": NEWEST, "step": 1}
            for number in range(self._chance.randrange(3))
        ]

    def _params(self) -> list[dict[str, str]]:
        return [{"key": f"param{number}", "value": "1"} for number in range(self._chance.randrange(3))]

    def _inputs(self) -> list[dict[str, Any]]:
        if self._chance.random() < 0.7:
            return []
        columns = f'{{"mlflow_colspec": [{{"name": "c{self._chance.randrange(3)}", "type": "long"}}]}}'
        dataset = {
            "name": f"payments-{self._chance.randrange(4)}",
            "source_type": self._chance.choice(("local", "s3", "gs", "strange")),
            "schema": self._chance.choice((columns, "no JSON", None)),
        }
        return [{"dataset": _given(dataset), "tags": []}]


def _of_prompt(fields: dict[str, Any]) -> list[dict[str, str]]:
    """The tags that say that a model or a version is one of a prompt; none where it is not."""
    return [tag for tag in fields["tags"] if tag in PROMPT_TAGS]


def is_shaped(run: dict[str, Any]) -> bool:
    """Whether the run has the shape that MLflow's have."""
    return all("key" in metric for metric in run["data"]["metrics"])


def of_logged_models(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of a run that were measured on logged models: no other word of the run's replaces them."""
    return [metric for metric in run["data"]["metrics"] if metric["key"] in LOGGED_METRICS]


def _source_of_version(logged_model: dict[str, Any] | None) -> str | None:
    return None if logged_model is None else f"models:/{logged_model['info']['model_id']}"


def _other_stage(stage: str) -> str:
    return "active" if stage == "deleted" else "deleted"


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
