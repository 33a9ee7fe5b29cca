"""MLflow's runs: pages of one experiment or several in the order of their start times, and runs by their ids."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
from msgspec import structs

from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, ServerError
from crawler.http import DynamicSemaphore
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page, decode_run, decode_runs
from crawler.mlflow.entities import Run
from crawler.mlflow.experiment_id_limit import ExperimentIdLimit
from crawler.mlflow.newest_runs import NewestQuery, nth_newest
from crawler.mlflow.paging.coverage import EARLIEST, Window
from crawler.mlflow.paging.keyset import RunCursor, RunFilter, RunQuery
from crawler.mlflow.paging.offset import OVERLAP
from crawler.mlflow.paging.page_rows import FEWEST_ROWS, PageRows
from crawler.mlflow.paging.skipped import Skipped, describe_run
from crawler.mlflow.paging.step import Step
from crawler.mlflow.quirks import lookahead_row
from crawler.mlflow.quirks.null_start_time import NullStartTimes
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import is_of_one_request, is_slow, is_unanswered, row_error_text
from crawler.mlflow.run_lookup import FoundRuns, RunLookup
from crawler.mlflow.run_traits import RunTraits, traits_of

SHORT_PAGES = 4
"""Short pages that make a whole one."""
MAX_GIVEN_UP = 3
"""Cursors that may end at rows that fail, without a page in between, before the rows are no longer held to be why."""
TRIES_WHERE_BISECTING = 3
"""Attempts for a page that is asked for since a larger one failed: each may stall until the time-out."""


class _Asked(msgspec.Struct, frozen=True):
    """A page that was asked for."""

    experiment_ids: list[str]
    query: RunQuery
    rows: int


class RunReader:
    """Reads the runs of one tracking server, `page_size` at a time or fewer where they are heavy."""

    def __init__(self, api: Api, page_size: int) -> None:
        self._api = api
        self._rows = PageRows(page_size)
        self._page_slots = DynamicSemaphore(lambda: api.tracking.concurrency)
        self._one_page = asyncio.Lock()
        self._lookup = RunLookup(api, self._page_slots, decode_runs, decode_run)
        self._lookup_beside_pages = RunLookup(api, DynamicSemaphore(lambda: 1), decode_runs, decode_run)
        self._given_up = 0
        self.experiment_ids = ExperimentIdLimit()
        self.null_start_times = NullStartTimes(self._search_unlimited, self.experiment_ids)

    @property
    def page_rows(self) -> int:
        """How many runs a whole page asks for now."""
        return self._rows.rows

    @asynccontextmanager
    async def next_page(
        self, experiment_ids: Sequence[str], cursor: RunCursor, *, short: bool = False
    ) -> AsyncIterator[Step[Run]]:
        """Read the next page of `runs/search` of these experiments, by start time, deleted runs included.

        A `short` page arrives sooner, where others wait for their share of what is left.

        Pages that arrive meanwhile wait as bytes, a third of the size, until the context is left, and hold the slots of
        requests that could be sent: memory stays flat however fast MLflow is.

        A page that fails has no rows, and the cursor asks for less; runs that cannot be read at all are described in
        `unreadable`, as are experiments that have runs without start_time. Raises what the server fails with where
        asking for less does not help, or where several experiments are asked for and one of them may be why;
        ServerError where it fails for every page.
        """
        async with self._page_slots:
            query = cursor.query
            if query is None:
                raise ValueError("The cursor is at its end.")
            asked = _Asked(list(experiment_ids), query, self._rows_to_ask(query, short=short))
            body: bytes | None = None
            try:
                body = await self._search(asked)
            except CrawlerError as error:
                step = self._ask_otherwise(asked, cursor, error)
            async with self._one_page:
                if body is not None:
                    step = self._taken(asked, cursor, body)
                del body
                step = await self._described(asked, step)
                yield step

    async def by_id(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> FoundRuns[Run]:
        """Return the runs of these ids within these experiments, deleted ones included.

        Left out are ids that are nowhere, and runs that MLflow cannot return since they have no start_time. One
        `runs/search` where the server can filter by run id (2.0 and later), else one `runs/get` for each id.
        """
        return await self._lookup.find(run_ids, experiment_ids)

    async def by_id_beside_pages(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> FoundRuns[Run]:
        """Return the same as `by_id` to whoever is within the context of a page, whose slot it would wait for."""
        return await self._lookup_beside_pages.find(run_ids, experiment_ids)

    async def nth_newest(
        self, query: NewestQuery, number: int, takes: Callable[[Run], bool] | None = None
    ) -> Run | None:
        """Return the run that started `number`th last of an experiment's; None where there are fewer."""
        return await nth_newest(self._search_in_turn, query, number, takes)

    async def find_end(self, experiment_ids: Sequence[str], cursor: RunCursor) -> None:
        """Tell a cursor of these experiments when its newest run started, if it wants to know: one request.

        Whatever that request alone fails with is left to the pages, which get over more.
        """
        query = cursor.query
        if query is None or not cursor.wants_newest:
            return
        newest = NewestQuery(experiment_ids, query.since or EARLIEST, " AND ".join(query.conditions), query.view)
        try:
            rows = (await self._search_in_turn(newest.page(1, ""))).rows
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            rows = []
        cursor.learn_newest(rows[0].info.start_time if rows else None)

    async def passing(self, runs: Sequence[Run], filter_text: str) -> set[str]:
        """Return the ids of those of some runs that pass a filter: all for an empty one."""
        if not filter_text:
            return {run.info.run_id for run in runs}
        return await self._lookup_beside_pages.passing(runs, filter_text, self.experiment_ids.ids)

    async def try_filter(self, filter_text: str) -> None:
        """Raise RequestRefused where the server refuses a filter beside a bound, as pages have it."""
        bounds = RunQuery(EARLIEST, chosen=RunFilter(filter_text)).filter
        await self._api.search(RUNS, RUNS.query(1, experiment_ids=["0"], filter=bounds))

    def _rows_to_ask(self, query: RunQuery, *, short: bool) -> int:
        if query.most:
            return query.most
        rows = max(FEWEST_ROWS, self._rows.rows // SHORT_PAGES) if short else self._rows.rows
        # Offsets overlap: a page must bring more than what comes once more.
        rows = max(rows, min(self._rows.limit, 2 * OVERLAP)) if query.token else rows
        return min(rows + query.known, RUNS.page_rows)

    async def _search(self, asked: _Asked) -> bytes:
        query = RUNS.query(asked.rows, asked.query.token, experiment_ids=asked.experiment_ids)
        query["run_view_type"] = asked.query.view
        if asked.query.filter:
            query["filter"] = asked.query.filter
        return await self._api.search(RUNS, query, TRIES_WHERE_BISECTING if asked.query.most else None)

    def _decoded(self, body: bytes) -> Page[Run]:
        page = structs.replace(self._api.decoded(RUNS.decode, body), traits=traits_of(body))
        self._rows.learn(len(page.rows), len(body), self._api.tracking.concurrency)
        return page

    def _taken(self, asked: _Asked, cursor: RunCursor, body: bytes) -> Step[Run]:
        try:
            page = self._decoded(body)
        except DecodeError as error:
            return self._ask_otherwise(asked, cursor, error)
        step = cursor.take(page)
        self._given_up = 0
        self.experiment_ids.accepted(len(asked.experiment_ids))
        self.null_start_times.page_read(asked.experiment_ids, asked.query, page, step.rows)
        return step

    def _ask_otherwise(self, asked: _Asked, cursor: RunCursor, error: CrawlerError) -> Step[Run]:
        """Make the cursor ask otherwise for a page that failed. Raise the error where that does not help."""
        unreadable = self.null_start_times.refused(asked.experiment_ids, asked.query, error)
        if unreadable is not None:
            cursor.leave_out_null_start_times()
            return Step(unreadable=unreadable)
        self.experiment_ids.refused(len(asked.experiment_ids), error)
        if len(asked.experiment_ids) > 1 and not _may_be_too_long(asked, cursor, error):
            raise error
        if is_slow(error) and cursor.slow(asked.query, asked.rows):
            return Step()
        error_text = row_error_text(error)
        if (
            error_text is not None
            and self._given_up < MAX_GIVEN_UP
            and cursor.failed(asked.query, asked.rows, error_text)
        ):
            return Step()
        self._given_up += error_text is not None
        if is_unanswered(error) and self._given_up > MAX_GIVEN_UP:
            raise ServerError(f"MLflow gives no page of runs any more. {error.message}", error.hint) from error
        raise error

    async def _described(self, asked: _Asked, step: Step[Run]) -> Step[Run]:
        """Return the step with its skipped runs described, or read after all, and with its runs counted.

        Runs are skipped where one experiment is asked for. What is read after all lies before the run that it was
        skipped with.
        """
        rows, window, texts, traits = step.rows, step.window, step.unreadable, step.traits
        if window and len(asked.experiment_ids) == 1:
            window = Window(window.since, window.until, {asked.experiment_ids[0]: window.total})
        if step.skipped:
            self.null_start_times.skipped(asked.experiment_ids[0], len(step.skipped))
            found = await lookahead_row.recover(self._search_once, asked.experiment_ids, asked.query, step.skipped)
            after = found[0] if found else step.skipped[0].after
            lost = [each.behind(after) for each in step.skipped[len(found) :]]
            texts = texts + [_describe(asked, each) for each in lost]
            rows = rows + found
            traits = RunTraits()
        return Step(rows, window, texts, step.mended, is_last=step.is_last, traits=traits)

    async def _search_in_turn(self, query: dict[str, object]) -> Page[Run]:
        async with self._page_slots:
            return self._api.decoded(RUNS.decode, await self._api.search(RUNS, query))

    async def _search_once(self, query: dict[str, object]) -> Page[Run]:
        return RUNS.decode(await self._api.search(RUNS, query, TRIES_WHERE_BISECTING))

    async def _search_unlimited(self, experiment_ids: list[str], query: RunQuery) -> Page[Run]:
        """Return a page that is as large as the settings allow."""
        return self._decoded(await self._search(_Asked(experiment_ids, query, min(self._rows.limit, RUNS.page_rows))))


def _may_be_too_long(asked: _Asked, cursor: RunCursor, error: CrawlerError) -> bool:
    """Return whether fewer runs may help where a page of several experiments failed, rather than fewer experiments."""
    return (is_slow(error) or isinstance(error, AnswerTooLarge)) and cursor.new_rows(asked.rows) > len(
        asked.experiment_ids
    )


def _describe(asked: _Asked, skipped: Skipped[Run]) -> str:
    described = describe_run(skipped, asked.query.since, asked.query.until)
    return f"experiment {asked.experiment_ids[0]}: {described}"
