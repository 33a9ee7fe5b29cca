"""Fills a server through the client of the MLflow that runs this file, then writes what that client itself reports.

    PYTHON_OF_THE_ENVIRONMENT fill.py URL OUTPUT.json

Runs with MLflow 1.27 to 3.x, so it uses what the client has and goes on where a version refuses something.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import warnings
from pathlib import Path
from typing import Any

os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

VERSION = tuple(map(int, mlflow.__version__.split(".")[:2]))
START = 1_700_000_000_000
EXPERIMENTS = ["churn", "naïve café — 実験", "slash/and:colon,comma (paren) 'single' \"double\" 100%", "empty"]
MODELS = ["fraud", "modèle-é", "with, comma (and) brackets", "it's", "both \" and '", "slash/and:colon", "no-versions"]
STATUSES = ["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"]
ODD_NAME = "ünï/code: 'single' \"double\", (paren) 実"
NOWHERE = "0" * 32
STAGES = ["None", "Staging", "Production", "Archived"]
COLUMNS = json.dumps({"mlflow_colspec": [{"name": "age", "type": "long"}, {"name": "naïve", "type": "string"}]})
OTHER_COLUMNS = json.dumps({"mlflow_colspec": [{"name": "x", "type": "double"}]})


class Filler:
    """One server and the client of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = MlflowClient(tracking_uri=url, registry_uri=url)

    def fill(self) -> None:
        """Everything that the crawl should meet."""
        experiments = [self.experiment(name) for name in EXPERIMENTS]
        runs = self.ordinary_runs(experiments[:3])
        runs += self.odd_runs(experiments[0])
        self.equal_start_times(experiments[1])
        deleted_run = self.run(experiments[0], "deleted", START + 5, "FINISHED")
        gone = self.experiment("deleted experiment")
        run_in_gone = self.run(gone, "in a deleted experiment", START + 6, "FINISHED")
        self.models(runs, deleted_run, run_in_gone)
        self.client.delete_run(deleted_run)
        self.client.delete_run(self.run(experiments[1], "deleted too", START + 7, "FAILED"))
        self.client.delete_experiment(gone)

    def experiment(self, name: str) -> str:
        experiment: str = self.client.create_experiment(name)
        self.client.set_experiment_tag(experiment, "team", "ml")
        self.client.set_experiment_tag(experiment, "mlflow.note.content", f"note of *{name}*\nline 2")
        return experiment

    def run(
        self,
        experiment: str,
        name: str,
        start: int,
        status: str,
        parent: str | None = None,
        params: dict[str, str] | None = None,
        metrics: dict[str, float] | None = None,
        end: int | None = None,
        user: str = "ann",
    ) -> str:
        tags = {"mlflow.runName": name, "mlflow.user": user, "empty": "", "ünï": 'çödé 実 " \\ \n'}
        if parent:
            tags["mlflow.parentRunId"] = parent
        run: str = self.client.create_run(experiment, start_time=start, tags=tags).info.run_id
        params = {"lr": "0.1", "text": 'q"uote\\ é', "empty": ""} if params is None else params
        metrics = {"acc": 0.5, "big": 1e300} if metrics is None else metrics
        self.log(run, params, metrics)
        if status in ("FINISHED", "FAILED", "KILLED"):
            self.client.set_terminated(run, status=status, end_time=end or start + 1_000)
        elif status == "SCHEDULED":
            self.client.set_terminated(run, status=status, end_time=start + 1)
        return run

    def log(self, run: str, params: dict[str, str], metrics: dict[str, float]) -> None:
        # Before 1.28 the REST API refuses empty values of params.
        entries = [Param(key, value) for key, value in params.items() if value or VERSION >= (1, 28)]
        for first in range(0, len(entries), 100):
            self.client.log_batch(run, params=entries[first : first + 100])
        self.client.log_batch(run, metrics=[Metric(key, value, START, 0) for key, value in metrics.items()])

    def ordinary_runs(self, experiments: list[str]) -> list[str]:
        runs = []
        for number, experiment in enumerate(experiments):
            start = START + number * 10_000
            parent = self.run(experiment, "parent", start, "FINISHED")
            child = self.run(experiment, "child", start + 1, "FINISHED", parent=parent)
            self.run(experiment, "grandchild", start + 2, "FAILED", parent=child)
            runs += [parent, child]
            runs += [self.run(experiment, status, start + 3 + i, status) for i, status in enumerate(STATUSES)]
        for number, run in enumerate(runs):
            self.inputs(run, number)
        return runs

    def odd_runs(self, experiment: str) -> list[str]:
        strange = {"nan": float("nan"), "inf": float("inf"), "minus": float("-inf"), "zero": -0.0, "tiny": 5e-324}
        runs = [
            self.run(experiment, "odd numbers", START + 100, "FINISHED", metrics=strange),
            self.run(experiment, "nothing", START + 101, "FINISHED", params={}, metrics={}),
            self.run(experiment, "many", START + 102, "FINISHED", params={f"p{i:04}": str(i) for i in range(1_000)}),
            self.run(experiment, "ends before it starts", START + 200, "FINISHED", end=START + 1),
            self.run(experiment, ODD_NAME, START + 103, "FINISHED", user=ODD_NAME),
        ]
        self.long_tag(runs[1])
        untimed = self.post("runs/create", {"experiment_id": experiment, "user_id": "bob"})["run"]["info"]["run_id"]
        ended = self.post("runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
        self.post("runs/update", {"run_id": ended, "status": "FINISHED", "end_time": START + 9})
        return [*runs, untimed, ended]

    def long_tag(self, run: str) -> None:
        for length in (8_000, 5_000):
            try:
                self.client.log_batch(run, tags=[RunTag("long", "x" * length)])
            except MlflowException:
                continue
            return

    def equal_start_times(self, experiment: str) -> None:
        for number in range(25):
            self.post(
                "runs/create", {"experiment_id": experiment, "user_id": f"u{number % 3}", "start_time": START + 50}
            )

    def inputs(self, run: str, number: int) -> None:
        try:
            from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415  2.4 and later
        except ImportError:
            return
        datasets = [
            Dataset("shared", f"d{number % 2}", "local", "{}", COLUMNS if number % 2 else OTHER_COLUMNS),
            Dataset("wh.schema.tbl", "d5", "snowflake", "{}", COLUMNS),
            Dataset("tensor", "d6", "s3", "{}", '{"mlflow_tensorspec": {"features": "[]"}}'),
            Dataset("no schema", "d7", "code", "{}"),
        ]
        context = InputTag("mlflow.data.context", "training" if number % 3 else "eval")
        chosen = datasets[: 1 + number % 4]
        self.client.log_inputs(run, [DatasetInput(dataset, [context] if number % 2 else []) for dataset in chosen])

    def models(self, runs: list[str], deleted_run: str, run_in_gone: str) -> None:
        for number, name in enumerate(MODELS):
            try:
                self.client.create_registered_model(name, tags={"owner": "ann"}, description=f"about {name}")
            except MlflowException:
                continue
            if name != "no-versions":
                self.versions(name, [runs[number], None, runs[0], deleted_run, run_in_gone, NOWHERE])

    def versions(self, name: str, runs: list[str | None]) -> None:
        for number, run in enumerate(runs, start=1):
            self.post(
                "model-versions/create",
                {
                    "name": name,
                    "source": f"s3://models/{number}",
                    "description": f"version {number}",
                    "tags": [{"key": "n", "value": str(number)}],
                    **({"run_id": run} if run else {}),
                },
            )
            stage = STAGES[number % 4]
            if stage != "None":
                self.client.transition_model_version_stage(name, str(number), stage)
        if hasattr(self.client, "set_registered_model_alias"):
            for alias, version in (("champion", "2"), ("shadow", "2"), ("next", "4")):
                self.client.set_registered_model_alias(name, alias, version)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def report(self) -> dict[str, Any]:
        """What the client itself says is there."""
        experiments = self.experiments()
        return {
            "experiments": [{"id": e.experiment_id, "name": e.name, "tags": dict(e.tags)} for e in experiments],
            "runs": [self.describe_run(run) for e in experiments for run in self.runs(e.experiment_id)],
            "models": [self.describe_model(model) for model in self.pages(self.search_models)],
            "versions": [
                self.describe_version(version) for version in self.pages(self.client.search_model_versions, "")
            ],
        }

    def experiments(self) -> list[Any]:
        if hasattr(self.client, "search_experiments"):
            return self.pages(self.client.search_experiments)
        return self.pages(self.client.list_experiments)

    def search_models(self, page_token: str | None = None) -> Any:
        search = getattr(self.client, "search_registered_models", None) or self.client.list_registered_models
        return search(page_token=page_token)

    def runs(self, experiment: str) -> list[Any]:
        return self.pages(self.client.search_runs, [experiment], "", ViewType.ACTIVE_ONLY)

    def pages(self, search: Any, *args: Any) -> list[Any]:
        rows: list[Any] = []
        token = None
        while True:
            try:
                page = search(*args, page_token=token)
            except TypeError:  # MLflow 1.x gives all model versions at once
                page = search(*args)
            rows += list(page)
            token = getattr(page, "token", None)
            if not token:
                return rows

    def describe_run(self, run: Any) -> dict[str, Any]:
        inputs = getattr(run, "inputs", None)
        return {
            "id": run.info.run_id,
            "experiment": run.info.experiment_id,
            "name": getattr(run.info, "run_name", None) or run.info.run_id,
            "user": run.info.user_id,
            "status": run.info.status,
            "start": run.info.start_time,
            "end": run.info.end_time,
            "artifacts": run.info.artifact_uri,
            "params": dict(run.data.params),
            "metrics": {key: str(value) for key, value in run.data.metrics.items()},
            "tags": dict(run.data.tags),
            "datasets": [[each.dataset.name, each.dataset.schema] for each in inputs.dataset_inputs] if inputs else [],
        }

    def describe_model(self, model: Any) -> dict[str, Any]:
        return {
            "name": model.name,
            "tags": dict(model.tags),
            "description": model.description,
            "created": model.creation_timestamp,
            "aliases": dict(getattr(model, "aliases", None) or {}),
        }

    def describe_version(self, version: Any) -> dict[str, Any]:
        run = self.client.get_run(version.run_id) if version.run_id not in (None, "", NOWHERE) else None
        return {
            "name": version.name,
            "version": str(version.version),
            "run": version.run_id or None,
            "stage": version.current_stage,
            "description": version.description,
            "tags": dict(version.tags),
            "created": version.creation_timestamp,
            "params": dict(run.data.params) if run else None,
            "metrics": {key: str(value) for key, value in run.data.metrics.items()} if run else None,
        }


if __name__ == "__main__":
    filler = Filler(sys.argv[1])
    filler.fill()
    Path(sys.argv[2]).write_text(json.dumps(filler.report()))
