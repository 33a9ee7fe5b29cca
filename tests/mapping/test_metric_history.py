"""Which points of a metric a run shows, and how: few enough, evenly spread, the last one the latest value."""

import math
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.datahub.aspects.runs import MLTrainingRunProperties
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.metric_history import POINTS_OF_A_RUN, kept_history, most_points, thinned
from crawler.mlflow.entities import KeyValue, Metric, MetricPoint, Run, RunData, RunInfo
from crawler.settings.mapping import MappingSettings
from tests.support.examples import examples
from tests.support.judge import judge_aspect

T = 1_700_000_000_000


@examples(1_000)
@given(st.integers(0, 3_000), st.integers(2, 500))
@example(3, 2)
@example(101, 100)
def test_thinned_points_are_few_even_and_in_order_with_the_ends(count: int, most: int) -> None:
    kept = thinned(range(count), most)
    assert len(kept) == min(count, most)
    assert [*kept[:1], *kept[-1:]] == [*range(count)[:1], *range(count)[-1:]]
    gaps = {later - earlier for earlier, later in pairwise(kept)}
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


@examples(300)
@given(st.integers(0, 20_000), st.integers(2, 10**9))
def test_a_run_has_room_for_its_metrics(metrics: int, most: int) -> None:
    each = most_points(metrics, most)
    assert 2 <= each <= most
    assert each == 2 or each * metrics <= POINTS_OF_A_RUN


@examples(300)
@given(
    st.lists(
        st.builds(
            MetricPoint,
            key=st.just("m"),
            value=st.floats(),
            timestamp=st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
            step=st.integers(-(2**63), 2**63 - 1),
        )
    ),
    st.integers(2, 5),
)
def test_any_points_come_to_an_aspect_that_datahub_takes(points: list[MetricPoint], most: int) -> None:
    aspect = shown({"m": 1.0}, {"m": points}, most=most)
    series = aspect["trainingMetrics"][1:]
    assert len(series) == (min(len(points), most) if len(points) > 1 else 0)
    if series:
        latest = max(points, key=lambda point: (point.step, point.timestamp))
        assert series[-1]["description"] == f"step {latest.step}"


def test_the_latest_values_stay_and_the_series_follow_by_step() -> None:
    """Whether a reader takes the first or the last entry of a name, it is the latest value."""
    points = [
        MetricPoint("loss", value, timestamp, step)
        for value, timestamp, step in (
            *((0.5, T + 9, 2), (math.nan, T, -1), (math.inf, T + 1.5, 0), (-math.inf, T + 1, 0), (3.0, -5, 1)),
            (0.25, T + 9, 2),
        )
    ]
    aspect = shown({"one": 7.0, "loss": 0.5}, {"one": [MetricPoint("one", 7.0, T, 3)], "loss": points})
    assert aspect["trainingMetrics"] == [
        {"name": "one", "value": "7.0"},
        {"name": "loss", "value": "0.5"},
        {"name": "loss", "value": "nan", "description": "step -1", "createdAt": T},
        {"name": "loss", "value": "-inf", "description": "step 0", "createdAt": T + 1},
        {"name": "loss", "value": "inf", "description": "step 0", "createdAt": T + 1},
        {"name": "loss", "value": "3.0", "description": "step 1"},
        {"name": "loss", "value": "0.25", "description": "step 2", "createdAt": T + 9},
        {"name": "loss", "value": "0.5", "description": "step 2", "createdAt": T + 9},
    ]


def test_what_is_left_out_is_a_property_unless_the_user_has_one_of_that_name() -> None:
    points = [MetricPoint("loss", 1.0, T, step) for step in range(9)]
    run = Run(RunInfo("r"), RunData([Metric("loss"), Metric("acc"), Metric("few")], tags=[KeyValue("a", "b")]))
    mapper = CrawlMapper(MappingSettings(ui_url="http://x"))
    mapper.metric_history("r", "loss", kept_history(points, 4))
    mapper.metric_history("r", "acc", kept_history(points, 4, sampled_from=20))
    mapper.metric_history("r", "few", kept_history(points, 9))
    told = '{"acc":"4 of at least 20 points","loss":"4 of 9 points"}'
    assert properties(mapper, run) == {"metric_history": told, "a": "b"}
    assert properties(mapper, run) == {"a": "b"}, "a history counts once"
    mapper.metric_history("r", "loss", kept_history(points, 4))
    own = Run(run.info, RunData(run.data.metrics, tags=[KeyValue("metric_history", "mine")]))
    assert properties(mapper, own) == {"metric_history": "mine"}


def properties(mapper: CrawlMapper, run: Run) -> dict[str, str]:
    (entity,) = (entity for entity in mapper.run(run) if entity.type == "dataProcessInstance")
    found: dict[str, str] = msgspec.json.decode(entity.aspects[0].to_json())["customProperties"]
    return found


def shown(latest: dict[str, float], points: dict[str, list[MetricPoint]], most: int = 100) -> Any:
    """The aspect of a run with its metrics, which acryl-datahub's own class takes."""
    mapper = CrawlMapper(MappingSettings(ui_url="http://x"))
    for key, some in points.items():
        mapper.metric_history("r", key, kept_history(some, most))
    run = Run(RunInfo("r"), RunData([Metric(key, value) for key, value in latest.items()]))
    (entity,) = (entity for entity in mapper.run(run) if entity.type == "dataProcessInstance")
    (aspect,) = (aspect for aspect in entity.aspects if isinstance(aspect, MLTrainingRunProperties))
    value = msgspec.json.decode(aspect.to_json())
    judge_aspect(aspect.NAME, value)
    return value
