"""Runs that cannot be read only because of the one that follows them.

MLflow 3 fetches one row more than it is asked for, to see whether there is a next page. So a row that fails takes the
one before it along, unless they are asked for in the other direction.
"""

from collections.abc import Sequence

from crawler.mlflow.entities import Run
from crawler.mlflow.paging.keyset import EARLIEST, RunQuery
from crawler.mlflow.paging.listing import Ask, read_listing
from crawler.mlflow.paging.page_bisection import Skipped

BACKWARDS = ["attributes.start_time DESC", "attributes.run_id DESC"]
ROWS_A_PAGE = 32


def window_of(skipped: Sequence[Skipped[Run]], query: RunQuery) -> str:
    """The `filter` of the runs between those next to what was left out, these included, within a query's own bounds."""
    after, before = skipped[0].after, skipped[-1].before
    since = after.info.start_time if after else query.since
    bounds = [f"attributes.start_time >= {EARLIEST if since is None else since}"]
    if before:
        bounds.append(f"attributes.start_time <= {before.info.start_time}")
    elif query.until is not None:
        bounds.append(f"attributes.start_time < {query.until}")
    return " AND ".join(bounds)


async def read_backwards(ask: Ask[Run], skipped: Sequence[Skipped[Run]]) -> list[Run]:
    """Those of the runs that were left out that `ask` gives when it lists backwards. Raises what it raises where that
    does not help.
    """
    after, before = skipped[0].after, skipped[-1].before
    found: list[Run] = []
    async for runs in read_listing(ask, ROWS_A_PAGE, lambda run: run.info.run_id, lambda _: None):
        found += [
            run
            for run in runs
            if (after is None or _place(run) > _place(after)) and (before is None or _place(run) < _place(before))
        ]
        if after is not None and runs and _place(runs[-1]) <= _place(after):
            break
    return found


def _place(run: Run) -> tuple[int, str]:
    return (run.info.start_time or 0, run.info.run_id)
