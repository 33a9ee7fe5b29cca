"""The stage of evaluation datasets (MLflow 3.4 and later): each with the experiments that it belongs to.

MLflow's basic auth lists all of them to administrators only, and to others those of experiments that they may read.
"""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import FORBIDDEN
from crawler.mlflow.entities import EvaluationDataset
from crawler.mlflow.refusals import says_no_such_row
from crawler.mlflow.resources import EVALUATION_DATASETS
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.experiment_sets import slices
from crawler.pipeline.failure_streak import FailureStreak
from crawler.pipeline.listings import Listings
from crawler.pipeline.read_context import ReadContext
from crawler.telemetry.events import RowsRead
from crawler.telemetry.findings.reading import (
    DATASET_EXPERIMENTS_HIDDEN,
    DATASET_EXPERIMENTS_UNREAD,
    LISTING_UNREAD,
)

EXPERIMENTS_A_REQUEST = 500
"""MLflow looks up the rights in each experiment that a request names."""
FAILURES_IN_A_ROW = 50
"""After so many the server is taken to tell the experiments of no dataset at all: it is not asked for others."""


class EvaluationDatasetStage:
    """Reads all evaluation datasets once. The mapper holds them until all experiments have names."""

    def __init__(self, context: ReadContext, listings: Listings) -> None:
        """Ask for the experiments of few datasets at a time: the listing does not tell them."""
        self._context = context
        self._listings = listings
        self._requests = asyncio.Semaphore(context.workers)
        self._streak = FailureStreak(FAILURES_IN_A_ROW)
        self._wants_experiments = False
        """Whether this account is given those of experiments only."""
        self._is_answered = False
        self._seen: set[str] = set()
        """Ids: one may be of several experiments."""

    async def read(self) -> None:
        """Read the listing to its end, or until it fails. Raises what is not of this listing alone."""
        async for step in self._listings.steps(EVALUATION_DATASETS):
            await self._take(step.rows)
        if self._listings.is_forbidden(EVALUATION_DATASETS):
            self._listings.forgive(EVALUATION_DATASETS)
            self._wants_experiments = True

    async def read_of(self, experiment_ids: Sequence[str], *, is_expected: bool) -> None:
        """Read those of some experiments, where not all are given at once.

        A refusal is a finding where it `is_expected`, by the server's version, that MLflow has them.
        """
        for some in slices(experiment_ids, EXPERIMENTS_A_REQUEST) if self._wants_experiments else ():
            try:
                async for step in self._listings.pages(EVALUATION_DATASETS, experiment_ids=some):
                    self._is_answered = True
                    await self._take(step.rows)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                if is_expected or self._is_answered:
                    self._context.listener(LISTING_UNREAD[EVALUATION_DATASETS.name].found(str(error)))

    async def _take(self, rows: Sequence[EvaluationDataset]) -> None:
        new = [each for each in rows if each.dataset_id not in self._seen]
        self._seen.update(each.dataset_id for each in new)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._with_experiments(dataset)) for dataset in new]
        datasets = [dataset for task in asked if (dataset := task.result()) is not None]
        self._context.listener(RowsRead(EVALUATION_DATASETS.name, len(datasets)))
        for dataset in datasets:
            self._context.mapper.evaluation_dataset(dataset)

    async def _with_experiments(self, dataset: EvaluationDataset) -> EvaluationDataset | None:
        """Return the dataset with its experiments, the oldest first; None where it was deleted meanwhile."""
        async with self._requests:
            if self._streak.is_over:
                self._tell_unread(dataset, self._streak.reason)
                return dataset
            try:
                ids = await self._context.client.experiments_of_dataset(dataset.dataset_id)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                if isinstance(error, RequestRefused) and says_no_such_row(error):
                    return None
                if self._wants_experiments and isinstance(error, RequestRefused) and error.status == FORBIDDEN:
                    self._context.listener(DATASET_EXPERIMENTS_HIDDEN.found(f"{dataset.name} ({dataset.dataset_id})"))
                    return dataset
                self._streak.failed()
                self._tell_unread(dataset, str(error))
                return dataset
        self._streak.succeeded()
        return structs.replace(dataset, experiment_ids=sorted(ids, key=lambda each: (len(each), each)))

    def _tell_unread(self, dataset: EvaluationDataset, reason: str) -> None:
        self._context.listener(DATASET_EXPERIMENTS_UNREAD.found(f"{dataset.name}: {reason}"))
