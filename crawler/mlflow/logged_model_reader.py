"""MLflow's logged models: pages of one experiment or several in the order of their creation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from msgspec import structs

from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, ServerError
from crawler.http import DynamicSemaphore
from crawler.mlflow.api import Api
from crawler.mlflow.decoding import Page, decode_measured_run, decode_measured_runs
from crawler.mlflow.entities import LoggedModel, MeasuredRun
from crawler.mlflow.experiment_id_limit import ExperimentIdLimit
from crawler.mlflow.paging.by_creation import LoggedModelCursor, LoggedModelQuery
from crawler.mlflow.paging.offset import OVERLAP
from crawler.mlflow.paging.page_rows import PageRows
from crawler.mlflow.paging.step import Step
from crawler.mlflow.paging.tokens import with_query, without_query
from crawler.mlflow.resources import LOGGED_MODELS, OrderBy
from crawler.mlflow.row_errors import is_slow, row_error_text
from crawler.mlflow.run_lookup import FoundRuns, RunLookup

EXPERIMENT_IDS_A_REQUEST = 1_000
"""Most experiments have few models, and MLflow takes 40,000 ids at once; a long set is shared by time."""
FIRST_PAGE_ROWS = 100
"""A model has all points of its metrics ever logged: the first page tells how heavy they are."""
TRIES_WHERE_BISECTING = 3
"""Attempts for a page that is asked for since a larger one failed: each may stall until the time-out."""

_NEWEST_FIRST = (OrderBy("creation_timestamp", ascending=False),)


class LoggedModelReader:
    """Reads the logged models of one tracking server, `page_size` at a time or fewer where they are heavy."""

    def __init__(self, api: Api, page_size: int) -> None:
        self._api = api
        self._rows = PageRows(page_size, FIRST_PAGE_ROWS)
        self._page_slots = DynamicSemaphore(lambda: api.tracking.concurrency)
        self._one_page = asyncio.Lock()
        self._lookup = RunLookup(api, DynamicSemaphore(lambda: 1), decode_measured_runs, decode_measured_run)
        self.experiment_ids = ExperimentIdLimit(EXPERIMENT_IDS_A_REQUEST)

    @asynccontextmanager
    async def next_page(
        self, experiment_ids: Sequence[str], cursor: LoggedModelCursor
    ) -> AsyncIterator[Step[LoggedModel]]:
        """Read the next page of these experiments.

        Pages that arrive meanwhile wait as bytes until the context is left, and hold the slots of requests that could
        be sent: memory stays flat however fast MLflow is.

        A page that fails has no rows, and the cursor asks for less. Raises what the server fails with where asking for
        less does not help, or where several experiments are asked for and one of them may be why.
        """
        async with self._page_slots:
            query = cursor.query
            if query is None:
                raise ValueError("The cursor is at its end.")
            rows = self._rows_to_ask(query)
            body: bytes | None = None
            step: Step[LoggedModel] = Step()
            try:
                body = await self._search(experiment_ids, query, rows)
            except CrawlerError as error:
                self._ask_otherwise(experiment_ids, cursor, rows, error)
            async with self._one_page:
                if body is not None:
                    step = self._taken(experiment_ids, cursor, rows, body)
                del body
                yield step

    async def newest(self, experiment_ids: Sequence[str]) -> int | None:
        """Return when the newest model of these experiments was created, in ms since epoch; None if there is none."""
        query = LOGGED_MODELS.query(1, experiment_ids=list(experiment_ids), order_by=list(_NEWEST_FIRST))
        async with self._page_slots:
            page = LOGGED_MODELS.decode(await self._api.search(LOGGED_MODELS, query))
        return page.rows[0].info.creation_timestamp_ms if page.rows else None

    async def measured(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> FoundRuns[MeasuredRun]:
        """Return the metrics of runs of these ids within these experiments, of none for anywhere, deleted ones too.

        For whoever is within the context of a page, whose slot it would wait for.
        """
        return await self._lookup.find(run_ids, experiment_ids)

    def _rows_to_ask(self, query: LoggedModelQuery) -> int:
        if query.most:
            return query.most
        # Offsets overlap: a page must bring more than what comes once more.
        rows = max(self._rows.rows, min(self._rows.limit, 2 * OVERLAP)) if query.token else self._rows.rows
        return min(rows + query.known, LOGGED_MODELS.page_rows)

    async def _search(self, experiment_ids: Sequence[str], query: LoggedModelQuery, rows: int) -> bytes:
        ids = list(experiment_ids)
        token = with_query(query.token, _token_query(ids, query)) if query.token else ""
        more: dict[str, object] = {"filter": query.filter} if query.filter else {}
        asked = LOGGED_MODELS.query(rows, token, experiment_ids=ids, **more)
        return await self._api.search(LOGGED_MODELS, asked, TRIES_WHERE_BISECTING if query.most else None)

    def _taken(
        self, experiment_ids: Sequence[str], cursor: LoggedModelCursor, rows: int, body: bytes
    ) -> Step[LoggedModel]:
        try:
            page = self._decoded(body)
        except DecodeError as error:
            self._ask_otherwise(experiment_ids, cursor, rows, error)
            return Step()
        self.experiment_ids.accepted(len(experiment_ids))
        try:
            return cursor.take(page)
        except ServerError as error:
            # Pages without an end: everything else was read.
            raise DecodeError(error.message) from None

    def _decoded(self, body: bytes) -> Page[LoggedModel]:
        page = self._api.decoded(LOGGED_MODELS.decode, body)
        self._rows.learn(len(page.rows), len(body), self._api.tracking.concurrency)
        return structs.replace(page, token=without_query(page.token))

    def _ask_otherwise(
        self, experiment_ids: Sequence[str], cursor: LoggedModelCursor, rows: int, error: CrawlerError
    ) -> None:
        """Make the cursor ask for less than `rows`, with which a page failed. Raise the error where that is no help."""
        self.experiment_ids.refused(len(experiment_ids), error)
        may_be_too_long = is_slow(error) or isinstance(error, AnswerTooLarge)
        if len(experiment_ids) > 1 and not (may_be_too_long and cursor.new_rows(rows) > len(experiment_ids)):
            raise error
        if is_slow(error) and cursor.slow(rows):
            return
        error_text = row_error_text(error)
        if error_text is None or not cursor.failed(rows, error_text):
            raise error


def _token_query(experiment_ids: list[str], query: LoggedModelQuery) -> dict[str, object]:
    """Return what MLflow's own token for a query holds; another one is refused."""
    order_by = [
        {**msgspec.to_builtins(each), "dataset_name": None, "dataset_digest": None} for each in LOGGED_MODELS.order_by
    ]
    return {"experiment_ids": experiment_ids, "filter_string": query.filter or None, "order_by": order_by}
