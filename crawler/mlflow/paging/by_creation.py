"""Paging through logged models by creation time: pure, exact while others write.

A cursor asks for models from the last creation time seen on, so that a model which is deleted elsewhere moves nothing:
by offset, each delete would lose a row. It needs offsets only among more models of one time than a page holds.
"""

from itertools import pairwise

import msgspec

from crawler.errors import DecodeError
from crawler.mlflow.decoding import Page
from crawler.mlflow.deduplicate import deduplicate
from crawler.mlflow.entities import LoggedModel
from crawler.mlflow.paging.coverage import LATEST
from crawler.mlflow.paging.offset import OVERLAP, OffsetCursor
from crawler.mlflow.paging.page_bisection import PageBisector
from crawler.mlflow.paging.skipped import Skipped
from crawler.mlflow.paging.step import Step

SEEN_AT_MOST = 10_000
"""Ids that a cursor remembers of one creation time."""


class LoggedModelQuery(msgspec.Struct, frozen=True):
    """One `logged-models/search` for models that were created in [since, until) (ms since epoch, None: no bound).

    They were last updated at `changed_since` or later, where that is given. `known` models are known already and come
    once more, first. `most` is how many rows to ask for at most; 0: any number.
    """

    since: int | None = None
    until: int | None = None
    changed_since: int | None = None
    token: str = ""
    known: int = 0
    most: int = 0

    @property
    def filter(self) -> str:
        """The query's `filter`; empty where it asks for all."""
        bounds = (
            ("creation_timestamp >=", self.since),
            ("creation_timestamp <", self.until),
            ("last_updated_timestamp >=", self.changed_since),
        )
        return " AND ".join(f"{condition} {time}" for condition, time in bounds if time is not None)


class LoggedModelCursor:
    """The place in a listing of logged models by creation time, of one experiment or several.

    `since` and `until` bound it to those that were created between, `changed_since` to those that were updated then or
    later.
    """

    def __init__(self, since: int | None = None, until: int | None = None, changed_since: int | None = None) -> None:
        self._since = since
        self._until = until
        self._changed_since = changed_since
        self._seen: set[str] = set()
        """Ids of models that may come again."""
        self._known = 0
        """How many models of the creation time `since` are known, which come first again."""
        self._behind_skipped: int | None = None
        self._page_ms = 0
        """From the first creation time of the last page to its last one."""
        self._mended: list[str] = []
        self._ties: OffsetCursor[LoggedModel] = OffsetCursor(_model_id)

    @property
    def query(self) -> LoggedModelQuery | None:
        """What to ask for next; None at the end."""
        token, most = self._ties.token, self._ties.most
        if token is None:
            return None
        known = 0 if most else min(self._known, OVERLAP) if token else self._known
        return LoggedModelQuery(self._since, self._until, self._changed_since, token, known, most)

    def take(self, page: Page[LoggedModel]) -> Step[LoggedModel]:
        """Return what is new in the page that was asked for.

        Raise ServerError where the server's pages have no end, DecodeError where it ignores filter or order.
        """
        # One without a time, or whose time is none, tells nothing about the order.
        times = [time for model in page.rows if (time := model.info.creation_timestamp_ms)]
        # Where nothing follows, the order does not matter.
        is_disordered = bool(page.token) and times != sorted(times)
        if is_disordered or (times and self._since is not None and min(times) < self._since):
            raise DecodeError("MLflow's answer holds other logged models than those that were asked for.")
        self._page_ms = times[-1] - times[0] if times else 0
        step = self._ties.take(page)
        if step.skipped:
            before = step.skipped[-1].before
            self._behind_skipped = LATEST if before is None else before.info.creation_timestamp_ms
        rows, lost = deduplicate([row for row in step.rows if row.info.model_id not in self._seen], _model_id)
        self._advance(step.rows)
        # Models that come once more are mended once more.
        mended = [text for text in step.mended if text not in self._mended]
        self._mended = step.mended
        unreadable = [
            *step.unreadable,
            *(f"{row.info.model_id} comes twice, with other data: only the first is kept" for row in lost),
            *map(_describe, step.skipped),
        ]
        return Step(rows, unreadable=unreadable, mended=mended, is_last=step.is_last)

    def new_rows(self, rows: int) -> int:
        """Return how many of `rows` rows of the next page may be new."""
        return self._ties.new_rows(rows)

    def failed(self, rows: int, error_text: str) -> bool:
        """Ask for less, because a page of `rows` failed. Return False where that cannot help."""
        return self._ties.failed(rows, error_text)

    def slow(self, rows: int) -> bool:
        """Ask for less, because a page of `rows` timed out. Return False where that cannot help."""
        return self._ties.slow(rows)

    def copy(self) -> "LoggedModelCursor":
        """Return a cursor at the same place, for some of the experiments of this one, which it replaces."""
        part = LoggedModelCursor(self._since, self._until, self._changed_since)
        part._seen, part._known = set(self._seen), self._known
        part._ties = OffsetCursor(_model_id, PageBisector(self._ties.bisector.ceiling))
        return part

    def split(self, latest: int, parts: int) -> "list[LoggedModelCursor]":
        """Give later stretches of the creation times that are left to at most `parts` other cursors; return these.

        `latest` is the creation time of the newest model. It gives more than one where each may be worth a page.
        """
        if self._ties.token != "" or self._ties.is_bisecting or self._since is None:
            return []
        left = (latest + 1 if self._until is None else self._until) - self._since
        stretches = min(left, 1 + min(parts, max(1, left // max(1, self._page_ms))))
        if stretches < 2:
            return []
        cuts = [self._since + left * number // stretches for number in range(1, stretches)]
        given = [self._part(*bounds) for bounds in pairwise([*cuts, self._until])]
        self._until = cuts[0]
        return given

    @property
    def until(self) -> int | None:
        """Before when the models were created, in ms since epoch; None is an open end."""
        return self._until

    def _part(self, since: int | None, until: int | None) -> "LoggedModelCursor":
        part = LoggedModelCursor(since, until, self._changed_since)
        part._ties = OffsetCursor(_model_id, PageBisector(self._ties.bisector.ceiling))
        return part

    def _advance(self, rows: list[LoggedModel]) -> None:
        """Go on behind a page that had these rows, new or not."""
        if self._ties.token is None or not rows:
            return
        last = max(row.info.creation_timestamp_ms for row in rows)
        after = self._since if self._behind_skipped is None else self._behind_skipped
        if after is not None and last <= after:
            if len(self._seen) > SEEN_AT_MOST:
                self._seen.clear()
            self._seen.update(map(_model_id, rows))
            return
        ties = [row for row in rows if row.info.creation_timestamp_ms == last]
        self._since, self._seen, self._known = last, {*map(_model_id, ties)}, len(ties)
        self._behind_skipped = None
        self._ties = OffsetCursor(_model_id, self._ties.bisector, ties)


def _model_id(model: LoggedModel) -> str:
    return model.info.model_id


def _describe(skipped: Skipped[LoggedModel]) -> str:
    after, before = (None if row is None else row.info for row in (skipped.after, skipped.before))
    place = " and ".join(
        f"{word} {info.model_id} (experiment {info.experiment_id})"
        for word, info in (("behind", after), ("before", before))
        if info is not None
    )
    return f"a logged model {place or 'that is the only one'}: {skipped.error_text}"
