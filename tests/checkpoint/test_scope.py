"""How much a crawl reads: decided by what is kept of the last one, the settings and the time."""

from typing import Any

import msgspec
import pytest

from crawler.checkpoint.scope import OVERLAP, LastCrawl, Scope, scope_of
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.pipeline.changed_runs import changed_runs
from crawler.pipeline.plan import Stretch
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_700_000_000_000
MINE = {"env": "PROD"}
LAST = LastCrawl(7, MINE, "1.0", NOW - DAY, NOW - 3 * DAY)
INCREMENTAL = KeepingCurrent(incremental=IncrementalSettings(full_every=7 * 86_400, not_ended_for=86_400.5))


def decided(last: LastCrawl | None = LAST, wanted: KeepingCurrent = INCREMENTAL, **other: Any) -> Scope:
    options: dict[str, Any] = {"fingerprint": MINE, "program": "1.0", "now": NOW} | other
    return scope_of(last, wanted, **options)


def test_what_may_have_changed_since_the_last_crawl_began() -> None:
    assert decided() == Scope(8, NOW, NOW - DAY - OVERLAP, NOW - DAY - 500)
    assert not decided().is_full
    assert OVERLAP == HOUR


@pytest.mark.parametrize(
    "changed",
    [
        {"last": None},
        {"wanted": KeepingCurrent()},
        {"fingerprint": {"env": "DEV"}},
        {"program": "1.1"},
        {"last": msgspec.structs.replace(LAST, full_began=NOW - 7 * DAY)},
        {"now": NOW - DAY - 1},
        {"wanted": msgspec.structs.replace(INCREMENTAL, verify_every=60.0)},
    ],
    ids=["first", "not asked for", "settings", "release", "full_every", "clock put back", "verify"],
)
def test_everything_is_read(changed: dict[str, Any]) -> None:
    assert decided(**changed).is_full


def test_a_full_crawl_is_due_after_so_long_and_not_before() -> None:
    for ago, is_full in ((7 * DAY - 1, False), (7 * DAY, True)):
        assert decided(last=msgspec.structs.replace(LAST, full_began=NOW - ago)).is_full is is_full


@pytest.mark.parametrize(
    ("ago", "verifies"), [(None, True), (60_000, True), (59_999, False)], ids=["never", "so long ago", "lately"]
)
def test_datahub_is_asked_after_so_long(ago: int | None, verifies: bool) -> None:
    last = msgspec.structs.replace(LAST, verified=None if ago is None else NOW - ago)
    scope = decided(last, KeepingCurrent(incremental=IncrementalSettings(), verify_every=60.0))
    assert (scope.verifies, scope.is_full) == (verifies, verifies)
    assert not decided(last).verifies


def test_older_runs_are_asked_for_by_what_moves_a_time() -> None:
    ended = Stretch(EARLIEST, 500, "attributes.end_time >= 500")
    condition = "attributes.status != 'FINISHED' AND attributes.status != 'FAILED' AND attributes.status != 'KILLED'"
    assert changed_runs(Scope(2, 1_000, 500, 100)) == [ended, Stretch(100, 500, condition)]
    assert changed_runs(Scope(2, 1_000, 500, 500)) == [ended]
    assert changed_runs(Scope(2, 1_000)) == []
