"""From the official connector to ours and back, by its own code: no entity is removed or doubled wrongly."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crawler.config.load import load
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.removal import official_ingest
from tests.removal.crawls import OWN, dataset, experiment, group, kept_checkpoint, model, put_checkpoint, removed
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_settings, plain_environment, recipe_file

pytestmark = pytest.mark.slow
VERSION = "2.20.4"  # of the client that the official connector pins
START = 1_700_000_000_000
STATEFUL = {"stateful_ingestion": {"enabled": True}}


class Official:
    """A process that runs the official connector, recipe by recipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ingest(self, server: MlflowServer, gms: Gms, **options: Any) -> set[str]:
        """One whole ingestion without failures; what it removed."""
        recipe = {
            "source": {"type": "mlflow", "config": {"tracking_uri": server.url, **STATEFUL, **options}},
            "sink": {"type": "datahub-rest", "config": {"server": gms.url}},
            "pipeline_name": "tests",
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(recipe).encode() + b"\n")
        said = []
        while line := (await self._process.stdout.readline()).decode():
            said.append(line)
            if line.startswith("result "):
                result = json.loads(line.removeprefix("result "))
                assert result["failures"] == []
                return set(result["removed"])
        raise AssertionError("".join(said))


@pytest.fixture
async def official(tmp_path: Path, server: MlflowServer) -> AsyncIterator[Official]:
    (packages,) = (server.python.parents[1] / "lib").glob("python*/site-packages")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, official_ingest.__file__, str(packages)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=10_000_000,
        env=plain_environment(tmp_path, {"DATAHUB_TELEMETRY_ENABLED": "false"}),
    )
    try:
        yield Official(process)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(VERSION, tmp_path_factory.mktemp("official")) as running:
        edit = Editor(running.url)
        for number, name in enumerate(["first", "second", "third"]):
            run = edit.run(edit.experiment(name), START + number, f"user{number}", {name: "local", "hosted": "s3"})
            edit.model(name, 3, run)
        yield running


@asynccontextmanager
async def ours(server: MlflowServer, gms: Gms, folder: Path, **options: Any) -> AsyncIterator[Report]:
    """One crawl of ours, without failures."""
    sink = {"type": "datahub-rest", "config": {"server": gms.url}}
    path = recipe_file(folder, server.url, STATEFUL | options, sink, "tests")
    report = await crawl_settings(load(path, {}, home=folder))
    assert report.failures == []
    yield report


def written(gms: Gms) -> set[str]:
    """The entities in DataHub, but for what the ingestion writes of itself."""
    return {urn for urn, _ in gms.aspects if not urn.startswith(("urn:li:dataJob:", "urn:li:dataHub"))}


async def test_there_and_back(server: MlflowServer, official: Official, tmp_path: Path) -> None:
    edit = Editor(server.url)
    async with Gms() as gms:
        assert await official.ingest(server, gms) == set()
        of_official, entities = kept_checkpoint(gms), written(gms)

        async with ours(server, gms, tmp_path) as report:
            assert (sum(report.removed.values()), removed(gms)) == (0, set())
        assert set(kept_checkpoint(gms)) == set(of_official), "the same entities of the same kinds"
        assert written(gms) == entities, "no entity is doubled"

        edit("model-versions/delete", "DELETE", name="first", version="3")
        edit("registered-models/delete", "DELETE", name="second")
        gone = {model("first", 3), group("second"), *(model("second", number) for number in (1, 2, 3))}
        async with ours(server, gms, tmp_path) as report:
            assert removed(gms) == gone, "of what the official connector had listed"
        assert set(kept_checkpoint(gms)) == set(of_official) - gone

        assert await official.ingest(server, gms) == set(), "what ours removed is not removed again"
        assert (removed(gms), written(gms)) == (gone, entities)
        assert set(kept_checkpoint(gms)) == set(of_official) - gone

        async with ours(server, gms, tmp_path):
            pass
        edit("model-versions/delete", "DELETE", name="third", version="1")
        assert await official.ingest(server, gms) == {model("third", 1)}, "it obeys the checkpoint of ours"
        assert removed(gms) == gone | {model("third", 1)}
        assert (gms.dropped, gms.violations) == ([], [])


async def test_kinds_that_the_official_connector_does_not_know_are_removed_by_nobody(
    server: MlflowServer, official: Official, tmp_path: Path
) -> None:
    """As a crawl of MLflow 3 leaves them: this one has none, so the listing came back empty for ours."""
    own = [f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,m-{number:032x},PROD)" for number in range(3)]
    async with Gms() as gms:
        async with ours(server, gms, tmp_path):
            pass
        put_checkpoint(gms, own, OWN)
        assert await official.ingest(server, gms) == set()
        assert kept_checkpoint(gms, OWN) == own, "the official connector looks for its own job only"
        async with ours(server, gms, tmp_path, include={"logged_models": False}):
            pass
        assert removed(gms) == set()
        assert (kept_checkpoint(gms, OWN), set(own) & set(kept_checkpoint(gms))) == (own, set())


async def test_hosted_datasets_of_the_official_checkpoint_are_removed_by_nobody(
    server: MlflowServer, official: Official, tmp_path: Path
) -> None:
    async with Gms() as gms:
        await official.ingest(server, gms, materialize_dataset_inputs=True)
        assert dataset("hosted", "s3") in kept_checkpoint(gms)
        async with ours(server, gms, tmp_path, materialize_dataset_inputs=True):
            pass
        async with ours(server, gms, tmp_path):
            pass
        assert await official.ingest(server, gms) == set()
        assert removed(gms) == set()
        assert {experiment("first"), dataset("first")} <= set(kept_checkpoint(gms))
