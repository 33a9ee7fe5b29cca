"""Run → data process instance."""

from collections.abc import Container, Sequence

import msgspec
from msgspec import structs

from crawler.datahub import urns
from crawler.datahub.aspects.aspect import Aspect, Edge, NamedValue, TimeStamp
from crawler.datahub.aspects.entities import NOT_REMOVED, ContainerOf, SubTypes
from crawler.datahub.aspects.runs import (
    DataProcessInstanceInput,
    DataProcessInstanceOutput,
    DataProcessInstanceProperties,
    DataProcessInstanceRelationships,
    DataProcessInstanceRunEvent,
    MLTrainingRunProperties,
    PartitionSpec,
    RunResult,
)
from crawler.datahub.proposals import Entity
from crawler.mapping.metric_history import Histories, past_values, thinned_property
from crawler.mapping.metric_values import python_texts
from crawler.mapping.platform import IN_TRASH, PLATFORM, platform_instance, ui_page, ui_query, url_part
from crawler.mapping.times import known_time
from crawler.mlflow.entities import PARENT_TAG, Experiment, Run, as_dict
from crawler.settings.mapping import MappingSettings

_run_guid = urns.GuidBy("id", orchestrator=PLATFORM)
NAME_TAG = "mlflow.runName"
_SUBTYPE = SubTypes(type_names=["ML Training Run"])
_NO_PROPERTIES: dict[str, str] = {}
_NO_URNS: list[str] = []
_WHOLE_TABLE = PartitionSpec(partition="FULL_TABLE_SNAPSHOT", type="FULL_TABLE")
_SKIPPED = RunResult(type="SKIPPED", native_result_type=PLATFORM)
_RESULTS = {
    "FINISHED": RunResult(type="SUCCESS", native_result_type=PLATFORM),
    "FAILED": RunResult(type="FAILURE", native_result_type=PLATFORM),
    "KILLED": _SKIPPED,
}
_UNDER_WAY = frozenset({"RUNNING", "SCHEDULED"})


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


def run_context(container_urn: str, experiment: Experiment, settings: MappingSettings) -> RunContext:
    """Return what the runs of an experiment share."""
    context = unknown_context(experiment.experiment_id, settings)
    container = ContainerOf(container=container_urn)
    return structs.replace(context, created=known_time(experiment.creation_time) or 0, container=(container,))


def unknown_context(experiment_id: str, settings: MappingSettings) -> RunContext:
    """Return the same for an experiment that MLflow did not list."""
    return RunContext(
        created=0,
        pages=ui_page(structs.replace(settings, workspace=None), f"experiments/{url_part(experiment_id)}/runs/"),
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


def run_entity(
    run: Run,
    actor: str,
    context: RunContext,
    inputs: Sequence[Edge],
    outputs: Sequence[str],
    parents: Container[str],
    histories: Histories | None = None,
) -> Entity:
    """Map a run to a data process instance.

    `actor` is the URN of its user, `inputs` are its datasets, `outputs` the URNs of its model versions, `parents` the
    ids of runs that are written, `histories` what its metrics were before, where that is known.
    """
    tags = as_dict(run.data.tags)
    if histories:
        # A tag of the same name is its user's word.
        tags = thinned_property(histories) | tags
    start, end = known_time(run.info.start_time), known_time(run.info.end_time)
    created = start or end or context.created
    aspects: list[Aspect] = [
        _properties(run, tags, actor, context, created),
        *context.container,
        _training(run, histories),
        *context.common,
    ]
    if outputs:
        edges = [Edge(destination_urn=urn) for urn in outputs]
        aspects.append(DataProcessInstanceOutput(outputs=_NO_URNS, output_edges=edges))
    if inputs:
        aspects.append(DataProcessInstanceInput(inputs=_NO_URNS, input_edges=list(inputs)))
    if (parent := tags.get(PARENT_TAG)) and parent in parents and parent != run.info.run_id:
        aspects.append(DataProcessInstanceRelationships(parent_instance=run_urn(parent), upstream_instances=[]))
    if event := _end_event(run, start, end):
        aspects.append(event)
    return Entity("dataProcessInstance", run_urn(run.info.run_id), tuple(aspects))


def hyper_params(run: Run) -> list[NamedValue]:
    """Return the run's params as DataHub's MLHyperParams."""
    return [NamedValue(param.key, param.value) for param in run.data.params]


def training_metrics(run: Run) -> list[NamedValue]:
    """Return the run's latest metrics as DataHub's MLMetrics, values as Python's `str` formats them."""
    metrics = run.data.metrics
    texts = python_texts([metric.value for metric in metrics])
    return [NamedValue(metric.key, text) for metric, text in zip(metrics, texts, strict=True)]


def _properties(
    run: Run, tags: dict[str, str], actor: str, context: RunContext, created: int
) -> DataProcessInstanceProperties:
    info = run.info
    return DataProcessInstanceProperties(
        # MLflow 1.28 and 1.29 keep the name in the tag only.
        name=info.run_name or tags.get(NAME_TAG) or info.run_id,
        created=TimeStamp(time=created, actor=actor),
        custom_properties=tags | IN_TRASH if run.deleted else tags,
        external_url=context.pages + url_part(info.run_id) + context.query,
    )


def _training(run: Run, histories: Histories | None) -> MLTrainingRunProperties:
    metrics = training_metrics(run)
    return MLTrainingRunProperties(
        id=run.info.run_id,
        custom_properties=_NO_PROPERTIES,
        output_urls=[run.info.artifact_uri] if run.info.artifact_uri else _NO_URNS,
        hyper_params=hyper_params(run),
        training_metrics=[*metrics, *past_values(histories)] if histories else metrics,
    )


def _end_event(run: Run, start: int | None, end: int | None) -> DataProcessInstanceRunEvent | None:
    """Return how the run ended; None for one that has not.

    The status says whether it has: a run that was resumed still has its former end time. Where MLflow knows no end time
    of a run that has ended, the event stands at its start, without a duration.
    """
    status = run.info.status
    at = end or (start if status in _RESULTS else None)
    if not at or status in _UNDER_WAY:
        return None
    return DataProcessInstanceRunEvent(
        timestamp_millis=at,
        status="COMPLETE",
        result=_RESULTS.get(status, _SKIPPED),
        partition_spec=_WHOLE_TABLE,
        duration_millis=end - start if end and start is not None else None,
    )
