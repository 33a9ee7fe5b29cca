"""The rows of MLflow's listings."""

import pickle
from typing import Any

import pytest

from crawler.mlflow.entities import (
    Experiment,
    LoggedModel,
    LoggedModelInfo,
    ModelVersion,
    RegisteredModel,
    Run,
    RunInfo,
)
from crawler.mlflow.resources import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RESOURCES,
    RUNS,
    Resource,
)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_a_row_can_be_sent_to_another_process(resource: Resource[Any]) -> None:
    copy = pickle.loads(pickle.dumps(resource))
    assert (copy.name, copy.endpoint, copy.decode) == (resource.name, resource.endpoint, resource.decode)
    assert copy.query(5, "token") == resource.query(5, "token")


@pytest.mark.parametrize(
    ("resource", "row", "key"),
    [
        (REGISTERED_MODELS, RegisteredModel("m"), "m"),
        (MODEL_VERSIONS, ModelVersion("m", "2"), ("m", "2")),
        (EXPERIMENTS, Experiment("7"), "7"),
        (RUNS, Run(RunInfo("r")), "r"),
        (LOGGED_MODELS, LoggedModel(LoggedModelInfo("m-1")), "m-1"),
    ],
)
def test_rows_have_keys(resource: Resource[Any], row: Any, key: object) -> None:
    assert resource.key(row) == key


def test_a_query_names_rows_order_and_token() -> None:
    assert EXPERIMENTS.query(10) == {"max_results": 10, "order_by": ["experiment_id ASC"], "view_type": "ALL"}
    assert RUNS.query(10, "t", experiment_ids=["1"])["page_token"] == "t"
