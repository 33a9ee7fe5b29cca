"""Runs that have no start_time in MLflow's database: MLflow (1.27 to 3.17 alike) answers 500 for every page that would
hold one, so they are told by their experiment.
"""

from collections.abc import Awaitable, Callable

from crawler.errors import CrawlerError, DecodeError, RequestRefused
from crawler.http import Response
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.keyset import RunQuery
from crawler.mlflow.paging.offset import MAX_SKIPPED, OVERLAP, offset_token
from crawler.mlflow.row_errors import fault_of_row, is_of_one_request

EXPERIMENT_IDS_A_REQUEST = 1_000
STEP_BACK = 1_000
MAX_PAGES = 1_000

_UNTIMED = b"start_time cannot be None"

Search = Callable[[list[str], RunQuery], Awaitable[Page[Run]]]
Tell = Callable[[str], None]


def is_final(response: Response) -> bool:
    """Whether an answer of MLflow says 500 for what it will never be able to answer: a run without start_time."""
    return _UNTIMED in response.body


def is_untimed(refused: RequestRefused) -> bool:
    """Whether a page was refused since it would hold a run without start_time."""
    return _UNTIMED.decode() in refused.answer


class UntimedRuns:
    """Tells which experiments have such runs, without meeting them: they sort last, so where they are asked for is
    known by the number of all others.
    """

    def __init__(self, search: Search, tell: Tell) -> None:
        self._search = search
        self._tell = tell
        self._others: dict[str, int] = {}

    def begin(self, experiment_id: str) -> None:
        """Its runs are read with a filter that leaves out those without start_time."""
        self._others.setdefault(experiment_id, 0)

    def add(self, experiment_id: str, rows: int) -> None:
        """So many more of its runs are read, if it is one that is counted."""
        if experiment_id in self._others:
            self._others[experiment_id] += rows

    def leave_out(self, experiment_id: str) -> None:
        """Its runs are not all known, or those without start_time are known already."""
        self._others.pop(experiment_id, None)

    async def name(self, unknown: Tell) -> None:
        """One request for a thousand experiments, and some more only where there are such runs. `unknown` is told of
        experiments of which it cannot be had.
        """
        experiment_ids = sorted(self._others)
        for start in range(0, len(experiment_ids), EXPERIMENT_IDS_A_REQUEST):
            await self._name(experiment_ids[start : start + EXPERIMENT_IDS_A_REQUEST], unknown)

    async def _name(self, experiment_ids: list[str], unknown: Tell) -> None:
        try:
            if not await self._are_there(experiment_ids):
                return
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            for experiment_id in experiment_ids:
                unknown(f"experiment {experiment_id}: {error}")
            return
        if len(experiment_ids) == 1:
            self._tell(experiment_ids[0])
            return
        middle = len(experiment_ids) // 2
        await self._name(experiment_ids[:middle], unknown)
        await self._name(experiment_ids[middle:], unknown)

    async def _are_there(self, experiment_ids: list[str]) -> bool:
        """Looks from the last of the others to the end of the listing: one request, unless runs came or went since."""
        offset = max(0, sum(self._others[experiment_id] for experiment_id in experiment_ids) - 1)
        is_exact, failed = False, 0
        for _ in range(MAX_PAGES):
            try:
                page = await self._search(experiment_ids, RunQuery(token=offset_token(offset)))
            except RequestRefused as refused:
                if is_untimed(refused):
                    return True
                failed += 1
                if fault_of_row(refused) is None or failed > MAX_SKIPPED:
                    raise
                # The row there fails in another way, and is named where the others are read.
                page = Page([], offset_token(offset + 1), unreadable=[str(refused)])
            if any(run.info.start_time is None for run in page.rows):
                return True
            rows = len(page.rows) + len(page.unreadable)
            is_end = not page.token if rows else is_exact or offset == 0
            if is_end:
                return False
            # Rows may be purged meanwhile, so that later ones move up: some come once more.
            overlap = min(OVERLAP, rows - 1) if rows else 0
            is_exact = rows > 0 and overlap == 0
            offset = offset + rows - overlap if rows else max(0, offset - STEP_BACK)
        raise DecodeError(f"MLflow's listing of runs had no end within {MAX_PAGES:,} pages.")
