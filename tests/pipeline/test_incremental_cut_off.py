"""Incremental crawls that are cut off: the next one sends what is left, and counts each run once."""

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec import structs

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused
from crawler.mapping.runs import run_urn
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.telemetry.events import Event, Outcomes
from tests.gms.faults import refusing
from tests.gms.server import Gms
from tests.pipeline.test_experiment_sets import Mlflow, run_id
from tests.support.crawls import crawl_settings, recipe_file

RUN = "dataProcessInstance"
HOUR = 3_600_000


def incremental(url: str, gms: Gms, folder: Path, batch_size: int) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": gms.url}}
    recipe = recipe_file(folder, url, {"incremental": {"enabled": True}}, sink)
    flags = Flags(state=folder / "state.db", dead_letters=folder / "dead.jsonl", batch_size=batch_size, page_size=9)
    return load(recipe, {}, flags, home=folder)


def put_run(mlflow: Mlflow, number: int, start: int, *, has_ended: bool = True) -> None:
    info = {
        "run_id": run_id(number),
        "experiment_id": "1",
        "start_time": start,
        "end_time": start + 1 if has_ended else None,
        "status": "FINISHED" if has_ended else "RUNNING",
        "lifecycle_stage": "active",
    }
    mlflow.server.put_run({"info": info, "data": {}})


async def test_a_run_is_sent_whose_version_was_delivered_before(tmp_path: Path) -> None:
    mlflow = Mlflow(1, 0)
    for number in range(5):
        put_run(mlflow, number, 1_000 + number)
    mlflow.server.put_model({"name": "m", "tags": []})
    output = (run_urn(run_id(2)), "dataProcessInstanceOutput")
    async with mlflow.serve() as url, Gms() as gms:
        settings = incremental(url, gms, tmp_path, batch_size=1)
        await crawl_settings(settings)
        mlflow.server.put_version({"name": "m", "version": "1", "run_id": run_id(2), "tags": []})
        gms.rule = refusing(lambda key: key[0] == output[0], status=503)

        def cut_off(event: Event) -> None:
            if isinstance(event, Outcomes) and any(each.entity_type == "mlModel" for each in event.entities):
                task.cancel()

        task = asyncio.ensure_future(crawl(settings, listeners=[cut_off]))
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert output not in gms.aspects
        gms.rule = None
        report = await crawl_settings(settings)
        (edge,) = gms.aspects[output]["outputEdges"]
    assert edge["destinationUrn"] == "urn:li:mlModel:(urn:li:dataPlatform:mlflow,m_1,PROD)"
    assert (report.read["runs"], report.delivered[RUN], report.failures) == (1, 1, [])


async def test_a_run_counts_once_that_a_condition_and_a_window_bring(tmp_path: Path) -> None:
    """One that has not ended lies in a window of which another run was refused, so that all of it is read again."""
    now = time.time_ns() // 1_000_000
    mlflow = Mlflow(1, 0)
    for number in range(27):
        put_run(mlflow, number, now - (100 - number) * HOUR, has_ended=number != 24)
    async with mlflow.serve() as url, Gms() as gms:
        settings = incremental(url, gms, tmp_path, batch_size=200)
        refused = {run_urn(run_id(number)) for number in (3, 13, 22)}
        gms.rule = refusing(lambda key: key[0] in refused)
        assert (await crawl_settings(settings)).delivered[RUN] == 24
        gms.rule = None
        for number in range(30, 50):
            put_run(mlflow, number, now + number * 1_000)

        def following(name: str) -> Settings:
            return structs.replace(settings, state=Path(shutil.copy(tmp_path / "state.db", tmp_path / name)))

        before = len(mlflow.searches)
        whole = await crawl_settings(following("whole.db"))
        searches = len(mlflow.searches) - before
        for cut in range(searches - 3, searches):
            interrupted = following(f"{cut}.db")
            mlflow.fails_after = len(mlflow.searches) + cut
            with pytest.raises(CredentialsRefused):
                await crawl(interrupted)
            mlflow.fails_after = None
            report = await crawl_settings(interrupted)
            assert report.read["runs"] == whole.read["runs"], cut
            assert report.delivered[RUN] + report.unchanged[RUN] == whole.delivered[RUN] + whole.unchanged[RUN], cut
