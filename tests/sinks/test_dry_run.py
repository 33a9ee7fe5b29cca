"""A dry run tells what a crawl then sends, and asks DataHub for nothing but who it is."""

from pathlib import Path

import pytest
from msgspec import structs

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.settings.sinks import Confirm
from crawler.telemetry.events import BatchPlanned, OutputProbed
from crawler.telemetry.forecast import Forecast
from tests.cli.test_cli import closed_port
from tests.gms.server import Gms
from tests.servers.dialect import Dialect
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run
from tests.support.crawls import crawl_settings, recipe_file, settings_for_gms


@pytest.mark.parametrize("endpoint", ["restli", "openapi"])
async def test_the_plan_is_what_a_crawl_sends(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms() as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms, endpoint=endpoint, confirm=Confirm.ENTITIES)
        plan = (await crawl_settings(structs.replace(settings, dry_run=True))).to_dict()["plan"]
        assert (gms.requests, gms.read_backs, gms.aspects) == (0, [], {})
        crawled = await crawl_settings(settings)
    assert isinstance(plan, dict)
    assert plan["entities"] == crawled.delivered
    assert sum(plan["proposals"].values()) == crawled.proposals == gms.proposals
    assert abs(plan["requests"] - len(gms.batches)) <= 2
    # The system metadata has another time, and batches may be cut elsewhere.
    assert plan["bytes"] == pytest.approx(gms.bytes, rel=0.01)
    assert plan["lookups"] == (0 if endpoint == "openapi" else len(plan["entities"]))
    assert plan["least_s"] >= plan["answer_s"] > 0
    assert crawled.to_dict()["plan"] is None


async def test_what_it_says(tmp_path: Path) -> None:
    async with Dialect().serve() as url, Gms() as gms:
        recipe = recipe_file(tmp_path, url, sink={"type": "datahub-rest", "config": {"server": gms.url}})
        code, _, errors = await run("crawl", "-c", recipe, "--dry-run", folder=tmp_path)
    assert code == 0
    assert "DataHub v1.7.0 would get " in errors
    assert " to confirm them\n" in errors
    assert "Estimate: at least " in errors
    assert "Dry run: nothing was written; " in errors


async def test_a_datahub_that_is_down_is_a_warning_and_the_rest_is_planned(tmp_path: Path) -> None:
    async with Dialect().serve() as url:
        sink = {"type": "datahub-rest", "config": {"server": f"http://127.0.0.1:{closed_port()}"}}
        settings = load(recipe_file(tmp_path, url, sink=sink), {}, Flags(dry_run=True), home=tmp_path)
        report = await crawl_settings(settings)
    assert [(warning.code, report.status) for warning in report.warnings] == [("not_probed", "success")]
    assert report.forecast.proposals["tag"] == 8
    assert report.forecast.seconds(1.0, report.mapped) is None


def test_the_estimate_is_the_slower_of_reading_and_writing() -> None:
    forecast = Forecast()
    forecast(OutputProbed(answer_s=0.5, concurrency=2, confirms=True))
    for _ in range(6):
        forecast(BatchPlanned({"mlModel": 3, "tag": 1}, 1, 100))
    entities = {"mlModel": 501, "tag": 1}
    assert forecast.lookups(entities) == 3
    assert (forecast.seconds(1.0, entities), forecast.seconds(9.0, entities)) == (2.25, 9.0)
    assert forecast.to_dict(1.0, entities) == {
        "entities": entities,
        "proposals": {"mlModel": 18, "tag": 6},
        "requests": 6,
        "lookups": 3,
        "bytes": 600,
        "answer_s": 0.5,
        "least_s": 2.25,
    }
