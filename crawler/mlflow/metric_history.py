"""What was logged to a metric, of many runs in one request: the endpoints that MLflow's own charts are drawn from."""

from collections.abc import Sequence

import msgspec

from crawler.errors import DecodeError, RequestRefused
from crawler.http.status_policy import BAD_REQUEST
from crawler.mlflow.api import AJAX_API, Api, Params
from crawler.mlflow.decoding import Page, decode_metric_points
from crawler.mlflow.entities import MetricPoint

RUNS_A_REQUEST = 80
"""MLflow takes 100; with a metric's name they must fit into the 4,094 bytes of a URL that gunicorn takes."""
FEWER_RUNS = 20
"""What an MLflow takes that is older than 2024 (mlflow #11231)."""
_TOO_MANY_RUNS = "cannot specify more than"
POINTS_A_REQUEST = 5_000
"""Of all runs together. MLflow would return 25,000 in 1.8 s of its CPU; a longer history it samples in 0.05 s."""
POINTS_OF_A_SAMPLE = 2_500
"""The most that MLflow samples of one run."""
_ATTEMPTS = 3
"""Fewer than of other requests, since one that fails is taken apart and asked again."""


class FoundHistories(msgspec.Struct, frozen=True):
    """All points of a metric by run, and the ids of runs that did not fit into the answer.

    `unreadable` has texts on points of a wrong shape.
    """

    points: dict[str, list[MetricPoint]]
    left: list[str] = []
    unreadable: list[str] = []

    @property
    def too_long(self) -> str | None:
        """The id of the run whose points alone are more than an answer holds, if it is one."""
        return self.left[0] if self.left and not self.points else None


class MetricHistoryReader:
    """Reads histories from the tracking server, of at most `runs_a_request` runs at once.

    Raises RequestRefused where it has none (MLflow 1.28), or takes fewer runs, as it says.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.runs_a_request = RUNS_A_REQUEST

    async def read(self, key: str, run_ids: Sequence[str]) -> FoundHistories:
        """Return the points of a metric in runs that have it."""
        params = [("metric_key", key), ("max_results", str(POINTS_A_REQUEST)), *(("run_id", each) for each in run_ids)]
        try:
            page = await self._ask("get-history-bulk", params)
        except RequestRefused as refused:
            if refused.status == BAD_REQUEST and _TOO_MANY_RUNS in refused.answer:
                self.runs_a_request = FEWER_RUNS
            raise
        return _by_run(page, run_ids)

    async def sample(self, key: str, run_id: str, most: int) -> Page[MetricPoint]:
        """Return points that MLflow chooses, spread over the history of one run that is too long to be read whole."""
        rows = str(min(most, POINTS_OF_A_SAMPLE))
        params = [("metric_key", key), ("max_results", rows), ("run_ids", run_id)]
        return await self._ask("get-history-bulk-interval", params)

    async def _ask(self, endpoint: str, params: Params) -> Page[MetricPoint]:
        # Also of a server whose API is elsewhere, its pages are here.
        answer = await self._api.tracking.get(f"{AJAX_API}/metrics/{endpoint}", params, attempts=_ATTEMPTS)
        return self._api.decoded(decode_metric_points, answer.body)


def _by_run(page: Page[MetricPoint], run_ids: Sequence[str]) -> FoundHistories:
    """Return the histories of an answer, which has one run after the other and may end within one.

    Raise DecodeError where it has no point of these runs, so that asking would have no end.
    """
    points: dict[str, list[MetricPoint]] = {run_id: [] for run_id in run_ids}
    last = ""
    for point in page.rows:
        if point.run_id in points:
            last = point.run_id
            points[last].append(point)
    if len(page.rows) + len(page.unreadable) < POINTS_A_REQUEST:
        return FoundHistories(points, unreadable=page.unreadable)
    if not last:
        raise DecodeError("MLflow's answer to metrics/get-history-bulk has other runs than were asked for.")
    whole = {run_id: some for run_id, some in points.items() if some and run_id != last}
    left = [last, *(each for each in run_ids if each not in whole and each != last)]
    return FoundHistories(whole, left, page.unreadable)
