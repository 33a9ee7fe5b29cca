"""A model of MLflow's listings, which others write to between the pages."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Experiment, LoggedModel, Run, RunInfo
from crawler.mlflow.paging.keyset import RunCursor, RunQuery

Write = tuple[str, float, Any]
"""What to do, where (0 to 1), and a new row or a number of rows."""


def row_id(row: Run | Experiment | LoggedModel) -> str:
    if isinstance(row, LoggedModel):
        return row.info.model_id
    return row.info.run_id if isinstance(row, Run) else row.experiment_id


def run(number: int, start_time: int | None, experiment_id: str = "") -> Run:
    return Run(RunInfo(run_id=f"{number:05}", experiment_id=experiment_id, start_time=start_time))


def by_time(row: Run) -> tuple[bool, int, str]:
    return (row.info.start_time is None, row.info.start_time or 0, row.info.run_id)


def passes(row: Run, query: RunQuery) -> bool:
    since, until, start_time = query.since, query.until, row.info.start_time
    if start_time is None:
        return since is None and until is None
    return (since is None or start_time >= since) and (until is None or start_time < until)


def in_turns(cursors: list[RunCursor], page_size: int, random: Random) -> Iterator[tuple[RunCursor, RunQuery]]:
    """Yield cursors in any order, each with its query, until all have ended; some of them are split meanwhile, also
    while their page is on its way.
    """
    while cursors:
        cursor = random.choice(cursors)
        query = cursor.query
        assert query is not None
        if random.random() < 0.5:
            cursors += cursor.split(random.randrange(5), page_size)
        yield cursor, query
        cursors += cursor.split(random.randrange(5), page_size)
        cursors[:] = [each for each in cursors if each.query is not None]


def number_token(offset: int) -> str:
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


class PageFailed(Exception):
    """The server answers 500 for a page of `rows`."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


class Store:
    """Rows in one order, asked by offset as MLflow's SQL stores do it; the next `writes` happen after each page."""

    def __init__(
        self,
        rows: Iterable[Any],
        page_size: int,
        writes: Iterable[Sequence[Write]] = (),
        order: Callable[[Any], Any] = row_id,
        broken: Iterable[str] = (),
        failing: Iterable[str] = (),
    ) -> None:
        self.rows = sorted(rows, key=order)
        self.order = order
        self.page_size = page_size
        self.writes = iter(writes)
        self.broken = set(broken)
        self.failing = set(failing)
        self.throughout = {row_id(row) for row in self.rows}
        self.ever = set(self.throughout)
        self.requests = 0

    def page(
        self, token: str, keep: Callable[[Any], bool] = lambda _: True, known: int = 0, most: int = 0
    ) -> Page[Any]:
        """Raises PageFailed where a failing row is on the page."""
        offset = json.loads(base64.b64decode(token))["offset"] if token else 0
        size = most or self.page_size + known
        listed = [row for row in self.rows if keep(row)][offset : offset + size]
        following = number_token(offset + size) if len(listed) == size else ""
        self.requests += 1
        assert self.requests < 3_000, "the cursor does not end"
        for write in next(self.writes, ()):
            self._write(*write)
        if not self.failing.isdisjoint(map(row_id, listed)):
            raise PageFailed(size)
        rows = [row for row in listed if row_id(row) not in self.broken]
        return Page(rows, following, [f"{row_id(row)}: broken" for row in listed if row_id(row) in self.broken])

    def _write(self, kind: str, where: float, what: Any) -> None:
        place = int(where * len(self.rows))
        if kind == "insert" and row_id(what) not in self.ever:
            self.ever.add(row_id(what))
            self.rows = sorted([*self.rows, what], key=self.order)
        elif kind == "purge":
            gone = {row_id(row) for row in self.rows[place : place + what]} - self.failing
            self.throughout -= gone
            self.rows = [row for row in self.rows if row_id(row) not in gone]
        elif kind == "delete" and self.rows:
            self.rows[place] = in_trash(self.rows[place])


def in_trash(row: Run | Experiment) -> Run | Experiment:
    if isinstance(row, Run):
        return msgspec.structs.replace(row, info=msgspec.structs.replace(row.info, lifecycle_stage="deleted"))
    return msgspec.structs.replace(row, lifecycle_stage="deleted")


def meets(info: dict[str, Any], bound: str) -> bool:
    """Whether a run, as MLflow's JSON has its info, meets one condition of a filter; none is no condition."""
    if not bound:
        return True
    if " IN " in bound:
        return info["run_id"] in bound
    _, operator, limit = bound.split()
    value = info["start_time"]
    held: bool = {">=": value >= int(limit), "<=": value <= int(limit), "<": value < int(limit)}[operator]
    return held
