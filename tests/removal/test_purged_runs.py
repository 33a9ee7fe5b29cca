"""Runs that MLflow lists no more at all (`mlflow gc`): a state that remembers them tells, within the same rules."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pipeline.stale_feed import StaleFeed
from crawler.removal.deleted_runs import DeletedRuns
from crawler.removal.open_removal import Removal
from crawler.removal.shown_entities import ShownEntities
from crawler.removal.stale import Evidence, Why, compare, decide_on_runs
from crawler.removal.stale_removal import StaleRemoval
from crawler.settings.crawl import MlflowSettings, Settings
from crawler.settings.mapping import MappingSettings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import FileSettings
from crawler.telemetry.events import Event, RowsRead, StaleFound
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.reading import UNREADABLE

MLFLOW = "http://mlflow:5000"
SETTINGS = Settings(
    run_id="1",
    mlflow=MlflowSettings(tracking=ServerSettings(url=MLFLOW)),
    mapping=MappingSettings(ui_url=MLFLOW),
    sink=FileSettings(path=Path("-")),
)
EXPERIMENT = "urn:li:container:1"
OTHER = "urn:li:container:2"


class Remembered:
    """A state with this many runs, of which the first ones are not seen any more."""

    def __init__(self, known: int, unseen: int) -> None:
        self._known = known
        self._unseen = unseen

    def count(self) -> int:
        return self._known

    def forget(self, urns: Iterable[str]) -> None:
        raise AssertionError(urns)

    def unseen_runs(self) -> Iterator[str]:
        return (f"urn:li:dataProcessInstance:{number}" for number in range(self._unseen))


async def removed(
    remembered: Remembered, *events: Event, threshold: float = 75.0
) -> tuple[list[str], list[StaleFound], list[Finding]]:
    """What the feed of a crawl removes in which these events were told, and what it tells and finds."""
    stale = StaleRemoval(threshold, "_")
    for event in (RowsRead("runs", 1), *events):
        stale(event)
    told: list[Any] = []
    shown = ShownEntities(None, told.append)
    removal = Removal(stale, shown, DeletedRuns(shown, told.append), is_confirmed=False, known_runs=remembered)
    nobody: Any = None
    feed = StaleFeed(nobody, SETTINGS, removal, told.append, asyncio.Event())
    urns = [entity.urn async for chunk in feed for entity in chunk.entities]
    found = [each for each in told if isinstance(each, Finding)]
    return urns, [each for each in told if isinstance(each, StaleFound)], found


async def test_they_are_removed_a_few_at_a_time() -> None:
    urns, told, found = await removed(Remembered(1_000, 250))
    assert urns == list(Remembered(0, 250).unseen_runs())
    assert [(each.why, each.is_removed, len(each.urns)) for each in told] == [
        ("absent", True, n) for n in (100, 100, 50)
    ]
    assert found == []


async def test_past_the_threshold_none_is_removed() -> None:
    urns, told, (finding,) = await removed(Remembered(1_000, 760))
    assert urns == []
    assert {(each.why, each.is_removed) for each in told} == {("threshold", False)}
    assert sum(len(each.urns) for each in told) == 760
    assert (finding.code, finding.count) == ("removal_threshold", 760)
    assert finding.sample.startswith("76.0 %")


async def test_after_a_failure_none_is_removed() -> None:
    urns, told, (finding,) = await removed(Remembered(10, 1), UNREADABLE["runs"].found("x"))
    assert (urns, [each.why for each in told], finding.code) == ([], ["failure"], "removal_after_failure")


async def test_where_nothing_is_missing_nothing_is_told() -> None:
    assert await removed(Remembered(10, 0)) == ([], [], [])


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({}, Why.ABSENT),
        ({"is_partial": True}, Why.PARTIAL),
        ({"empty": {"dataset"}}, Why.EMPTY_LISTING),
        ({"empty": {"dataset"}, "is_confirmed": True}, Why.ABSENT),
        ({"may_hide": True}, Why.RIGHTS),
        ({"may_hide": True, "is_confirmed": True}, Why.ABSENT),
        ({"may_hide": True, "deleted": {EXPERIMENT}}, Why.ABSENT),
    ],
)
def test_the_rules_are_those_of_the_other_entities(evidence: dict[str, Any], why: Why) -> None:
    absent = compare([EXPERIMENT, OTHER], {OTHER: None}, "_")
    assert decide_on_runs(1, 10, absent, 75.0, Evidence(**evidence)) is why


@given(st.integers(0, 100), st.integers(0, 100), st.floats(0, 100))
def test_the_threshold_holds_for_any_number(unseen: int, seen: int, threshold: float) -> None:
    known = unseen + seen
    absent = compare([], {}, "_")
    is_within = threshold == 100.0 or not known or 100.0 * unseen / known <= threshold
    expected = Why.ABSENT if is_within else Why.THRESHOLD
    assert decide_on_runs(unseen, known, absent, threshold, Evidence()) is expected
