"""Runs of new versions that an incremental crawl does not read again: what they cost, and which of them are sent."""

from pathlib import Path
from typing import Any

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.mapping.runs import run_urn
from tests.gms.server import Gms
from tests.pipeline.test_experiment_sets import Mlflow, run_id
from tests.support.crawls import crawl_settings, recipe_file

RUNS = 60


def run_row(number: int) -> dict[str, Any]:
    """Every third run has failed, and the first one is the parent of all others."""
    info = {
        "run_id": run_id(number),
        "experiment_id": str(1 + number % 2),
        "start_time": 1_000 + number,
        "end_time": 5_000,
        "status": "FAILED" if number % 3 == 2 else "FINISHED",
        "lifecycle_stage": "active",
    }
    tags = [{"key": "mlflow.parentRunId", "value": run_id(0)}] if number else []
    return {"info": info, "data": {"tags": tags}}


async def test_a_filter_is_asked_once_for_the_runs_of_a_page(tmp_path: Path) -> None:
    mlflow = Mlflow(2, 0)
    mlflow.server.put_model({"name": "m", "tags": []})
    for number in range(RUNS):
        mlflow.server.put_run(run_row(number))
    options = {"run_filter": "attributes.status != 'FAILED'", "incremental": {"enabled": True}}
    async with mlflow.serve() as url, Gms() as gms:
        recipe = recipe_file(tmp_path, url, options, {"type": "datahub-rest", "config": {"server": gms.url}})
        settings = load(recipe, {}, Flags(state=tmp_path / "state"), home=tmp_path)
        assert (await crawl_settings(settings)).read["runs"] == RUNS * 2 // 3
        for number in range(RUNS):
            mlflow.server.put_version({"name": "m", "version": str(number), "run_id": run_id(number), "tags": []})
        already, searches = len(gms.history), len(mlflow.searches)
        report = await crawl_settings(settings)
    by_id = [query["filter"] for _, query in mlflow.searches[searches:] if "run_id IN" in query["filter"]]
    sent = {urn for urn, _, _ in gms.history[already:]}
    assert {urn for urn in sent if ":dataProcessInstance:" in urn} == {
        run_urn(run_id(number)) for number in range(RUNS) if number % 3 < 2
    }
    assert sum(":mlModel:" in urn for urn in sent) == RUNS
    assert [text.count("attributes.status") for text in by_id] == [0, 1], "the runs, and which of them pass"
    assert report.failures == []
