"""Where the newest runs of each experiment begin, for `max_runs_per_experiment`: one request an experiment."""

from collections.abc import AsyncIterator, Sequence

from crawler.errors import CrawlerError
from crawler.mlflow.entities import Experiment
from crawler.mlflow.newest_runs import NewestQuery
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.telemetry.findings.reading import EXPERIMENT_UNREAD


async def find_newest(context: ReadContext, experiments: Sequence[Experiment]) -> list[str]:
    """Have the choice leave out all but the newest runs. Returns the ids of experiments that cannot be read."""
    choice = context.choice
    most = choice.most
    failed: list[str] = []
    if most is None or not choice.reads_runs:
        return failed
    takes = choice.has_name if choice.chooses_names else None
    since = EARLIEST if choice.since is None else choice.since

    async def each() -> AsyncIterator[Experiment]:
        for experiment in experiments:
            yield experiment

    async def work(experiment: Experiment, _queue: WorkStealingQueue[Experiment]) -> None:
        query = NewestQuery([experiment.experiment_id], since, choice.filter.text, choice.view)
        try:
            oldest = await context.client.runs.nth_newest(query, most, takes)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            if is_missing(error):
                # It is told once where the runs are read.
                return
            failed.append(experiment.experiment_id)
            context.listener(EXPERIMENT_UNREAD.found(f"{experiment.experiment_id} {experiment.name}: {error}"))
            return
        if oldest is not None:
            choice.take_newest(experiment.experiment_id, oldest)

    await work_through(each(), work, context.workers)
    return failed
