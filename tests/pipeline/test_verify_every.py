"""`--verify-every`: DataHub is asked now and then whether it still has what the state says."""

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.checkpoint import memory
from crawler.errors import SettingsError
from crawler.mapping.runs import run_urn
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent, Settings
from crawler.settings.sinks import Confirm
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings, settings_for_gms

ALL = 376
HOUR = 3_600.0
VERIFYING = KeepingCurrent(verify_every=HOUR)


class Clock:
    """The time of day of the state, in ms since epoch."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def pass_hours(self, hours: float) -> None:
        self.now += round(hours * 3_600_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(memory, "_now", lambda: clock.now)
    return clock


def verifying(server: MlflowServer, folder: Path, gms: Gms, **options: Any) -> Settings:
    return structs.replace(
        settings_for_gms(server, folder, gms, **options), state=folder / "state", changed_only=VERIFYING
    )


async def sent(settings: Settings, gms: Gms) -> tuple[Report, list[tuple[str, str]]]:
    before = len(gms.history)
    report = await crawl_settings(settings)
    assert (report.failures, gms.violations) == ([], [])
    return report, [(urn, aspect) for urn, aspect, _ in gms.history[before:]]


def delete(gms: Gms, urn: str) -> set[tuple[str, str]]:
    """As somebody does for good; timeseries aspects go with the entity."""
    gone = {key for key in gms.aspects if key[0] == urn}
    for key in gone:
        del gms.aspects[key]
        gms.shelf.forget(key)
    return gone


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"confirm": Confirm.STORED}, {"confirm": Confirm.STORED, "endpoint": "openapi"}], ids=str
)
async def test_what_is_gone_or_was_changed_is_sent_again_once_it_is_time(
    golden_server: MlflowServer, tmp_path: Path, clock: Clock, options: dict[str, Any]
) -> None:
    async with Gms() as gms:
        settings = verifying(golden_server, tmp_path, gms, **options)
        await sent(settings, gms)
        right = dict(gms.aspects)
        runs = [run["info"]["run_id"] for run in Editor(golden_server.url).runs()]
        gone = delete(gms, run_urn(runs[0]))
        model = next(urn for urn, _ in gms.aspects if ":mlModel:" in urn)
        gone |= delete(gms, model)
        removed = (run_urn(runs[1]), "status")
        gms.aspects[removed] = {"removed": True}
        gms.shelf._there[removed] = ({"removed": True}, {"lastObserved": 2**60})
        report, written = await sent(settings, gms)
        assert written == [], "it is not time yet"
        clock.pass_hours(1)
        report, written = await sent(settings, gms)
        assert set(written) == gone | {removed}
        assert gms.aspects == right
        assert [(each.code, each.count) for each in report.warnings] == [("no_more_there", 3)]
        assert report.delivered == {"dataProcessInstance": 2, "mlModel": 1}
        assert (report.delivered + report.unchanged).total() == len({urn for urn, _ in right})
        for hours, asked in ((0.9, False), (0.2, True)):
            clock.pass_hours(hours)
            before = len(gms.read_backs)
            report, written = await sent(settings, gms)
            assert (written, report.warnings) == ([], [])
            assert (len(gms.read_backs) > before) is asked


@pytest.mark.slow
async def test_an_incremental_crawl_reads_everything_when_it_verifies(
    golden_server: MlflowServer, tmp_path: Path, clock: Clock
) -> None:
    async with Gms() as gms:
        wanted = structs.replace(VERIFYING, incremental=IncrementalSettings())
        settings = structs.replace(verifying(golden_server, tmp_path, gms), changed_only=wanted)
        is_full = []
        for hours in (0, 0.5, 0.6, 0.5):
            clock.pass_hours(hours)
            report, _ = await sent(settings, gms)
            is_full.append(report.since is None)
        assert is_full == [True, False, True, False]


@pytest.mark.slow
async def test_what_cannot_be_looked_up_is_sent_again(
    golden_server: MlflowServer, tmp_path: Path, clock: Clock
) -> None:
    async with Gms() as gms:
        settings = verifying(golden_server, tmp_path, gms)
        await sent(settings, gms)
    runs = {run_urn(run["info"]["run_id"]) for run in Editor(golden_server.url).runs()}
    async with Gms(unreadable=runs, port=int(gms.url.rpartition(":")[2])) as other:
        clock.pass_hours(1)
        for key, value in gms.aspects.items():
            other.aspects[key] = value
            other.shelf._there[key] = (value, gms.system_metadata[key])
        report, written = await sent(settings, other)
        assert {urn for urn, _ in written} == runs
        assert [each.code for each in report.warnings] == ["unconfirmed_by_server"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"confirm": Confirm.NONE}, {"endpoint": "openapi"}], ids=str)
async def test_where_nothing_can_be_asked_that_is_said(
    golden_server: MlflowServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    async with Gms() as gms:
        with pytest.raises(SettingsError, match=r"--verify-every asks DataHub .* cannot be asked here\. It takes"):
            await crawl_settings(verifying(golden_server, tmp_path, gms, **options))
        assert gms.history == []


def test_the_clock_is_that_of_the_day() -> None:
    assert abs(memory._now() - time.time_ns() // 1_000_000) < 60_000
