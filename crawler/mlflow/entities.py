"""The messages of MLflow's search endpoints, as msgspec structs.

Source: `mlflow/protos/service.proto` and `model_registry.proto`. Unknown fields are ignored, missing ones
take protobuf's defaults. Times are ms since epoch.
"""

from typing import Annotated

import msgspec

Millis = Annotated[int, msgspec.Meta(ge=-(2**62), lt=2**62)]
"""A time in ms since epoch, so wide that DataHub's longs hold the time between two of them."""


class _Message(msgspec.Struct, frozen=True, gc=False):
    """Base of all messages."""


class KeyValue(_Message, frozen=True):
    """A tag or a param."""

    key: str = ""
    value: str = ""


class Metric(_Message, frozen=True):
    """The latest value of one metric; NaN and infinities come as text."""

    key: str
    value: float = 0.0


class RunInfo(_Message, frozen=True):
    """What a run is, as opposed to what was logged to it."""

    run_id: str
    experiment_id: str = ""
    run_name: str = ""
    user_id: str = ""
    status: str = ""
    start_time: Millis | None = None
    end_time: Millis | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class RunData(_Message, frozen=True):
    """What was logged to a run."""

    metrics: list[Metric] = []
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


class Dataset(_Message, frozen=True):
    """`schema` and `source` are JSON text of the dataset's own making. MLflow knows it by name and `digest`."""

    name: str
    source_type: str = ""
    schema: str | None = None
    digest: str = ""
    source: str = ""


class DatasetInput(_Message, frozen=True):
    """A dataset as one run used it; tags tell its context."""

    dataset: Dataset
    tags: list[KeyValue] = []


class RunInputs(_Message, frozen=True):
    """The datasets of a run."""

    dataset_inputs: list[DatasetInput] = []


class ModelOutput(_Message, frozen=True):
    """A logged model that a run made. It may be deleted by now."""

    model_id: str = ""


class RunOutputs(_Message, frozen=True):
    """The logged models of a run; `runs/search` has them since MLflow 3.6."""

    model_outputs: list[ModelOutput] = []


class Run(_Message, frozen=True):
    """A row of `runs/search`."""

    info: RunInfo
    data: RunData = RunData()
    inputs: RunInputs | None = None
    outputs: RunOutputs | None = None

    @property
    def deleted(self) -> bool:
        """Whether the run is in MLflow's trash."""
        return self.info.lifecycle_stage == "deleted"


class Experiment(_Message, frozen=True):
    """A row of `experiments/search`."""

    experiment_id: str
    name: str = ""
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    creation_time: Millis | None = None
    last_update_time: Millis | None = None
    tags: list[KeyValue] = []


class Alias(_Message, frozen=True):
    """A name for one version of a registered model."""

    alias: str
    version: str


class LatestVersion(_Message, frozen=True):
    """A registered model names the newest version of each stage."""

    version: str = ""


class RegisteredModel(_Message, frozen=True):
    """A row of `registered-models/search`."""

    name: str
    creation_timestamp: Millis = 0
    last_updated_timestamp: Millis = 0
    description: str = ""
    latest_versions: list[LatestVersion] = []
    tags: list[KeyValue] = []
    aliases: list[Alias] = []


class ModelVersion(_Message, frozen=True):
    """A row of `model-versions/search`."""

    name: str
    version: str
    creation_timestamp: Millis = 0
    last_updated_timestamp: Millis = 0
    user_id: str = ""
    current_stage: str | None = None
    description: str = ""
    run_id: str = ""
    source: str = ""
    tags: list[KeyValue] = []


class MetricPoint(_Message, frozen=True):
    """One value of a metric, with the run that logged it and the dataset that it was measured on, if any."""

    key: str
    value: float = 0.0
    timestamp: int | float = 0
    step: int | float = 0
    run_id: str = ""
    dataset_name: str = ""


class LoggedModelInfo(_Message, frozen=True):
    """What a logged model is, as opposed to what was logged to it."""

    model_id: str
    experiment_id: str = ""
    name: str = ""
    creation_timestamp_ms: Millis = 0
    last_updated_timestamp_ms: Millis = 0
    artifact_uri: str = ""
    status: str = ""
    status_message: str = ""
    model_type: str = ""
    source_run_id: str = ""
    tags: list[KeyValue] = []


class LoggedModelData(_Message, frozen=True):
    """What was logged to a logged model; `metrics` are all points that ever were, not the latest ones."""

    params: list[KeyValue] = []
    metrics: list[MetricPoint] = []


class LoggedModel(_Message, frozen=True):
    """A row of `logged-models/search`."""

    info: LoggedModelInfo
    data: LoggedModelData = LoggedModelData()


class MeasuredRunInfo(_Message, frozen=True):
    """Which run it is."""

    run_id: str


class MeasuredRunData(_Message, frozen=True):
    """The latest points of a run's metrics."""

    metrics: list[MetricPoint] = []


class MeasuredRun(_Message, frozen=True):
    """A row of `runs/search` of which only the metrics matter: when they were logged, and what they are."""

    info: MeasuredRunInfo
    data: MeasuredRunData = MeasuredRunData()


class EvaluationDataset(_Message, frozen=True):
    """A row of `datasets/search`: what runs of an evaluation are given. Tags, schema and profile are JSON texts.

    `experiment_ids` are empty in the listing: they are asked for one by one.
    """

    dataset_id: str
    name: str = ""
    digest: str = ""
    tags: str = ""
    schema: str = ""
    profile: str = ""
    created_time: Millis | None = None
    last_update_time: Millis | None = None
    created_by: str = ""
    last_updated_by: str = ""
    experiment_ids: list[str] = []


PARENT_TAG = "mlflow.parentRunId"
IS_PROMPT_TAG = "mlflow.prompt.is_prompt"


def is_prompt(row: RegisteredModel | ModelVersion) -> bool:
    """Return whether a row is one of a prompt: MLflow keeps it as a model with a tag that says so."""
    return any(tag.key == IS_PROMPT_TAG and tag.value.lower() == "true" for tag in row.tags)


def as_dict(pairs: list[KeyValue]) -> dict[str, str]:
    """Return tags or params by key; of two with one key the last wins, as in MLflow's client."""
    return {pair.key: pair.value for pair in pairs}
