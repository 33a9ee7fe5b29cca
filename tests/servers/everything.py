"""Fills a server with one of everything that MLflow 3 has, through the client of the MLflow that runs this file.

    PYTHON_OF_THE_ENVIRONMENT everything.py URL OUTPUT.json

Needs MLflow 3.9 or later. OUTPUT.json says what was made: `ids` by kind and name, and `texts` by kind, of which each is
an id or a text of one thing alone. Unlike `fill.py` it makes nothing odd: all that is here, servers have.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
)
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema  # noqa: E402

START = 1_750_000_000_000
COMMIT = "9fceb02d0ae598e95dc970b74767f19372d61af8"
COLUMNS = json.dumps({"mlflow_colspec": [{"name": "tenure", "type": "long"}, {"name": "plan", "type": "string"}]})
TENSOR = json.dumps({"mlflow_tensorspec": {"features": "[]", "targets": None}})
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("long", "tenure_in_months"), ColSpec("string", "price_plan", required=False)]),
    outputs=Schema([ColSpec("double", "churn_probability")]),
    params=ParamSchema([ParamSpec("decision_threshold", "double", 0.5)]),
)


class Constant(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model that says the same of everything."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
        return [0.5] * len(model_input)


class Everything:
    """One server, and what was made there."""

    def __init__(self, url: str) -> None:
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        self.client = MlflowClient()
        self.ids: dict[str, dict[str, Any]] = defaultdict(dict)
        self.texts: dict[str, list[str]] = defaultdict(list)

    def make(self) -> None:
        """Make everything."""
        churn, assistant = self.experiment("churn-prediction"), self.experiment("support-assistant")
        self.runs(churn)
        self.in_the_trash(churn)
        self.pyfunc_model(churn)
        self.logged_models(churn)
        self.evaluation(churn)
        self.registered_models()
        mlflow.set_experiment(experiment_id=assistant)
        self.prompts()
        self.evaluation_datasets(assistant)
        self.traces(assistant)

    def experiment(self, name: str) -> str:
        tags = {"team": f"team of {name}", "mlflow.note.content": f"All about **{name}**."}
        experiment: str = self.client.create_experiment(name, tags=tags)
        self.ids["experiments"][name] = experiment
        self.texts["experiments"].append(name)
        self.texts["descriptions of experiments"].append(tags["mlflow.note.content"])
        self.texts["tags of experiments"].append(tags["team"])
        return experiment

    def run(self, experiment: str, name: str, start: int, status: str = "FINISHED", parent: str | None = None) -> str:
        """Make a run with params, metrics and tags, which ends unless it is to be RUNNING."""
        tags = {
            "mlflow.user": "ann",
            "mlflow.note.content": f"Why **{name}** was run.",
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "PROJECT",
            "mlflow.source.git.commit": COMMIT,
            "mlflow.source.git.repoURL": "https://git.example.com/ml/churn.git",
            "mlflow.project.entryPoint": "main",
            "purpose": f"purpose of {name}",
        }
        if parent:
            tags["mlflow.parentRunId"] = parent
        run: str = self.client.create_run(experiment, start_time=start, tags=tags, run_name=name).info.run_id
        self.client.log_batch(
            run,
            metrics=[
                Metric("auc", 0.1171875, start, 0),
                Metric("auc", 0.8671875, start + 1, 1),
                Metric("loss", float("nan"), start, 0),
            ],
            params=[Param("depth", f"depth of {name}")],
        )
        if status != "RUNNING":
            self.client.set_terminated(run, status=status, end_time=start + 60_000)
        self.ids["runs"][name] = run
        return run

    def runs(self, experiment: str) -> None:
        parent = self.run(experiment, "parent-run", START)
        child = self.run(experiment, "child-run", START + 1_000, parent=parent)
        self.run(experiment, "grandchild-run", START + 2_000, "FAILED", parent=child)
        self.run(experiment, "running-run", START + 3_000, "RUNNING")
        for name, run in self.ids["runs"].items():
            self.texts["runs"].append(run)
            self.texts["tags of runs"].append(f"purpose of {name}")
            self.texts["descriptions of runs"].append(f"Why **{name}** was run.")
            self.texts["params"].append(f"depth of {name}")
        self.texts["git commits of runs"].append(COMMIT)
        self.texts["metrics"].append("0.8671875")
        self.texts["earlier values of metrics"].append("0.1171875")
        self.inputs(parent, Dataset("customers-table", "d1", "snowflake", '{"table": "customers"}', COLUMNS))
        self.inputs(parent, Dataset("features-delta", "d2", "delta_table", '{"path": "features"}', COLUMNS))
        self.inputs(child, Dataset("images-tensor", "d3", "s3", '{"uri": "s3://bucket/images"}', TENSOR))
        self.inputs(child, Dataset("customers-csv", "d4", "local", '{"uri": "customers.csv"}', COLUMNS))

    def inputs(self, run: str, dataset: Any, context: str = "training", models: list[str] | None = None) -> None:
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        self.client.log_inputs(run, [used], [LoggedModelInput(model) for model in models or []])
        self.texts["datasets of runs"].append(dataset.name)

    def in_the_trash(self, experiment: str) -> None:
        run = self.run(experiment, "deleted-run", START + 4_000)
        self.logged_model(experiment, "logged-by-deleted-run", run)
        self.client.delete_run(run)
        retired = self.client.create_experiment("deleted-experiment")
        self.ids["experiments"]["deleted-experiment"] = retired
        in_retired = self.run(retired, "run-of-deleted-experiment", START + 5_000)
        self.client.delete_experiment(retired)
        self.texts["deleted runs"] += [run, in_retired]
        self.texts["deleted experiments"].append("deleted-experiment")

    def pyfunc_model(self, experiment: str) -> None:
        """Log a model with its files as users do, which registers it too."""
        mlflow.set_experiment(experiment_id=experiment)
        with mlflow.start_run(run_name="fit-run") as run:
            mlflow.log_param("kernel", "kernel of fit-run")
            model = mlflow.pyfunc.log_model(
                name="logged-classifier",
                python_model=Constant(),
                signature=SIGNATURE,
                pip_requirements=["pandas"],
                registered_model_name="churn-classifier",
                params={"layers": "3"},
                tags={"reviewer": "bob"},
            )
        self.ids["runs"]["fit-run"] = run.info.run_id
        self.ids["logged_models"]["logged-classifier"] = model.model_id
        self.texts["runs"].append(run.info.run_id)
        self.texts["params"].append("kernel of fit-run")
        self.texts["registered models"].append("churn-classifier")
        self.texts["model versions"].append("churn-classifier_1")
        self.texts["logged models"].append("logged-classifier")
        self.texts["columns of model signatures"] += ["tenure_in_months", "price_plan", "churn_probability"]

    def logged_models(self, experiment: str) -> None:
        source = self.ids["runs"]["parent-run"]
        self.logged_model(experiment, "logged-agent", source, model_type="agent")
        self.logged_model(experiment, "agent-logged-alone", None, model_type="agent")
        self.logged_model(experiment, "logged-with-failed-upload", source, "FAILED")
        self.logged_model(experiment, "logged-with-pending-upload", source, "PENDING")
        self.client.delete_logged_model(self.logged_model(experiment, "deleted-logged-model", source))
        for kind in ("logged models", "params of logged models", "tags of logged models"):
            self.texts[kind].pop()

    def logged_model(
        self, experiment: str, name: str, run: str | None, status: str = "READY", model_type: str | None = None
    ) -> str:
        model: str = self.client.create_logged_model(
            experiment,
            name=name,
            source_run_id=run,
            tags={"reviewer": f"reviewer of {name}"},
            params={"layers": f"layers of {name}"},
            model_type=model_type,
        ).model_id
        if run:
            self.client.log_outputs(run, [LoggedModelOutput(model, 0)])
        if status != "PENDING":
            self.client.finalize_logged_model(model, status)
        self.ids["logged_models"][name] = model
        self.texts["logged models"].append(name)
        self.texts["params of logged models"].append(f"layers of {name}")
        self.texts["tags of logged models"].append(f"reviewer of {name}")
        return model

    def evaluation(self, experiment: str) -> None:
        """Measure two models on a dataset: the metrics name run, model and dataset."""
        run = self.run(experiment, "evaluation-run", START + 6_000)
        models = [self.ids["logged_models"][name] for name in ("logged-classifier", "logged-by-deleted-run")]
        self.inputs(run, Dataset("holdout-set", "h1", "local", '{"uri": "holdout.csv"}', COLUMNS), "eval", models)
        for number, model in enumerate(models):
            for step, value in ((0, 0.2109375), (1, 0.9140625 + number / 64)):
                self.measure(run, model, "holdout_auc", value, step)
            self.measure(run, model, "holdout_loss", float("nan"), 0)
        self.texts["runs"].append(run)
        self.texts["metrics of logged models"].append("0.9140625")  # the run has the greater value of the other

    def measure(self, run: str, model: str, key: str, value: float, step: int) -> None:
        dataset = {"dataset_name": "holdout-set", "dataset_digest": "h1"}
        self.client.log_metric(run, key, value, START + 7_000 + step, step, model_id=model, **dataset)

    def registered_models(self) -> None:
        for name in ("fraud-detector", "model-without-versions"):
            tags = {"owner": f"owner of {name}"}
            self.client.create_registered_model(name, tags=tags, description=f"What *{name}* is for.")
            self.texts["registered models"].append(name)
            self.texts["descriptions of registered models"].append(f"What *{name}* is for.")
            self.texts["tags of registered models"].append(f"owner of {name}")
        runs, models = self.ids["runs"], self.ids["logged_models"]
        self.version(1, runs["parent-run"], f"runs:/{runs['parent-run']}/model")
        self.version(2, runs["parent-run"], "s3://bucket/model")
        self.version(3, None, "s3://bucket/other")
        for number, model in ((4, models["logged-agent"]), (5, models["logged-by-deleted-run"])):
            self.version(number, None, f"models:/{model}", model)
        for number, stage in ((1, "Archived"), (2, "Production"), (3, "Staging")):
            self.client.transition_model_version_stage("fraud-detector", str(number), stage)
        for alias, number in (("champion-alias", 2), ("challenger-alias", 3), ("second-name-alias", 3)):
            self.client.set_registered_model_alias("fraud-detector", alias, str(number))
            self.texts["aliases of versions"].append(alias)

    def version(self, number: int, run: str | None, source: str, model: str | None = None) -> None:
        self.client.create_model_version(
            "fraud-detector",
            source,
            run_id=run,
            tags={"approval": f"approval {number}"},
            description=f"Version *{number}*, described.",
            model_id=model,
        )
        self.texts["model versions"].append(f"fraud-detector_{number}")
        self.texts["descriptions of versions"].append(f"Version *{number}*, described.")
        self.texts["tags of versions"].append(f"approval {number}")

    def prompts(self) -> None:
        """Make prompts of both types; a run, a logged model and a trace use them."""
        for number in (1, 2):
            self.client.register_prompt(
                "greeting-prompt",
                f"Greet {{{{name}}}} in {number} words.",
                commit_message=f"commit {number} of greeting-prompt",
                tags={"tone": f"tone {number}"},
            )
            self.texts["texts of prompts"].append(f"Greet {{{{name}}}} in {number} words.")
            self.texts["commit messages of prompts"].append(f"commit {number} of greeting-prompt")
        self.client.register_prompt(
            "triage-prompt",
            [{"role": "system", "content": "Sort by urgency."}, {"role": "user", "content": "{{ticket}}"}],
            commit_message="commit 1 of triage-prompt",
            response_format={"type": "object", "properties": {"urgency": {"type": "integer"}}},
            model_config={"model_name": "gpt-example", "temperature": 0.25},
        )
        self.texts["texts of prompts"].append("Sort by urgency.")
        self.texts["commit messages of prompts"].append("commit 1 of triage-prompt")
        for name in ("greeting-prompt", "triage-prompt"):
            self.client.set_prompt_tag(name, "owner", f"owner of {name}")
            self.texts["prompts"].append(f"owner of {name}")  # the run that uses one names it, too
        for alias, number in (("live-alias", 1), ("trial-alias", 2)):
            self.client.set_prompt_alias("greeting-prompt", alias, number)
            self.texts["aliases of prompts"].append(alias)
        greeting = self.client.get_prompt_version("greeting-prompt", "1")
        self.client.link_prompt_version_to_run(self.ids["runs"]["child-run"], greeting)
        self.client.link_prompt_version_to_model("greeting-prompt", "1", self.ids["logged_models"]["logged-agent"])

    def evaluation_datasets(self, experiment: str) -> None:
        """Make datasets of questions. A run takes one as its input, and names it, so each is told by its tag."""
        for name in ("golden-questions", "spare-questions"):
            dataset = self.client.create_dataset(name, [experiment], {"stage": f"stage of {name}"})
            dataset.merge_records(
                [
                    {"inputs": {"question": f"Question {number}?"}, "expectations": {"expected_answer": "yes"}}
                    for number in range(3)
                ]
            )
            self.ids["evaluation_datasets"][name] = dataset.dataset_id
            self.texts["evaluation datasets"].append(f"stage of {name}")
        golden = self.client.get_dataset(self.ids["evaluation_datasets"]["golden-questions"])
        with mlflow.start_run(run_name="answer-run") as run:
            mlflow.log_input(golden, context="evaluation")
        self.ids["runs"]["answer-run"] = run.info.run_id
        self.texts["runs"].append(run.info.run_id)

    def traces(self, experiment: str) -> None:
        run = self.ids["runs"]["answer-run"]
        for name, status in (("answer-trace", "OK"), ("refusal-trace", "OK"), ("failed-trace", "ERROR")):
            span = self.client.start_trace(name, inputs={"question": name}, experiment_id=experiment, run_id=run)
            self.client.end_trace(span.trace_id, outputs={"answer": 42}, status=status)
            self.ids["traces"][name] = span.trace_id
            self.texts["traces"].append(span.trace_id)
        greeting = self.client.get_prompt_version("greeting-prompt", "2")
        self.client.link_prompt_versions_to_trace([greeting], self.ids["traces"]["answer-trace"])


if __name__ == "__main__":
    everything = Everything(sys.argv[1])
    everything.make()
    Path(sys.argv[2]).write_text(json.dumps({"ids": everything.ids, "texts": everything.texts}))
