"""Stale removal from a real MLflow into the double of GMS: what vanished is removed, what is back comes back."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import Experiment
from crawler.removal.checkpoint_state import OFFICIAL_JOB, decode_checkpoint, job_urn
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_settings, recipe_file

pytestmark = pytest.mark.slow
START = 1_700_000_000_000
MAPPING = MappingSettings(ui_url="http://mlflow")
JOB = job_urn("datahub", "tests", OFFICIAL_JOB)


def experiment_urn(name: str) -> str:
    return container_urn(Experiment("0", name), MAPPING)


def group(name: str) -> str:
    return model_group_urn(name, MAPPING)


def version(name: str, number: int) -> str:
    return model_urn(name, str(number), MAPPING)


def dataset(name: str, platform: str = "mlflow") -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},PROD)"


@pytest.fixture(scope="module", params=["2.20.4", "3.18.0"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(request.param, tmp_path_factory.mktemp("removal")) as running:
        yield running


@pytest.fixture
async def gms() -> AsyncIterator[Gms]:
    async with Gms() as running:
        yield running


async def crawl(
    server: MlflowServer, gms: Gms, folder: Path, *, flags: dict[str, Any] | None = None, **stateful: Any
) -> Report:
    options: dict[str, Any] = {"stateful_ingestion": {"enabled": True, "fail_safe_threshold": 100, **stateful}}
    options |= {"materialize_dataset_inputs": True}
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1}}
    path = recipe_file(folder, server.url, options, sink, "tests")
    return await crawl_settings(load(path, {}, Flags(**(flags or {})), home=folder))


def removed(gms: Gms) -> set[str]:
    """The entities that are marked as removed, but for the checkpoint's own."""
    return {urn for (urn, name), value in gms.aspects.items() if name == "status" and value["removed"]} - {JOB}


def checkpoint(gms: Gms) -> list[str]:
    return decode_checkpoint(json.dumps(gms.aspects[JOB, "datahubIngestionCheckpoint"]))


async def test_what_vanishes_is_removed_and_what_is_back_comes_back(
    server: MlflowServer, gms: Gms, tmp_path: Path
) -> None:
    edit = Editor(server.url)
    kept, lost = edit.experiment("kept"), edit.experiment("lost")
    run = edit.run(kept, START, "ann", {"mine": "local", "hosted": "s3"})
    single = edit.run(kept, START + 1, "ben")
    of_lost = [edit.run(lost, START + each, "cleo", {"only there": "local"}) for each in (2, 3)]
    edit.model("stays", 2, run)
    edit.model("goes", 1)

    first = await crawl(server, gms, tmp_path)
    assert (first.failures, removed(gms)) == ([], set())
    before = checkpoint(gms)
    assert {group("goes"), version("stays", 2), experiment_urn("lost"), dataset("only there")} <= set(before)
    assert dataset("hosted", "s3") not in before
    assert not any("dataProcessInstance" in urn for urn in before)

    edit("model-versions/delete", "DELETE", name="stays", version="2")
    edit("registered-models/delete", "DELETE", name="goes")
    edit("experiments/delete", experiment_id=lost)
    edit("runs/delete", run_id=single)
    second = await crawl(server, gms, tmp_path)
    assert second.failures == []
    gone = {version("stays", 2), group("goes"), version("goes", 1), experiment_urn("lost"), dataset("only there")}
    runs = {run_urn(each) for each in (single, *of_lost)}
    assert removed(gms) == gone | runs
    assert second.removed == {"mlModel": 2, "mlModelGroup": 1, "container": 1, "dataset": 1, "dataProcessInstance": 3}
    assert set(checkpoint(gms)) == set(before) - gone - {user_urn("ben"), user_urn("cleo")}

    third = await crawl(server, gms, tmp_path)
    assert (third.failures, sum(third.removed.values())) == ([], 0)
    assert removed(gms) == gone | runs

    edit("experiments/restore", experiment_id=lost)
    edit("runs/restore", run_id=single)
    edit.model("goes", 1)
    last = await crawl(server, gms, tmp_path)
    assert (last.failures, sum(last.removed.values())) == ([], 0)
    assert removed(gms) == {version("stays", 2)}
    assert set(checkpoint(gms)) == set(before) - {version("stays", 2)}
    assert gms.dropped == gms.violations == []
