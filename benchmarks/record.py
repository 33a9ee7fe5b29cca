"""Records the pages that `pages.py` multiplies, from a real MLflow: `python -m benchmarks.record`."""

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.servers.mlflow_server import MlflowServer, mlflow_server

RECORDED = Path(__file__).parent / "recorded"
MLFLOW = "3.17.2"
EXPERIMENT = "1"

# Runs in the environment of the server, which has MLflow's own client; 8 params, 10 metrics, 6 tags a run.
TRAINING = """
import random, sys
import mlflow, pandas
from mlflow.entities import Metric, Param

mlflow.set_tracking_uri(sys.argv[1])
dice = random.Random(4)
client = mlflow.MlflowClient()
tags = {"team": "risk", "mlflow.note.content": "Models that score card payments."}
mlflow.set_experiment(experiment_id=mlflow.create_experiment("fraud-detection", "s3://ml-artifacts/fraud", tags))
rows = pandas.DataFrame({"amount": [1.5], "country": ["DE"], "hour": [3.0], "label": [0.0]})
payments = mlflow.data.from_pandas(rows, source="s3://ml-data/payments.parquet", name="payments")
names = [f"{part}_{name}" for part in ("train", "validation") for name in "auc logloss precision recall f1".split()]
ids = []
for number in range(16):
    candidate = dice.choice(["true", "false"])
    with mlflow.start_run(run_name=f"xgb-{number:02d}", tags={"team": "risk", "candidate": candidate}) as run:
        params = {
            "learning_rate": dice.uniform(0.001, 0.3), "max_depth": dice.randint(3, 9),
            "n_estimators": dice.randint(100, 900), "subsample": round(dice.random(), 3),
            "objective": "binary:logistic", "eval_metric": "auc", "early_stopping_rounds": 50,
            "seed": dice.randint(0, 2**31),
        }
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, dice.random(), 1_700_000_000_000 + number, 100) for name in names],
            params=[Param(name, str(value)) for name, value in params.items()],
        )
        if number % 4 == 3:
            mlflow.log_input(payments, context="training")
        ids.append(run.info.run_id)
client.create_registered_model("fraud-scorer", {"team": "risk"}, "Scores card payments.")
for run_id in ids[:2]:
    source = f"s3://ml-artifacts/fraud/{run_id}/artifacts/model"
    client.create_model_version("fraud-scorer", source, run_id, {"stage": "candidate"}, description="A candidate.")
client.set_registered_model_alias("fraud-scorer", "champion", "2")
"""


def record() -> None:
    """Fills a new server through its own client and keeps what its four search endpoints answer."""
    with tempfile.TemporaryDirectory() as name, mlflow_server(MLFLOW, Path(name)) as server:
        (Path(name) / "train.py").write_text(TRAINING)
        environment = {"PATH": "/usr/bin:/bin", "HOME": name, "LOGNAME": "ana", "MLFLOW_DISABLE_TELEMETRY": "true"}
        subprocess.run([str(server.python), "train.py", server.url], cwd=name, env=environment, check=True)
        asked = {"experiment_ids": [EXPERIMENT], "run_view_type": "ALL", "order_by": ["attributes.start_time ASC"]}
        _keep("runs", _answer(server, "runs/search", asked))
        _keep(
            "experiments", _answer(server, "experiments/search", {"max_results": 1, "order_by": ["experiment_id DESC"]})
        )
        _keep("registered_models", _answer(server, "registered-models/search"))
        _keep("model_versions", _answer(server, "model-versions/search"))


def _answer(server: MlflowServer, endpoint: str, query: Mapping[str, object] | None = None) -> bytes:
    body = None if query is None else json.dumps(query).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/2.0/mlflow/{endpoint}", body, headers)
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def _keep(name: str, body: bytes) -> None:
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.json").write_bytes(body)


if __name__ == "__main__":
    record()
