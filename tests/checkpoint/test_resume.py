"""A crawl that ended early goes on where it was; in the end DataHub has what an undisturbed crawl would have given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused, SettingsError
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Confirm
from crawler.telemetry.report import Report
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.pipeline.test_real_servers import Serve
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import Values, crawl_settings, recipe_file

PAGE_SIZE = 7
STOPS = 10
ENOUGH = 18
"""Batches for the longest window, which is that of many runs that started at once."""
BATCH_SIZE = 20
OPTIONS = {"materialize_dataset_inputs": True, "source_mapping_to_platform": {"http": "s3", "huggingface": "s3"}}


def settings_for(url: str, folder: Path, gms: Gms, confirm: Confirm = Confirm.ENTITIES, **options: Any) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1, "max_threads": 2}}
    recipe = recipe_file(folder, url, OPTIONS | options, sink)
    flags = Flags(
        state=folder / "state.db",
        page_size=PAGE_SIZE,
        batch_size=BATCH_SIZE,
        mlflow_concurrency=2,
        confirm=confirm,
        dead_letters=folder / "letters.jsonl",
    )
    return load(recipe, {}, flags, home=folder)


def refusing_after(batches: int) -> Callable[[list[dict[str, Any]]], Fault | None]:
    """DataHub takes so many batches, then no credentials any more: the crawl ends at that."""
    left = iter(range(batches))
    return lambda _: None if next(left, None) is not None else Fault(status=401)


async def undisturbed(url: str, folder: Path) -> tuple[Values, Report, int]:
    async with Gms() as gms:
        report = await crawl_settings(settings_for(url, folder, gms))
        return dict(gms.aspects), report, len(gms.batches)


def require_same(report: Report, whole: Report) -> None:
    """Both tell the same of what is in MLflow; only what was in flight when a crawl ended may be named once more."""
    assert (report.read, report.skipped) == (whole.read, whole.skipped)
    for found, expected in ((report.warnings, whole.warnings), (report.failures, whole.failures)):
        counts = {each.code: each.count for each in found}
        assert counts.keys() == {each.code for each in expected}
        assert all(each.count <= counts[each.code] <= 2 * each.count for each in expected)


async def crawl_until(gms: Gms, settings: Settings, aspects: int) -> Report:
    """Ends at the first batch that comes when DataHub has so many aspects. How many batches bring them differs with the
    speed of the servers: what has waited for long is sent as it is.
    """
    gms.rule = lambda _: Fault(status=401) if len(gms.aspects) >= aspects else None
    report = Report(settings.run_id)
    with pytest.raises(CredentialsRefused):
        await crawl_settings_into(settings, report)
    gms.rule = None
    return report


async def crawl_settings_into(settings: Settings, report: Report) -> None:
    await crawl(settings, report=report)


@pytest.fixture(params=["2.20.4", "3.17.2"], scope="module")
def url(request: pytest.FixtureRequest, filled_server: Serve) -> str:
    return filled_server(request.param).server.url


@pytest.mark.parametrize("confirm", [Confirm.ENTITIES, Confirm.NONE])
async def test_a_crawl_goes_on_from_any_batch(url: str, tmp_path: Path, confirm: Confirm) -> None:
    expected, whole, _ = await undisturbed(url, tmp_path)
    # Behind the last stop one more batch comes for sure: two may be under way when it is reached.
    last = len(expected) - 2 * BATCH_SIZE - 1
    for stop in range(0, last + 1, last // STOPS):
        folder = tmp_path / str(stop)
        folder.mkdir()
        async with Gms() as gms:
            first = await crawl_until(gms, settings_for(url, folder, gms, confirm), stop)
            report = await crawl_settings(settings_for(url, folder, gms, confirm))
            assert gms.violations == []
            missing = expected.keys() - gms.aspects.keys()
            assert missing == set(), stop
            wrong = {key for key, value in gms.aspects.items() if value != expected.get(key)}
            assert wrong == set(), stop
            assert {(metadata or {})["runId"] for metadata in gms.system_metadata.values()} == {first.run_id}
        require_same(report, whole)
        assert report.run_id == first.run_id


async def test_a_crawl_that_ends_again_and_again_gets_on(url: str, tmp_path: Path) -> None:
    expected, whole, batches = await undisturbed(url, tmp_path)
    async with Gms() as gms:
        for _ in range(batches):
            report = Report("later")
            gms.rule = refusing_after(ENOUGH)
            try:
                await crawl_settings_into(settings_for(url, tmp_path, gms, Confirm.NONE), report)
            except CredentialsRefused:
                continue
            break
        else:
            pytest.fail("it gets nowhere")
        assert gms.aspects == expected
    assert report.read == whole.read
    assert report.failures == whole.failures == []


async def test_a_finished_state_starts_afresh(url: str, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = settings_for(url, tmp_path, gms)
        first = await crawl_settings(settings)
        second = await crawl_settings(structs.replace(settings, run_id="second"))
        assert second.run_id == "second"
        require_same(second, first)
        assert second.proposals == first.proposals
        assert len(gms.history) == 2 * len(gms.aspects)


async def test_other_settings_are_told_and_nothing_is_touched(url: str, tmp_path: Path) -> None:
    async with Gms() as gms:
        await crawl_until(gms, settings_for(url, tmp_path, gms), 5 * BATCH_SIZE)
        before = (tmp_path / "state.db").read_bytes()
        with pytest.raises(SettingsError, match=r"other settings: model_name_separator was _ and is -\."):
            await crawl_settings(settings_for(url, tmp_path, gms, model_name_separator="-"))
        assert (tmp_path / "state.db").read_bytes() == before


async def test_a_dry_run_leaves_the_state_alone(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        await crawl_settings(structs.replace(settings_for(golden_server.url, tmp_path, gms), dry_run=True))
    assert not (tmp_path / "state.db").exists()
