"""Stale removal as a user of the command sees it."""

import json
from pathlib import Path

import pytest
import yaml

from tests.removal.crawls import World, delete_experiment, delete_model, group, model, removed, world
from tests.support.commands import run

pytestmark = pytest.mark.slow


def recipe(whole: World, folder: Path) -> Path:
    path = folder / "stateful.yml"
    config = {"tracking_uri": whole.url, "stateful_ingestion": {"enabled": True}}
    document = {"source": {"type": "mlflow", "config": config}, "sink": whole.sink, "pipeline_name": "tests"}
    path.write_text(yaml.safe_dump(document))
    return path


async def test_a_dry_run_shows_first_what_is_removed_then(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        path = recipe(whole, tmp_path)
        code, _, errors = await run("crawl", "-c", path, folder=tmp_path)
        assert code == 0
        assert "There is no checkpoint of tests yet: nothing is removed this time." in errors
        delete_model(whole.dialect, "churn")
        delete_experiment(whole.dialect, "second")

        code, _, errors = await run("crawl", "-c", path, "--dry-run", folder=tmp_path)
        assert (code, removed(whole.gms)) == (0, set())
        would = errors[errors.index("Would be removed from DataHub:") :]
        assert "1 mlModel: MLflow does not list it any more" in would
        assert "1 container: MLflow lists it as deleted" in would
        assert model("churn", 1) in would

        code, _, errors = await run("crawl", "-c", path, "--report", "report.json", folder=tmp_path)
        assert code == 0
        assert "Removed from DataHub:" in errors
        assert {group("churn"), model("churn", 1)} < removed(whole.gms)
        report = json.loads((tmp_path / "report.json").read_bytes())
        assert report["removal"]["removed"] == {
            "mlModelGroup": 1,
            "mlModel": 1,
            "container": 1,
            "dataset": 1,
            "dataProcessInstance": 1,
        }


async def test_what_is_kept_is_said_and_can_be_confirmed(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        path = recipe(whole, tmp_path)
        await run("crawl", "-c", path, folder=tmp_path)
        whole.dialect.versions.clear()
        code, _, errors = await run("crawl", "-c", path, folder=tmp_path)
        assert (code, removed(whole.gms)) == (1, set())
        assert "Kept in DataHub, although MLflow does not list it:" in errors
        assert "3 mlModel: MLflow's listing came back empty" in errors
        code, _, _ = await run("crawl", "-c", path, "--removal", "confirm", folder=tmp_path)
        assert (code, len(removed(whole.gms))) == (0, 3)


async def test_the_checkpoint_is_no_other_file_of_the_crawl(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        path = recipe(whole, tmp_path)
        document = yaml.safe_load(path.read_text())
        provider = {"type": "file", "config": {"filename": "one.json"}}
        document["source"]["config"]["stateful_ingestion"]["state_provider"] = provider
        path.write_text(yaml.safe_dump(document))
        code, _, errors = await run("crawl", "-c", path, "--report", "one.json", folder=tmp_path)
    assert code == 2
    assert "The report and the checkpoint are both" in errors
