"""Fills a server with logged models through the client of the MLflow that runs this file.

    PYTHON_OF_THE_ENVIRONMENT fill_logged_models.py URL OUTPUT.json

Writes the ids of what it made.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from pathlib import Path

os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.simplefilter("ignore")

from mlflow.entities import Dataset, DatasetInput, LoggedModelOutput  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

MANY = 15


def fill(client: MlflowClient) -> dict[str, object]:
    """A model that was trained, evaluated elsewhere and registered; one of a deleted run; many plain ones."""
    training, evaluation, gone, many = (
        client.create_experiment(name) for name in ("training", "evaluation", "gone", "many")
    )
    trained, deleted, of_gone = (client.create_run(each).info.run_id for each in (training, training, gone))
    evaluated = client.create_run(evaluation).info.run_id
    held_out = Dataset("held out", "d1", "local", "{}")
    client.log_inputs(evaluated, datasets=[DatasetInput(held_out, [])])
    model = client.create_logged_model(
        training, "churn", trained, tags={"team": "ml"}, params={"depth": "3"}, model_type="agent"
    ).model_id
    client.log_outputs(trained, [LoggedModelOutput(model, 0)])
    for step, value in enumerate((0.5, 0.75)):
        client.log_metric(trained, "auc", value, step=step, model_id=model)
    for name, value in (("loss", math.nan), ("zero", 0.0), ("worst", math.inf)):
        client.log_metric(trained, name, value, model_id=model)
    for name, value in (("f1", 0.25), ("drift", math.nan)):
        client.log_metric(evaluated, name, value, model_id=model, dataset_name="held out", dataset_digest="d1")
    client.finalize_logged_model(model, "READY")
    client.create_registered_model("fraud")
    client.create_model_version("fraud", f"models:/{model}", run_id=trained, model_id=model)
    of_deleted = client.create_logged_model(training, "of a deleted run", deleted).model_id
    client.delete_run(deleted)
    client.create_logged_model(gone, "of a deleted experiment", of_gone)
    client.delete_experiment(gone)
    return {
        "training": training,
        "trained": trained,
        "evaluated": evaluated,
        "deleted": deleted,
        "model": model,
        "of_deleted": of_deleted,
        "many": [client.create_logged_model(many, "plain").model_id for _ in range(MANY)],
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(fill(MlflowClient(sys.argv[1], sys.argv[1]))))
