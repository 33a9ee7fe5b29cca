"""How long a crawl still takes, from the counts of a while and a total. Pure, apart from the counts that it keeps."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

WINDOW = 60.0
"""Seconds over which the rate is taken."""

LEAST_POINTS = 4
LEAST_SECONDS = 3.0
STALE = 30.0
"""Seconds without anything new after which no estimate is given."""


class Point(NamedTuple):
    """How many rows there were, and at which time in seconds."""

    at: float
    rows: int


def seconds_left(points: Sequence[Point], total: int, now: float) -> float | None:
    """Estimate the seconds until `total` is reached; None where these points tell too little.

    The rows of ascending `points` grow. The rate is that between the first and the last of them, so that the estimate
    falls, second by second, while a page is on its way.

    Example:
        seconds_left([Point(0, 0), Point(2, 20), Point(4, 40), Point(6, 60)], total=100, now=7) == 3
    """
    if len(points) < LEAST_POINTS:
        return None
    first, last = points[0], points[-1]
    if last.at - first.at < LEAST_SECONDS or last.rows >= total or now - last.at > STALE:
        return None
    needed = (total - last.rows) * (last.at - first.at) / (last.rows - first.rows)
    left = needed - (now - last.at)
    return left if left > 0 else None


class Growth:
    """The last WINDOW seconds of a count that grows, and at least LEAST_POINTS of its steps."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque()

    def note(self, at: float, count: int) -> None:
        """Take the count of now; one that has not grown is no new point."""
        if self.points and count <= self.points[-1].rows:
            return
        self.points.append(Point(at, count))
        while len(self.points) > LEAST_POINTS and at - self.points[1].at >= WINDOW:
            self.points.popleft()
