"""The stage of evaluation datasets (MLflow 3.4 and later): each with the experiments that it belongs to."""

import asyncio

from msgspec import structs

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import NO_ENDPOINT
from crawler.mlflow.entities import EvaluationDataset
from crawler.mlflow.resources import EVALUATION_DATASETS
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.listings import Listings
from crawler.pipeline.read_context import ReadContext
from crawler.telemetry.events import RowsRead
from crawler.telemetry.findings.reading import DATASET_EXPERIMENTS_UNREAD


class EvaluationDatasetStage:
    """Reads all evaluation datasets once. The mapper holds them until all experiments have names."""

    def __init__(self, context: ReadContext, listings: Listings) -> None:
        """Ask for the experiments of few datasets at a time: the listing does not tell them."""
        self._context = context
        self._listings = listings
        self._requests = asyncio.Semaphore(context.workers)

    async def read(self) -> None:
        """Read the listing to its end, or until it fails. Raises what is not of this listing alone."""
        async for step in self._listings.steps(EVALUATION_DATASETS):
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._with_experiments(dataset)) for dataset in step.rows]
            datasets = [dataset for task in asked if (dataset := task.result()) is not None]
            self._context.listener(RowsRead(EVALUATION_DATASETS.name, len(datasets)))
            for dataset in datasets:
                self._context.mapper.evaluation_dataset(dataset)

    async def _with_experiments(self, dataset: EvaluationDataset) -> EvaluationDataset | None:
        """Return the dataset with its experiments, the oldest first; None where it was deleted meanwhile."""
        async with self._requests:
            try:
                ids = await self._context.client.experiments_of_dataset(dataset.dataset_id)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                if isinstance(error, RequestRefused) and error.status in NO_ENDPOINT:
                    return None
                self._context.listener(DATASET_EXPERIMENTS_UNREAD.found(f"{dataset.name}: {error}"))
                return dataset
        return structs.replace(dataset, experiment_ids=sorted(ids, key=lambda each: (len(each), each)))
