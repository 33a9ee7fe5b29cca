"""What a run shows of the points that its metrics had: evenly thinned, the first and the last always there."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from crawler.datahub.aspects.runs import PastValue
from crawler.mapping.metric_values import python_texts
from crawler.mapping.times import known_time
from crawler.mlflow.entities import MetricPoint

POINTS_OF_A_RUN = 10_000
"""The most of all metrics together: 1 MB of JSON, 3.4 MB with the longest names. DataHub's Kafka takes 5."""
LEAST_POINTS = 2
"""Of each metric: the first and the last."""
PROPERTY = "metric_history"
"""The custom property that tells how much of which metrics is there."""
_TOO_LATE = 2**62
"""In ms since epoch."""

Point = TypeVar("Point")


class MetricHistory(msgspec.Struct, frozen=True, gc=False):
    """The points of one metric that are kept, in order, of `total` ones; of more, where MLflow told only some."""

    points: list[MetricPoint]
    total: int
    has_more: bool = False

    @property
    def left_out(self) -> int:
        """How many points are not kept, as far as it is known."""
        return self.total - len(self.points)


Histories = Mapping[str, MetricHistory]
"""Of one run, by the names of metrics."""


def most_points(metrics: int, most: int) -> int:
    """Return how many points of each metric a run keeps that has so many metrics; `most` is the user's word."""
    return max(LEAST_POINTS, min(most, POINTS_OF_A_RUN // max(metrics, 1)))


def kept_history(points: Sequence[MetricPoint], most: int, *, sampled_from: int = 0) -> MetricHistory:
    """Return at most `most` of the points; these may be a sample of at least `sampled_from` ones."""
    ordered = sorted(points, key=_rank)
    return MetricHistory(thinned(ordered, most), max(len(ordered), sampled_from), has_more=sampled_from > 0)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` (2 or more) of the points, evenly spread, with the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[index * (len(points) - 1) // (most - 1)] for index in range(most)]


def past_values(histories: Histories) -> list[PastValue]:
    """Return the points as DataHub's MLMetrics, by name and in order. The only point of one is its latest value."""
    found: list[PastValue] = []
    for key, history in sorted(histories.items()):
        if len(history.points) > 1:
            texts = python_texts([point.value for point in history.points])
            found += [
                PastValue(key, text, f"step {point.step}", _time(point))
                for point, text in zip(history.points, texts, strict=True)
            ]
    return found


def thinned_property(histories: Histories) -> dict[str, str]:
    """Return the property that says how many points are there of those metrics of which some are left out."""
    texts = {
        key: f"{len(history.points)} of {'at least ' if history.has_more else ''}{history.total} points"
        for key, history in sorted(histories.items())
        if history.left_out
    }
    return {PROPERTY: msgspec.json.encode(texts).decode()} if texts else {}


def _time(point: MetricPoint) -> int | None:
    return known_time(int(point.timestamp)) if 0 <= point.timestamp < _TOO_LATE else None


def _rank(point: MetricPoint) -> tuple[float, float, bool, float]:
    """Return what MLflow orders points by, NaN last: the last one is the latest value."""
    return point.step, point.timestamp, point.value != point.value, point.value
