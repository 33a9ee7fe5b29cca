"""Fills a server with prompts, evaluation datasets and traces through MLflow 3's client, then writes what that reports.

PYTHON_OF_THE_ENVIRONMENT fill_genai.py URL OUTPUT.json
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
from mlflow.genai import datasets  # noqa: E402

LONG = "A long prompt, line by line.\n" * 400
VERSIONS = 12


def is_right(outputs: str) -> bool:
    """What an answer is scored by."""
    return outputs == "yes"


class Filler:
    """One server and the client of it."""

    def __init__(self, url: str) -> None:
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        self.client = mlflow.MlflowClient()

    def fill(self) -> None:
        """Everything that the crawl should meet."""
        self.experiments = {name: self.client.create_experiment(name) for name in ("support", "search", "quiet")}
        mlflow.set_experiment("support")
        self.prompts()
        self.datasets()
        with mlflow.start_run(run_name="evaluates"):
            mlflow.genai.load_prompt("prompts:/greet/2")
            mlflow.genai.load_prompt("prompts:/dialog@prod")
            mlflow.genai.evaluate(
                self.questions, predict_fn=lambda question, rounds: "yes", scorers=[mlflow.genai.scorer(is_right)]
            )
        with mlflow.start_run(run_name="broken") as run:
            self.client.set_tag(run.info.run_id, "mlflow.linkedPrompts", "[{")
        self.traces("support", 3)
        self.traces("search", 1)
        self.client.create_registered_model("fraud")
        self.client.create_model_version("fraud", "s3://bucket/model")

    def prompts(self) -> None:
        for number in range(1, VERSIONS + 1):
            mlflow.genai.register_prompt(
                "greet", f"Hello {number} {{{{name}}}}", commit_message=f"change {number}", tags={"lang": "en"}
            )
        mlflow.genai.set_prompt_alias("greet", "prod", VERSIONS)
        mlflow.genai.set_prompt_alias("greet", "old", 1)
        self.client.set_prompt_tag("greet", "team", "support")
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "{{question}}"}]
        mlflow.genai.register_prompt("dialog", messages, response_format={"type": "object"})
        mlflow.genai.set_prompt_alias("dialog", "prod", 1)
        mlflow.genai.register_prompt("long", LONG)

    def datasets(self) -> None:
        both = [self.experiments["support"], self.experiments["search"]]
        self.questions = datasets.create_dataset("questions", experiment_id=both, tags={"team": "support"})
        self.questions.merge_records(
            [
                {"inputs": {"question": f"{number}?", "rounds": number}, "expectations": {"answer": "yes"}}
                for number in range(4)
            ]
        )
        datasets.create_dataset("questions", experiment_id=[self.experiments["quiet"]])

    def traces(self, experiment: str, number: int) -> None:
        mlflow.set_experiment(experiment)
        for each in range(number):
            with mlflow.start_span(f"call {each}"):
                pass
        mlflow.flush_trace_async_logging()

    def reported(self) -> dict[str, Any]:
        """What the client says is there."""
        found = {each.dataset_id: each for each in self.client.search_datasets()}
        return {
            "prompts": {each.name: each.tags for each in self.client.search_prompts()},
            "datasets": {
                dataset_id: {
                    "name": each.name,
                    "experiments": each.experiment_ids,
                    "records": len(each.records),
                    "digest": each.digest,
                }
                for dataset_id, each in found.items()
            },
            "used": self.questions.dataset_id,
            "experiments": self.experiments,
            "traces": {
                name: len(self.client.search_traces(locations=[experiment_id]))
                for name, experiment_id in self.experiments.items()
            },
        }


if __name__ == "__main__":
    filler = Filler(sys.argv[1])
    filler.fill()
    Path(sys.argv[2]).write_text(json.dumps(filler.reported()))
