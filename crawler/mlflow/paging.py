"""Paging by offset that stays exact while others write: a pure state machine that says which page to ask for and which
rows of it are new.

MLflow's page tokens are offsets (base64 of `{"offset": n}`). A row that vanishes before the offset moves all later
ones up, so a walk that trusts its token steps over one. `OffsetWalk` therefore asks for a few rows that it knows
already and goes on behind them.
"""

import base64
from collections import deque
from collections.abc import Callable
from typing import Generic

import msgspec

from crawler.errors import ServerError
from crawler.mlflow.pages import Page, Row

OVERLAP = 16
MAX_FRUITLESS_PAGES = 100
MAX_STEPS_BACK = 1_000
PAGE_BYTES = 4_000_000


class _Offset(msgspec.Struct, forbid_unknown_fields=True):
    offset: int


class PageRows:
    """How many rows to ask for: `limit`, or fewer where rows are so heavy that a page would exceed PAGE_BYTES."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows = limit

    def learn(self, rows: int, size: int) -> None:
        """Takes what one page held, in rows and bytes; grows at most twofold, since the next rows may be heavier."""
        if rows:
            self.rows = max(1, min(self.limit, 2 * self.rows, PAGE_BYTES * rows // size))


class OffsetWalk(Generic[Row]):
    """Pages of one listing with a fixed order. `token` is what to ask for next, None at the end."""

    def __init__(self, key: Callable[[Row], object]) -> None:
        self._key = key
        self._known: deque[object] = deque(maxlen=OVERLAP)
        self._asked: set[str] = set()
        self._expects_known = False
        self._fruitless = 0
        self._steps_back = 0
        self.token: str | None = ""

    def take(self, page: Page[Row]) -> list[Row]:
        """The rows of the page that are new. Raises ServerError where the server's tokens go round in a circle."""
        fresh = self._behind_known(page)
        if fresh is None:
            self._step_back(len(page.rows))
            return []
        self._count_fruitless(page, fresh)
        self._known.extend(map(self._key, fresh))
        self.token = self._next(page.token, len(page.rows)) if page.token else None
        return fresh

    def _behind_known(self, page: Page[Row]) -> list[Row] | None:
        """The rows behind the last known one; None where the page begins behind it, so that some may have been
        stepped over. Rows that cannot be read may be the ones that were expected.
        """
        if not self._expects_known:
            return page.rows
        known = set(self._known)
        behind = next((i for i in range(len(page.rows), 0, -1) if self._key(page.rows[i - 1]) in known), 0)
        if behind == 0 and not page.unreadable and _offset(self.token or ""):
            return None
        return page.rows[behind:]

    def _step_back(self, rows: int) -> None:
        """To the page before, until one holds rows that are known, or the first."""
        self._steps_back += 1
        if self._steps_back > MAX_STEPS_BACK:
            raise ServerError("MLflow lists its rows in another order each time, so they cannot be read page by page.")
        self._asked.clear()
        self.token = offset_token(max(0, (_offset(self.token or "") or 0) - max(rows, OVERLAP)))

    def _next(self, token: str, rows: int) -> str:
        offset = _offset(token)
        overlap = min(len(self._known), rows // 2)
        if token in self._asked:
            raise ServerError(
                "MLflow gave one page token twice, so its pages have no end.",
                "Ask whoever runs the server, or the proxy before it, whether it drops the parameter page_token.",
            )
        self._asked.add(token)
        if offset is None or offset - overlap <= (_offset(self.token or "") or 0):
            # Not a number of rows, whatever it is: followed as it stands.
            self._expects_known = False
            return token
        self._expects_known = overlap > 0
        return offset_token(offset - overlap)

    def _count_fruitless(self, page: Page[Row], fresh: list[Row]) -> None:
        self._fruitless = 0 if fresh else self._fruitless + 1
        if page.token and self._fruitless > MAX_FRUITLESS_PAGES:
            raise ServerError(
                f"MLflow gave {MAX_FRUITLESS_PAGES} pages in a row with nothing new, each with a token of a next one."
            )


def is_offset(token: str) -> bool:
    """Whether this is a token of MLflow's own kind, of a next page."""
    return bool(token) and _offset(token) is not None


def _offset(token: str) -> int | None:
    """The offset in MLflow's own token, 0 for none; None for another server's opaque one."""
    if not token:
        return 0
    try:
        return msgspec.json.decode(base64.b64decode(token, validate=True), type=_Offset).offset
    except (msgspec.DecodeError, ValueError):
        return None


def offset_token(offset: int) -> str:
    """MLflow's own token of the page that begins behind so many rows."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode() if offset else ""
