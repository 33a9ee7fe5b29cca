"""Runs that cannot be read only because of the one that follows them.

MLflow 3 fetches one row more than it is asked for, to see whether there is a next page. So a row that fails takes the
one before it along, unless they are asked for in the other direction.
"""

from collections.abc import Awaitable, Callable, Sequence

from crawler.errors import CrawlerError, RequestRefused
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.keyset import RunQuery
from crawler.mlflow.paging.listing import read_pages
from crawler.mlflow.paging.skipped import Skipped
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import row_error_text

BACKWARDS = ["attributes.start_time DESC", "attributes.run_id DESC"]
ROWS_A_PAGE = 32

Search = Callable[[dict[str, object]], Awaitable[Page[Run]]]


async def recover(
    search: Search, experiment_ids: Sequence[str], query: RunQuery, skipped: Sequence[Skipped[Run]]
) -> list[Run]:
    """Return those of the skipped runs that can be read when these experiments are listed backwards.

    None before MLflow 2.0, which has no such order and needs none.
    """
    if len(skipped) < 2:
        return []

    async def ask(token: str, rows: int) -> Page[Run]:
        bounds = _filter(skipped, query)
        ids = list(experiment_ids)
        asked = RUNS.query(rows, token, experiment_ids=ids, order_by=BACKWARDS, filter=bounds)
        return await search(asked | {"run_view_type": query.view})

    try:
        return await _between(ask, skipped)
    except CrawlerError as error:
        if not isinstance(error, RequestRefused) and row_error_text(error) is None:
            raise
        return []


async def _between(ask: Callable[[str, int], Awaitable[Page[Run]]], skipped: Sequence[Skipped[Run]]) -> list[Run]:
    """Return the runs between those beside the skipped ones, the last one first."""
    after, before = skipped[0].after, skipped[-1].before
    found: list[Run] = []
    async for step in read_pages(ask, ROWS_A_PAGE, RUNS.key):
        found += [
            run
            for run in step.rows
            if (after is None or _place(run) > _place(after)) and (before is None or _place(run) < _place(before))
        ]
        if after is not None and step.rows and _place(step.rows[-1]) <= _place(after):
            break
    return found


def _filter(skipped: Sequence[Skipped[Run]], query: RunQuery) -> str:
    """Return the `filter` of the runs beside the skipped ones and all between them, within the query's own bounds."""
    after, before = skipped[0].after, skipped[-1].before
    since = after.info.start_time if after else query.since
    bounds = query.conditions
    bounds.append(f"attributes.start_time >= {EARLIEST if since is None else since}")
    if before:
        bounds.append(f"attributes.start_time <= {before.info.start_time}")
    elif query.until is not None:
        bounds.append(f"attributes.start_time < {query.until}")
    return " AND ".join(bounds)


def _place(run: Run) -> tuple[int, str]:
    return (run.info.start_time or 0, run.info.run_id)
