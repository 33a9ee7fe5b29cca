"""`datahub ingest rollback`, DataHub's own command, takes back what a crawl wrote, by its run id."""

from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings
from tests.support.official import Ended, datahub

RESULT = "dataHubExecutionRequestResult"
PAGE = ("urn:li:dataHubIngestionSource:", "urn:li:dataHubExecutionRequest:")


async def crawl_into(gms: Gms, server: MlflowServer, folder: Path, run_id: str, **config: Any) -> None:
    recipe = {
        "source": {"type": "mlflow", "config": {"tracking_uri": server.url, **config}},
        "sink": {"type": "datahub-rest", "config": {"server": gms.url}},
        "pipeline_name": "nightly",
        "run_id": run_id,
    }
    report = await crawl_settings(load(recipe, {}, Flags(), home=folder))
    assert report.status == "success"


async def roll_back(gms: Gms, run_id: str, folder: Path, *flags: str) -> Ended:
    return await datahub("ingest", "rollback", "--run-id", run_id, "--force", *flags, home=folder, gms=gms.url)


def assets(gms: Gms) -> dict[tuple[str, str], Any]:
    """What is there but the Ingestion page's own."""
    return {key: value for key, value in gms.aspects.items() if not key[0].startswith(PAGE)}


@pytest.mark.slow
async def test_what_a_crawl_made_is_gone(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        await crawl_into(gms, golden_server, tmp_path, "run-1")
        urns = {urn for urn, _ in assets(gms)}
        planned = await roll_back(gms, "run-1", tmp_path, "--dry-run")
        assert len({urn for urn, _ in assets(gms)}) == len(urns), "a dry run changes nothing"
        ended = await roll_back(gms, "run-1", tmp_path)
        left = assets(gms)
        (result,) = [value for (_, name), value in gms.aspects.items() if name == RESULT]
    assert planned.code == ended.code == 0, ended.output
    assert f"deleted {len(urns)} entities" in ended.output
    assert {name for _, name in left} == {"status"}
    assert all(value == {"removed": True} for value in left.values())
    assert result["status"] == "ROLLED_BACK"


@pytest.mark.slow
async def test_nuke_leaves_nothing(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        await crawl_into(gms, golden_server, tmp_path, "run-1")
        assert (await roll_back(gms, "run-1", tmp_path, "--nuke")).code == 0
        assert assets(gms) == {}
        # The page goes on showing the run.
        assert sorted({urn.split(":")[2] for urn, _ in gms.aspects}) == [
            "dataHubExecutionRequest",
            "dataHubIngestionSource",
        ]


@pytest.mark.slow
async def test_what_an_earlier_crawl_wrote_is_there_again(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        await crawl_into(gms, golden_server, tmp_path, "run-1")
        before = assets(gms)
        # Other links, and further datasets: the second crawl changes some aspects and makes some entities.
        more = {"base_external_url": "https://mlflow.example.com", "materialize_dataset_inputs": True}
        more["source_mapping_to_platform"] = {"delta_table": "delta-lake", "http": "http", "hugging_face": "hf"}
        await crawl_into(gms, golden_server, tmp_path, "run-2", **more)
        assert assets(gms) != before
        assert (await roll_back(gms, "run-2", tmp_path)).code == 0
        after = assets(gms)
    made = {key: value for key, value in after.items() if key not in before}
    # The second crawl sent the events of all runs again, so they are its own: the next crawl writes them once more.
    without_events = {key: value for key, value in before.items() if key[1] != "dataProcessInstanceRunEvent"}
    assert {key: value for key, value in after.items() if key in before} == without_events
    assert {name for _, name in made} == {"status"}
    assert all(value == {"removed": True} for value in made.values())
