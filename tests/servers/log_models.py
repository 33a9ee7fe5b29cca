"""Logs models with MLflow's own client, in the environment of its version, and registers them.

    PYTHON_OF_THE_ENVIRONMENT log_models.py URL

It is run within a git checkout, which the client names in the tags of the run.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import mlflow.pyfunc  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema  # noqa: E402

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("long", "age"), ColSpec("string", "naïve")]),
    outputs=Schema([ColSpec("double")]),
    params=ParamSchema([ParamSpec("top", "long", 5)]),
)


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model that needs nothing."""

    def predict(self, context: object, model_input: Any, params: object = None) -> Any:
        """Return what it gets."""
        return model_input


def log(**more: Any) -> None:
    """Log the model of a run and register it."""
    path = {"name": "model"} if int(mlflow.__version__.split(".")[0]) > 2 else {"artifact_path": "model"}
    mlflow.pyfunc.log_model(
        python_model=Echo(), pip_requirements=["mlflow"], registered_model_name="churn", **path, **more
    )


def main(url: str) -> None:
    """Register a version with a signature, one without, and one whose artifacts nobody has."""
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("models")
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.5)
        log(signature=SIGNATURE)
    with mlflow.start_run():
        log()
    client = mlflow.MlflowClient()
    client.create_model_version("churn", "s3://nowhere/copied", run_id=run.info.run_id)
    client.create_model_version("churn", "s3://nowhere/other")
    client.set_registered_model_alias("churn", "champion", "1")
    client.set_registered_model_tag("churn", "owner", "ann")


if __name__ == "__main__":
    main(sys.argv[1])
