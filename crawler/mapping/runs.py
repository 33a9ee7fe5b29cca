"""Run → data process instance."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.aspects import (
    NOT_REMOVED,
    Aspect,
    ContainerOf,
    DataProcessInstanceInput,
    DataProcessInstanceOutput,
    DataProcessInstanceProperties,
    DataProcessInstanceRelationships,
    DataProcessInstanceRunEvent,
    Edge,
    MLTrainingRunProperties,
    NamedValue,
    PartitionSpec,
    RunResult,
    SubTypes,
    TimeStamp,
)
from crawler.datahub.proposals import Entity
from crawler.mapping.experiments import container_urn
from crawler.mapping.metric_values import python_texts
from crawler.mapping.platform import PLATFORM, platform_instance, ui_page, ui_query
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import Experiment, Run, as_dict

_run_guid = urns.GuidBy("id", orchestrator=PLATFORM)
PARENT_TAG = "mlflow.parentRunId"
_SUBTYPE = SubTypes(type_names=["ML Training Run"])
_NO_PROPERTIES: dict[str, str] = {}
_NO_URNS: list[str] = []
_WHOLE_TABLE = PartitionSpec(partition="FULL_TABLE_SNAPSHOT", type="FULL_TABLE")
_SKIPPED = RunResult(type="SKIPPED", native_result_type=PLATFORM)
_RESULTS = {
    "FINISHED": RunResult(type="SUCCESS", native_result_type=PLATFORM),
    "FAILED": RunResult(type="FAILURE", native_result_type=PLATFORM),
}


class RunContext(msgspec.Struct, frozen=True):
    """What all runs of one experiment share; the aspects are the same objects each time, so they are encoded once."""

    created: int
    """When the experiment was created, in ms since epoch; 0 where that is not known."""
    pages: str
    """The URL of a run's page in MLflow's UI, without the run id and what follows it, `query`."""
    query: str
    container: tuple[ContainerOf] | tuple[()]
    """The experiment's container; empty where the experiment is not known."""
    common: tuple[Aspect, ...]
    """The aspects that the runs of all experiments have."""


def run_context(experiment: Experiment, settings: MappingSettings) -> RunContext:
    """Return what the runs of an experiment share."""
    context = unknown_context(experiment.experiment_id, settings)
    container = ContainerOf(container=container_urn(experiment, settings))
    return structs.replace(context, created=experiment.creation_time or 0, container=(container,))


def unknown_context(experiment_id: str, settings: MappingSettings) -> RunContext:
    """Return the same for an experiment that MLflow did not list."""
    return RunContext(
        created=0,
        pages=ui_page(structs.replace(settings, workspace=None), f"experiments/{experiment_id}/runs/"),
        query=ui_query(settings),
        container=(),
        common=(platform_instance(settings), _SUBTYPE, NOT_REMOVED),
    )


def run_urn(run_id: str) -> str:
    """Return urn:li:dataProcessInstance:guid of a run id."""
    return urns.data_process_instance(_run_guid(run_id))


def run_user(run: Run) -> str:
    """Return the user who started the run, or the name that stands for nobody."""
    return run.info.user_id or PLATFORM


def run_entity(run: Run, context: RunContext, inputs: Sequence[Edge], outputs: Sequence[str]) -> Entity:
    """Map a run to a data process instance. `inputs` are its datasets, `outputs` the URNs of its model versions."""
    tags = as_dict(run.data.tags)
    aspects: list[Aspect] = [_properties(run, tags, context), *context.container, _training(run), *context.common]
    if outputs:
        edges = [Edge(destination_urn=urn) for urn in outputs]
        aspects.append(DataProcessInstanceOutput(outputs=_NO_URNS, output_edges=edges))
    if inputs:
        aspects.append(DataProcessInstanceInput(inputs=_NO_URNS, input_edges=list(inputs)))
    if parent := tags.get(PARENT_TAG):
        aspects.append(DataProcessInstanceRelationships(parent_instance=run_urn(parent), upstream_instances=[]))
    if run.info.end_time:
        aspects.append(_ended(run, run.info.end_time))
    return Entity("dataProcessInstance", run_urn(run.info.run_id), tuple(aspects))


def hyper_params(run: Run) -> list[NamedValue]:
    """Return the run's params as DataHub's MLHyperParams."""
    return [NamedValue(param.key, param.value) for param in run.data.params]


def training_metrics(run: Run) -> list[NamedValue]:
    """Return the run's latest metrics as DataHub's MLMetrics, values as Python's `str` formats them."""
    metrics = run.data.metrics
    texts = python_texts([metric.value for metric in metrics])
    return [NamedValue(metric.key, text) for metric, text in zip(metrics, texts, strict=True)]


def _properties(run: Run, tags: dict[str, str], context: RunContext) -> DataProcessInstanceProperties:
    info = run.info
    started = info.start_time or info.end_time or context.created
    return DataProcessInstanceProperties(
        name=info.run_name or info.run_id,
        created=TimeStamp(time=started, actor=user_urn(run_user(run))),
        custom_properties=tags,
        external_url=context.pages + info.run_id + context.query,
    )


def _training(run: Run) -> MLTrainingRunProperties:
    return MLTrainingRunProperties(
        id=run.info.run_id,
        custom_properties=_NO_PROPERTIES,
        output_urls=[run.info.artifact_uri],
        hyper_params=hyper_params(run),
        training_metrics=training_metrics(run),
    )


def _ended(run: Run, end_time: int) -> DataProcessInstanceRunEvent:
    start_time = run.info.start_time
    return DataProcessInstanceRunEvent(
        timestamp_millis=end_time,
        status="COMPLETE",
        result=_RESULTS.get(run.info.status, _SKIPPED),
        partition_spec=_WHOLE_TABLE,
        duration_millis=None if start_time is None else end_time - start_time,
    )
