"""MLflow's runs by their ids."""

from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from crawler.errors import CrawlerError, RequestRefused
from crawler.http import DynamicSemaphore
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.offset import MAX_SKIPPED
from crawler.mlflow.quirks.null_start_time import is_null_start_time
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import row_error_text

RUN_IDS_A_REQUEST = 200
"""The most that one lookup is given."""


class FoundRuns(msgspec.Struct, Generic[Row], frozen=True):
    """Runs that were found by id. Texts: `failed` of runs that MLflow fails for, `unreadable` of a wrong shape.

    `mended` has texts on values that were changed.
    """

    runs: list[Row] = []
    failed: list[str] = []
    unreadable: list[str] = []
    mended: list[str] = []


class RunLookup(Generic[Row]):
    """Finds runs by id, with as many requests in flight as `slots` allow."""

    def __init__(
        self,
        api: Api,
        slots: DynamicSemaphore,
        decode: Callable[[bytes], Page[Row]],
        decode_one: Callable[[bytes], Row],
    ) -> None:
        """Decode the answers of `runs/search` and `runs/get` as `decode` and `decode_one` do."""
        self._api = api
        self._slots = slots
        self._decode = decode
        self._decode_one = decode_one

    async def find(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> FoundRuns[Row]:
        """Return the runs of these ids; with `experiment_ids` by one search, without them by a request for each id."""
        found = FoundRuns[Row]()
        failed_in_a_row = 0
        batches = [list(run_ids)] if experiment_ids else [[run_id] for run_id in run_ids]
        while batches:
            batch = batches.pop()
            try:
                await self._find_batch(batch, experiment_ids, found)
                failed_in_a_row = 0
            except CrawlerError as error:
                if row_error_text(error) is None or failed_in_a_row == MAX_SKIPPED:
                    raise
                if len(batch) > 1:
                    batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                else:
                    failed_in_a_row += 1
                    found.failed.append(f"run {batch[0]}: {error}")
        return found

    async def passing(self, runs: Sequence[Run], filter_text: str, experiments: int) -> set[str]:
        """Return the ids of those runs that pass a filter, of at most so many `experiments` a request.

        Empty where the server cannot filter by run id (before 2.0).
        """
        run_ids = [run.info.run_id for run in runs]
        experiment_ids = sorted({run.info.experiment_id for run in runs})
        passing: set[str] = set()
        for start in range(0, len(experiment_ids), experiments):
            query = _query(run_ids, experiment_ids[start : start + experiments], filter_text)
            async with self._slots:
                try:
                    body = await self._api.search(RUNS, query)
                except RequestRefused as refused:
                    if refused.status != 400:
                        raise
                    return set()
                passing |= {run.info.run_id for run in self._api.decoded(RUNS.decode, body).rows}
        return passing

    async def _find_batch(self, run_ids: list[str], experiment_ids: Sequence[str], found: FoundRuns[Row]) -> None:
        """Add the runs to those that are found."""
        if not experiment_ids:
            found.runs.extend([run for run_id in run_ids if (run := await self._get(run_id))])
            return
        query = _query(run_ids, experiment_ids)
        async with self._slots:
            try:
                body = await self._api.search(RUNS, query)
            except RequestRefused as refused:
                if refused.status != 400:
                    raise
                one_by_one = await self.find(run_ids, [])
                found.runs.extend(one_by_one.runs)
                found.failed.extend(one_by_one.failed)
                return
            page = self._api.decoded(self._decode, body)
        found.runs.extend(page.rows)
        found.unreadable.extend(page.unreadable)
        found.mended.extend(page.mended)

    async def _get(self, run_id: str) -> Row | None:
        try:
            return self._decode_one((await self._api.get("runs/get", {"run_id": run_id})).body)
        except RequestRefused as refused:
            if refused.status != 404 and not is_null_start_time(refused):
                raise
            return None


def _query(run_ids: Sequence[str], experiment_ids: Sequence[str], filter_text: str = "") -> dict[str, object]:
    """Return the search for the runs of these ids within some experiments."""
    names = ",".join(f"'{run_id}'" for run_id in run_ids)
    conditions = [f"attributes.run_id IN ({names})", f"attributes.start_time >= {EARLIEST}"]
    return {
        "experiment_ids": list(experiment_ids),
        "filter": " AND ".join([*conditions, filter_text] if filter_text else conditions),
        "run_view_type": "ALL",
        "max_results": len(run_ids),
    }
