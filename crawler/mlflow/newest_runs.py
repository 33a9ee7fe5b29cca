"""The runs of an experiment, or of several, that started last."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import BAD_REQUEST
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.listing import read_pages
from crawler.mlflow.paging.tokens import offset_token
from crawler.mlflow.resources import RUNS
from crawler.mlflow.row_errors import row_error_text

NEWEST_FIRST = ["attributes.start_time DESC"]
"""MLflow orders equal start times by run id, in this order too."""
ROWS_A_PAGE = 100

Search = Callable[[dict[str, object]], Awaitable[Page[Run]]]


class NewestQuery(msgspec.Struct, frozen=True):
    """Which runs count: those of some experiments that started at `since` or later and pass a filter (empty: all).

    `view` is their `run_view_type`.
    """

    experiment_ids: Sequence[str]
    since: int = EARLIEST
    filter_text: str = ""
    view: str = "ACTIVE_ONLY"

    def page(self, rows: int, token: str) -> dict[str, object]:
        """Return the query of a page, newest runs first. Runs without start time are never among them."""
        bounds = [self.filter_text] if self.filter_text else []
        bounds.append(f"attributes.start_time >= {self.since}")
        more = {"order_by": NEWEST_FIRST, "filter": " AND ".join(bounds), "run_view_type": self.view}
        return RUNS.query(rows, token, experiment_ids=list(self.experiment_ids), **more)


async def nth_newest(
    search: Search, query: NewestQuery, number: int, takes: Callable[[Run], bool] | None = None
) -> Run | None:
    """Return the run that is the `number`th from the newest one on; None where there are fewer.

    One request for one row, unless only those count that `takes` returns True for, that run cannot be read, or the
    server's page tokens are no offsets: then the newer ones are read. Raises what the server refuses.
    """
    if takes is None:
        try:
            page = await search(query.page(1, offset_token(number - 1)))
        except CrawlerError as error:
            if not _refuses_token(error) and row_error_text(error) is None:
                raise
        else:
            if not page.unreadable:
                return page.rows[0] if page.rows else None

    async def ask(token: str, rows: int) -> Page[Run]:
        return await search(query.page(rows, token))

    left = number
    async for step in read_pages(ask, ROWS_A_PAGE, RUNS.key):
        for run in step.rows:
            left -= takes is None or takes(run)
            if not left:
                return run
    return None


def _refuses_token(error: CrawlerError) -> bool:
    return isinstance(error, RequestRefused) and error.status == BAD_REQUEST
