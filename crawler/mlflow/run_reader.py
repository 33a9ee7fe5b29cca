"""MLflow's runs: pages of one experiment in the order of their start times, and runs by their ids."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from crawler.errors import CrawlerError, DecodeError, RequestRefused, ServerError
from crawler.http import DynamicSemaphore
from crawler.mlflow import decoding as pages
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import Window
from crawler.mlflow.paging.keyset import EARLIEST, RunQuery, RunWalk
from crawler.mlflow.paging.offset import FEWEST_ROWS, MAX_SKIPPED, OVERLAP, PageRows, is_offset
from crawler.mlflow.paging.page_bisection import Skipped
from crawler.mlflow.paging.step import Step
from crawler.mlflow.quirks.lookahead_row import BACKWARDS, read_backwards, window_of
from crawler.mlflow.quirks.null_start_time import UntimedRuns, is_untimed
from crawler.mlflow.row_errors import fault_of_row, is_slow, is_unanswered, run_left_out

MAX_RUNS_A_PAGE = 50_000
SHORT_PAGES = 4
"""So many of them make a whole one."""
MAX_GIVEN_UP = 3
"""After so many walks that ended at rows that fail, with no page in between, no other page is taken apart: it is not
the rows that fail.
"""
TRIES_WHERE_NARROW = 3
"""Of a page that is asked for since a larger one failed: each may stall for the whole time-out."""


class RunReader:
    """Reads the runs of one tracking server, `page_size` at a time or fewer where they are heavy."""

    def __init__(self, api: Api, page_size: int) -> None:
        self._api = api
        self._rows = PageRows(page_size)
        self._page_slots = DynamicSemaphore(lambda: api.tracking.concurrency)
        self._one_page = asyncio.Lock()
        self._untimed = UntimedRuns(self._search_untimed, self._tell_untimed)
        self._given_up = 0

    @property
    def page_rows(self) -> int:
        """How many runs a whole page asks for now."""
        return self._rows.rows

    @asynccontextmanager
    async def next_page(
        self, experiment_ids: Sequence[str], walk: RunWalk, *, short: bool = False
    ) -> AsyncIterator[Step[Run]]:
        """The next page of `runs/search` of one experiment, by start time, deleted runs included. A `short` one comes
        sooner, where others wait for their share of what is left.

        Pages that come meanwhile wait as bytes, a third of the size, until the context is left, and instead of those
        that could be asked for: memory stays flat however fast MLflow is.

        A page that cannot be had is empty, and the walk asks for less; runs that cannot be read at all are told to
        `unreadable`, as are experiments that have runs without start_time.
        """
        (experiment_id,) = experiment_ids
        async with self._page_slots:
            query = walk.query
            if query is None:
                raise ValueError("The walk is at its end.")
            rows = self._rows_to_ask(query, short=short)
            body: bytes | None = None
            try:
                body = await self._search([experiment_id], query, rows)
            except CrawlerError as error:
                self._ask_otherwise(experiment_id, walk, query, rows, error)
            async with self._one_page:
                runs = [] if body is None else self._taken(experiment_id, walk, query, rows, body)
                del body
                if skipped := walk.take_skipped():
                    runs += await self._left_out(experiment_id, query, skipped)
                told, self._api.told = self._api.told, []
                c = walk.covered
                yield Step(runs, None if c is None else Window(c.since, c.until, {experiment_id: c.rows}), told)

    async def null_start_times(self):
        unknown: list[str] = []
        await self._untimed.name(unknown.append)
        told, self._api.told = self._api.told, []

        class N:
            pass

        n = N()
        n.unreadable = told
        n.unknown = unknown
        return n

    def stop_counting(self, e):
        self.leave_uncounted(e)

    def resume_count(self, e, r):
        self.add_counted(e, r)

    def leave_uncounted(self, experiment_id: str) -> None:
        """Its runs could not all be read, so their number tells nothing to `name_untimed`."""
        self._untimed.leave_out(experiment_id)

    def add_counted(self, experiment_id: str, rows: int) -> None:
        """So many of its runs, start_time or not, were read before this crawl: `name_untimed` counts on from there."""
        self._untimed.begin(experiment_id)
        self._untimed.add(experiment_id, rows)

    async def name_untimed(self, unknown: Callable[[str], None]) -> None:
        """Tells `unreadable` which experiments have runs without start_time, beyond those that `next_page` met, and
        `unknown` of which that cannot be told: one request for a thousand experiments of several pages.
        """
        await self._untimed.name(unknown)

    async def by_id(self, run_ids, experiment_ids):
        unread: list[str] = []
        return await self._by_id(run_ids, experiment_ids, unread.append), unread

    async def _by_id(
        self, run_ids: Sequence[str], experiment_ids: Sequence[str], unread: Callable[[str], None]
    ) -> list[Run]:
        """The runs of these ids within these experiments, deleted ones included; ids that are nowhere, and runs that
        MLflow cannot give since they have no start_time, are left out. `unread` is told of each that fails otherwise.

        One `runs/search` where the server can filter by run id (2.0 and later), else one `runs/get` for each id.
        """
        failed_in_a_row = 0
        runs: list[Run] = []
        batches = [list(run_ids)] if experiment_ids else [[run_id] for run_id in run_ids]
        while batches:
            batch = batches.pop()
            try:
                runs += await self._batch_by_id(batch, experiment_ids, unread)
                failed_in_a_row = 0
            except CrawlerError as error:
                if fault_of_row(error) is None or failed_in_a_row == MAX_SKIPPED:
                    raise
                if len(batch) > 1:
                    batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                else:
                    failed_in_a_row += 1
                    unread(f"run {batch[0]}: {error}")
        return runs

    async def _batch_by_id(
        self, run_ids: list[str], experiment_ids: Sequence[str], unread: Callable[[str], None]
    ) -> list[Run]:
        if not experiment_ids:
            return [run for run_id in run_ids if (run := await self._one_by_id(run_id))]
        names = ",".join(f"'{run_id}'" for run_id in run_ids)
        query = {
            "experiment_ids": list(experiment_ids),
            "filter": f"attributes.run_id IN ({names}) AND attributes.start_time >= {EARLIEST}",
            "run_view_type": "ALL",
            "max_results": len(run_ids),
        }
        async with self._page_slots:
            try:
                body = await self._api.search("runs/search", query)
            except RequestRefused as refused:
                if refused.status != 400:
                    raise
                return await self._by_id(run_ids, [], unread)
            return self._api.decoded("runs", pages.decode_runs, body).rows

    async def _one_by_id(self, run_id: str) -> Run | None:
        try:
            return pages.decode_run((await self._api.get("runs/get", {"run_id": run_id})).body)
        except RequestRefused as refused:
            if refused.status != 404 and not is_untimed(refused):
                raise
            return None

    def _rows_to_ask(self, query: RunQuery, *, short: bool) -> int:
        if query.most:
            return query.most
        rows = max(FEWEST_ROWS, self._rows.rows // SHORT_PAGES) if short else self._rows.rows
        # Offsets overlap: a page must bring more than what comes once more.
        rows = max(rows, min(self._rows.limit, 2 * OVERLAP)) if query.token else rows
        return min(rows + query.known, MAX_RUNS_A_PAGE)

    async def _search(self, experiment_ids: Sequence[str], query: RunQuery, rows: int) -> bytes:
        """The order by start time makes equal times go by run id on MLflow's SQL stores, in all versions."""
        search: dict[str, object] = {
            "experiment_ids": list(experiment_ids),
            "run_view_type": "ALL",
            "max_results": rows,
            "order_by": ["attributes.start_time ASC"],
        }
        if query.filter:
            search["filter"] = query.filter
        if query.token:
            search["page_token"] = query.token
        return await self._api.search("runs/search", search, TRIES_WHERE_NARROW if query.most else None)

    def _decoded(self, body: bytes) -> Page[Run]:
        page = self._api.decoded("runs", pages.decode_runs, body)
        self._rows.learn(len(page.rows), len(body), self._api.tracking.concurrency)
        return page

    def _taken(self, experiment_id: str, walk: RunWalk, query: RunQuery, rows: int, body: bytes) -> list[Run]:
        try:
            page = self._decoded(body)
        except DecodeError as error:
            self._ask_otherwise(experiment_id, walk, query, rows, error)
            return []
        runs = walk.take(page)
        self._given_up = 0
        self._count(experiment_id, query, page, len(runs))
        if walk.lost:
            self._tell(
                f"run {run.info.run_id} comes twice, with other data: only the first is kept" for run in walk.lost
            )
        return runs

    async def _left_out(self, experiment_id: str, query: RunQuery, skipped: list[Skipped[Run]]) -> list[Run]:
        """Tells of the runs that were left out, but for those that can be had after all, which it gives."""
        self._untimed.add(experiment_id, len(skipped))
        found = await self._neighbours(experiment_id, query, skipped) if len(skipped) > 1 else []
        # What is found lies before the run that took it along.
        after = found[0] if found else skipped[0].after
        self._tell(run_left_out(experiment_id, query, each.behind(after)) for each in skipped[len(found) :])
        return found

    async def _neighbours(self, experiment_id: str, query: RunQuery, skipped: list[Skipped[Run]]) -> list[Run]:
        async def ask(token: str, rows: int) -> Page[Run]:
            search = {
                "experiment_ids": [experiment_id],
                "run_view_type": "ALL",
                "max_results": rows,
                "order_by": BACKWARDS,
                "filter": window_of(skipped, query),
                "page_token": token,
            }
            return pages.decode_runs(await self._api.search("runs/search", search, TRIES_WHERE_NARROW))

        try:
            return await read_backwards(ask, skipped)
        except CrawlerError as error:
            if not isinstance(error, RequestRefused) and fault_of_row(error) is None:
                raise
            # Before MLflow 2.0 there is no such order, and none that is needed.
            return []

    def _tell(self, lost: Iterable[str]) -> None:
        if told := list(lost):
            self._api.unreadable("runs", told)

    def _count(self, experiment_id: str, query: RunQuery, page: Page[Run], rows: int) -> None:
        if page.token and not is_offset(page.token):
            self._untimed.leave_out(experiment_id)
        elif page.token and not query.filter:
            self._untimed.begin(experiment_id)
        self._untimed.add(experiment_id, rows)

    def _ask_otherwise(
        self, experiment_id: str, walk: RunWalk, query: RunQuery, rows: int, error: CrawlerError
    ) -> None:
        """Lets the walk ask otherwise for what could not be had. Raises the error where that does not help."""
        if isinstance(error, RequestRefused) and is_untimed(error) and not query.filter:
            self._tell_untimed(experiment_id)
            self._untimed.leave_out(experiment_id)
            walk.leave_out_untimed()
            return
        if is_slow(error) and walk.slow(query, rows):
            return
        words = fault_of_row(error)
        if words is None or self._given_up >= MAX_GIVEN_UP or not walk.failed(query, rows, words):
            self._given_up += words is not None
            if is_unanswered(error) and self._given_up > MAX_GIVEN_UP:
                raise ServerError(f"MLflow gives no page of runs any more. {error.message}", error.hint) from error
            raise error

    async def _search_untimed(self, experiment_ids: list[str], query: RunQuery) -> Page[Run]:
        return self._decoded(await self._search(experiment_ids, query, min(self._rows.limit, MAX_RUNS_A_PAGE)))

    def _tell_untimed(self, experiment_id: str) -> None:
        self._tell([f"experiment {experiment_id}: runs that have no start_time in MLflow's database"])
