"""Sample data as a small team leaves it in MLflow: nested, failed and running runs, datasets, models."""

import json
import logging
import os
import random
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec

STARTED = 1_760_000_000_000
MINUTE = 60_000
TRIALS = 8
_COLUMNS = [("age", "long"), ("income", "double"), ("country", "string"), ("active", "boolean"), ("seen", "datetime")]


class _Project(msgspec.Struct, frozen=True):
    experiment: str
    model: str
    owner: str
    note: str
    dataset: str
    source_type: str
    source: str


_PROJECTS = (
    _Project(
        "churn prediction", "churn-classifier", "alice", "Who leaves next month?",
        "warehouse.customers", "snowflake", "snowflake://warehouse/customers",
    ),
    _Project(
        "fraud detection", "fraud-detector", "bob", "Card payments, scored within 50 ms.",
        "payments/2025/train.parquet", "s3", "s3://lake/payments/2025/train.parquet",
    ),
    _Project(
        "prix & prévisions", "price-forecaster", "chloé", "Weekly demand by shop.",
        "sales_history.csv", "local", "/data/sales_history.csv",
    ),
)  # fmt: skip


RUNS = len(_PROJECTS) * (TRIALS + 2)


def fill(url: str) -> Iterator[int]:
    """Fill the MLflow server at `url` through MLflow's own client. Yields the number of runs as it grows."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient  # noqa: PLC0415  only the demo's extra brings it

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    chance = random.Random(7)  # noqa: S311  sample data, the same each time
    for number, project in enumerate(_PROJECTS):
        for runs in _fill_project(client, project, STARTED + number * 10_000 * MINUTE, chance):
            yield number * RUNS // len(_PROJECTS) + runs


def _fill_project(client: Any, project: _Project, start: int, chance: random.Random) -> Iterator[int]:
    tags = {"team": "data science", "mlflow.note.content": project.note}
    experiment = client.create_experiment(project.experiment, tags=tags)
    parent = _run(client, experiment, project, "search", start=start, params={"strategy": "random"})
    _end(client, parent, "FINISHED", start + (TRIALS + 2) * 10 * MINUTE)
    trained = []
    for number in range(TRIALS):
        yield 1 + number
        trained.append(_trial(client, experiment, project, parent=parent, number=number, start=start, chance=chance))
    _run(client, experiment, project, "nightly retrain", start=start + 200 * MINUTE, params={"strategy": "nightly"})
    _register(client, project, [run for run in trained if run is not None])
    yield TRIALS + 2


def _trial(
    client: Any, experiment: str, project: _Project, *, parent: str, number: int, start: int, chance: random.Random
) -> str | None:
    """Log one nested run. Returns its id, None if it failed."""
    begin = start + number * 10 * MINUTE
    params = {
        "learning_rate": f"{10 ** chance.uniform(-4, -1):.5f}",
        "depth": str(chance.randint(3, 9)),
        "estimators": str(chance.choice((100, 200, 400))),
        "seed": str(number),
    }
    run = _run(client, experiment, project, f"trial {number}", start=begin, params=params, parent=parent)
    _use_dataset(client, run, project, "training")
    if number == TRIALS - 1:
        _end(client, run, "FAILED", begin + MINUTE)
        return None
    for metric in ("accuracy", "auc", "log_loss"):
        client.log_metric(run, metric, round(chance.uniform(0.6, 0.98), 4), timestamp=begin + MINUTE)
    _end(client, run, "FINISHED", begin + 9 * MINUTE)
    return run


def _run(
    client: Any, experiment: str, project: _Project, name: str, *, start: int, params: dict[str, str], parent: str = ""
) -> str:
    from mlflow.entities import Param  # noqa: PLC0415  only the demo's extra brings it

    tags = {"mlflow.user": project.owner, "mlflow.source.name": "train.py"}
    if parent:
        tags["mlflow.parentRunId"] = parent
    run = client.create_run(experiment, start_time=start, run_name=name, tags=tags)
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])
    return str(run.info.run_id)


def _end(client: Any, run: str, status: str, end: int) -> None:
    client.set_terminated(run, status=status, end_time=end)


def _use_dataset(client: Any, run: str, project: _Project, context: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415  only the demo's extra brings it

    schema = {"mlflow_colspec": [{"name": name, "type": kind} for name, kind in _COLUMNS]}
    dataset = Dataset(
        name=project.dataset,
        digest="5f2c9a11",
        source_type=project.source_type,
        source=json.dumps({"uri": project.source}),
        schema=json.dumps(schema),
    )
    client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def _register(client: Any, project: _Project, runs: list[str]) -> None:
    """Register a version for each of the last four runs, one in each stage, two with an alias."""
    client.create_registered_model(project.model, tags={"owner": project.owner}, description=project.note)
    stages = ("Archived", "Production", "Staging", "None")
    for run, stage in zip(runs[-len(stages) :], stages, strict=True):
        version = client.create_model_version(
            project.model,
            f"s3://models/{project.model}/{run}",
            run,
            description=f"From {project.experiment}",
            await_creation_for=0,
        ).version
        _set_stage(client, project.model, version, stage)
        if stage in ("Production", "Staging"):
            alias = "champion" if stage == "Production" else "challenger"
            client.set_registered_model_alias(project.model, alias, version)


def _set_stage(client: Any, model: str, version: str, stage: str) -> None:
    with warnings.catch_warnings():
        # MLflow calls stages deprecated, but real registries are full of them.
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(model, version, stage)
