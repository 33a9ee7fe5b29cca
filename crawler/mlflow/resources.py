"""MLflow's listings, one row each. A new listing is a row here, a struct in `entities` and a decoder in `decoding`."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, Literal

import msgspec
from msgspec import structs

from crawler.mlflow.decoding import (
    Page,
    Row,
    decode_evaluation_datasets,
    decode_experiments,
    decode_logged_models,
    decode_model_versions,
    decode_registered_models,
    decode_runs,
)
from crawler.mlflow.entities import (
    IS_PROMPT_TAG,
    EvaluationDataset,
    Experiment,
    LoggedModel,
    ModelVersion,
    RegisteredModel,
    Run,
    is_prompt,
)

EXPERIMENT_IDS_A_REQUEST = 100
"""Upper bound of the experiments that one search of runs names. More would save little and Databricks takes no more."""


class OrderBy(msgspec.Struct, frozen=True):
    """A field to order by, where a listing takes no text."""

    field_name: str
    ascending: bool = True


class Resource(msgspec.Struct, Generic[Row], frozen=True):
    """A listing of MLflow's REST API, of version 2.0 or another `api`, in an order that writers do not disturb.

    `page_rows` is how many rows a page asks for, or the server's limit where the page size is a setting. `paging` says
    whether pages follow by `offset` or by the last `key` seen. `filter` chooses the rows that belong to it, where one
    endpoint has several listings; `has` tells them from the others, where a server knows no such filter.
    """

    name: str
    endpoint: str
    decode: Callable[[bytes], Page[Row]]
    key: Callable[[Row], Any]
    order_by: tuple[str, ...] | tuple[OrderBy, ...]
    page_rows: int
    server: Literal["tracking", "registry"] = "tracking"
    method: Literal["GET", "POST"] = "POST"
    paging: Literal["offset", "key"] = "offset"
    params: tuple[tuple[str, str], ...] = ()
    api: Literal["2.0", "3.0"] = "2.0"
    filter: str = ""
    has: Callable[[Row], bool] | None = None

    def query(self, rows: int, token: str = "", **more: object) -> dict[str, object]:
        """Return the query of one page of at most `rows` rows."""
        query = {"max_results": rows, "order_by": list(self.order_by), **dict(self.params), **more}
        return {**query, "page_token": token} if token else query

    def filter_with(self, condition: str) -> str:
        """Return the filter of the rows that meet a condition, too; empty where there is nothing to filter by."""
        return " AND ".join(each for each in (condition, self.filter) if each)


REGISTERED_MODELS: Resource[RegisteredModel] = Resource(
    "registered_models",
    "registered-models/search",
    decode_registered_models,
    key=attrgetter("name"),
    order_by=("name ASC",),
    page_rows=500,
    server="registry",
    method="GET",
)
MODEL_VERSIONS: Resource[ModelVersion] = Resource(
    "model_versions",
    "model-versions/search",
    decode_model_versions,
    key=attrgetter("name", "version"),
    order_by=("name ASC", "version_number ASC"),
    page_rows=2_000,
    server="registry",
    method="GET",
)
"""Of all models. Servers before 2.0 answer everything at once."""
_PROMPTS_ONLY = f"tags.`{IS_PROMPT_TAG}` = 'true'"
PROMPTS = structs.replace(REGISTERED_MODELS, name="prompts", filter=_PROMPTS_ONLY, has=is_prompt)
"""MLflow keeps a prompt as a registered model, which is in no listing without this filter (2.21 and later)."""
PROMPT_VERSIONS = structs.replace(
    MODEL_VERSIONS, name="prompt_versions", page_rows=200, filter=_PROMPTS_ONLY, has=is_prompt
)
"""Of all prompts; a row holds the text, of up to 100,000 characters."""
EVALUATION_DATASETS: Resource[EvaluationDataset] = Resource(
    "evaluation_datasets",
    "datasets/search",
    decode_evaluation_datasets,
    key=attrgetter("dataset_id"),
    order_by=("created_time ASC",),
    page_rows=500,
    api="3.0",
)
"""MLflow 3.4 and later. Equal times are ordered by id."""
EXPERIMENTS: Resource[Experiment] = Resource(
    "experiments",
    "experiments/search",
    decode_experiments,
    key=attrgetter("experiment_id"),
    order_by=("experiment_id ASC",),
    page_rows=2_000,
    params=(("view_type", "ALL"),),
)
RUNS: Resource[Run] = Resource(
    "runs",
    "runs/search",
    decode_runs,
    key=attrgetter("info.run_id"),
    order_by=("attributes.start_time ASC",),
    page_rows=50_000,
    paging="key",
    params=(("run_view_type", "ALL"),),
)
"""Of experiments that are named. MLflow's SQL stores order equal start times by run id, in all versions."""

LOGGED_MODELS: Resource[LoggedModel] = Resource(
    "logged_models",
    "logged-models/search",
    decode_logged_models,
    key=attrgetter("info.model_id"),
    order_by=(OrderBy("creation_timestamp"), OrderBy("model_id")),
    page_rows=50_000,
    paging="key",
)
"""Of experiments that are named, since MLflow 3.0. The server has no limit of rows, and fewer than 1 make it loop."""

RESOURCES: dict[str, Resource[Any]] = {
    each.name: each
    for each in (
        REGISTERED_MODELS,
        MODEL_VERSIONS,
        PROMPTS,
        PROMPT_VERSIONS,
        EVALUATION_DATASETS,
        EXPERIMENTS,
        RUNS,
        LOGGED_MODELS,
    )
}
"""By name, which is also the word for the kind of row in reports."""
