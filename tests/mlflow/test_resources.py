"""The rows of MLflow's listings."""

import pickle
from typing import Any

import pytest

from crawler.mlflow.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    LoggedModelInfo,
    ModelVersion,
    RegisteredModel,
    Run,
    RunInfo,
)
from crawler.mlflow.resources import (
    EVALUATION_DATASETS,
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    PROMPT_VERSIONS,
    PROMPTS,
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
        (PROMPTS, RegisteredModel("p"), "p"),
        (PROMPT_VERSIONS, ModelVersion("p", "2"), ("p", "2")),
        (EVALUATION_DATASETS, EvaluationDataset("d-1", "questions"), "d-1"),
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


def test_a_filter_is_one_more_condition() -> None:
    of_prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"
    assert [each.filter_with("name = 'm'") for each in (MODEL_VERSIONS, PROMPT_VERSIONS)] == [
        "name = 'm'",
        f"name = 'm' AND {of_prompts}",
    ]
    assert [each.filter_with("") for each in (MODEL_VERSIONS, PROMPT_VERSIONS)] == ["", of_prompts]
