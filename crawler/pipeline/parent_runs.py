"""Which runs that others name as their parents are written: DataHub must not be led to a run that it never gets.

A parent is mostly read before its children, since it starts before them, and the latest runs are remembered. Otherwise
(it is deleted, of another experiment, or was read by an earlier part of this crawl) MLflow is asked for it by its id.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from crawler.errors import CrawlerError
from crawler.mlflow.entities import PARENT_TAG, Run
from crawler.mlflow.row_errors import is_of_one_request
from crawler.mlflow.run_lookup import RUN_IDS_A_REQUEST
from crawler.pipeline.experiment_sets import search_scopes, slices
from crawler.pipeline.read_context import ReadContext
from crawler.telemetry.findings.mapping import PARENTS_UNKNOWN

REMEMBERED_RUNS = 10_000

_RUN_ID = re.compile(r"[\w-]{1,200}", re.ASCII)


class ParentRuns:
    """Remembers of the latest `remembered` runs, read or asked for, whether they are written."""

    def __init__(self, context: ReadContext, remembered: int = REMEMBERED_RUNS) -> None:
        self._context = context
        self._limit = remembered
        self._written: dict[str, bool] = {}
        self._experiment_ids: dict[str, None] = {}
        self._are_all = False

    def add_experiments(self, experiment_ids: Iterable[str], *, are_last: bool = False) -> None:
        """Add experiments whose runs are crawled. A parent that is asked for counts only if it is of one of these.

        Until the last are added, it may be of one that is not listed yet.
        """
        self._experiment_ids |= dict.fromkeys(experiment_ids)
        self._are_all |= are_last

    def are_of(self, experiment_id: str) -> bool:
        """Return whether the runs of an experiment are crawled."""
        return experiment_id in self._experiment_ids

    async def of(self, runs: Sequence[Run], *, may_have_any: bool = True) -> frozenset[str]:
        """Return the ids of those parents of the runs that are written; none unless they `may_have_any`."""
        deleted_too = self._context.choice.writes_deleted
        known = {run.info.run_id: deleted_too or not run.deleted for run in runs}
        children = runs if may_have_any else ()
        wanted = {
            tag.value for run in children if known[run.info.run_id] for tag in run.data.tags if tag.key == PARENT_TAG
        }
        for parent in wanted - known.keys():
            if parent in self._written:
                known[parent] = self._written.pop(parent)
        if unknown := sorted(filter(_RUN_ID.fullmatch, wanted - known.keys())):
            known |= await self._ask(unknown)
        self._remember(known)
        return frozenset(parent for parent in wanted if known.get(parent))

    def _remember(self, known: dict[str, bool]) -> None:
        self._written |= known
        for run_id in list(islice(self._written, max(0, len(self._written) - self._limit))):
            del self._written[run_id]

    async def _ask(self, run_ids: Sequence[str]) -> dict[str, bool]:
        written: dict[str, bool] = {}
        for some in slices(run_ids, RUN_IDS_A_REQUEST):
            try:
                written |= await self._look_up(some)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                self._context.listener(PARENTS_UNKNOWN.found(str(error), count=len(some)))
        return written

    def _may_be_of(self, run: Run) -> bool:
        """Return whether the run's experiment is one of those that are crawled, or may yet be listed."""
        return not self._are_all or self.are_of(run.info.experiment_id)

    async def _look_up(self, run_ids: Sequence[str]) -> dict[str, bool]:
        written: dict[str, Run] = {}
        runs, choice = self._context.client.runs, self._context.choice
        # More may be listed while MLflow answers.
        were_all = self._are_all
        for scope in search_scopes(list(self._experiment_ids), runs.experiment_ids.ids, len(run_ids)):
            missing = [run_id for run_id in run_ids if run_id not in written]
            found = await runs.by_id_beside_pages(missing, scope) if missing else None
            for run in found.runs if found else ():
                if self.are_of(run.info.experiment_id) and choice.writes(run):
                    written[run.info.run_id] = run
        missing = [run_id for run_id in run_ids if run_id not in written]
        # Of an experiment that is not listed yet it is not known whether it is chosen.
        if missing and not were_all and choice.knows_experiments:
            found = await runs.by_id_beside_pages(missing, [])
            written |= {run.info.run_id: run for run in found.runs if self._may_be_of(run) and choice.writes(run)}
        passing = set(written)
        if written and choice.filter.text:
            passing &= await runs.passing([*written.values()], choice.filter.text)
        return {run_id: run_id in passing for run_id in run_ids}
