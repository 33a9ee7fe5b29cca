"""Signature, flavours and source code of models that MLflow's own client has logged, on real servers."""

import hashlib
import inspect
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from msgspec import structs

from crawler.mapping.model_versions import LOGGED_MODEL_ID
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent
from crawler.settings.selection import Include, Selection
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.environments import mlflow_environment
from tests.servers.kept import kept
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, settings_for_gms, values

pytestmark = pytest.mark.slow

LOG_MODELS = Path(__file__).parents[1] / "servers" / "log_models.py"
SIGNATURES = {"include": {"signatures": True}}
MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,churn_{},PROD)"
SIGNATURE = {"signature.inputs", "signature.outputs", "signature.parameters"}
OTHERS = {"mlmodel.flavors", "mlmodel.python_version"}
SOURCE = {f"mlflow.source.{each}" for each in ("name", "type", "git.commit", "git.branch", "git.repoURL")}


@pytest.fixture(scope="module", params=["3.17.2", "2.20.4"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(request.param, tmp_path_factory.mktemp("models"), database=logged(request.param)) as running:
        yield running


def logged(version: str) -> Path:
    """A database with the models that the script has logged; their files are beside it."""

    def make(folder: Path) -> None:
        with mlflow_server(version, folder) as server:
            command = [str(server.python), str(git_checkout(folder / "code")), server.url]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3_000:]

    digest = hashlib.sha256(LOG_MODELS.read_bytes() + inspect.getsource(git_checkout).encode()).hexdigest()[:8]
    return kept(f"{mlflow_environment(version).name}-models-{digest}", make) / "mlflow.db"


def git_checkout(folder: Path) -> Path:
    """The script in a checkout of its own, whose remote has a token."""
    folder.mkdir()
    script = Path(copyfile(LOG_MODELS, folder / "train.py"))
    identity = ("-c", "user.name=ann", "-c", "user.email=ann@example.com")
    for command in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("remote", "add", "origin", "https://ann:secret@github.com/acme/models.git"),
        ("add", "."),
        (*identity, "commit", "--quiet", "--message", "A model"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return script


async def crawled(server: MlflowServer, folder: Path, **options: Any) -> tuple[Report, Values]:
    report, proposals = await crawl_to_file(recipe_file(folder, server.url, options), folder)
    assert report.failures == []
    return report, values(proposals)


def source_of(server: MlflowServer) -> set[str]:
    """What says where the code is: MLflow 2 names a commit and no repository, which leads nowhere."""
    return SOURCE if server.version.startswith("3") else set()


def properties(found: Values, version: int) -> dict[str, str]:
    """Those of a version, but for the logged model that it has in MLflow 3."""
    of_version: dict[str, str] = found[MODEL.format(version), "mlModelProperties"]["customProperties"]
    return {name: value for name, value in of_version.items() if name != LOGGED_MODEL_ID}


async def test_without_the_option_there_is_what_the_run_has(server: MlflowServer, tmp_path: Path) -> None:
    report, found = await crawled(server, tmp_path)
    assert report.warnings == []
    of_run = OTHERS if server.version.startswith("2") else set()
    assert properties(found, 1).keys() == source_of(server) | of_run
    assert properties(found, 3).keys() == source_of(server)
    assert properties(found, 4) == {}


async def test_the_source_is_where_the_client_says(server: MlflowServer, tmp_path: Path) -> None:
    _, found = await crawled(server, tmp_path)
    if not source_of(server):
        assert not any(name == "sourceCode" for _, name in found)
        return
    commit = properties(found, 1)["mlflow.source.git.commit"]
    assert properties(found, 1)["mlflow.source.git.repoURL"] == "https://github.com/acme/models.git"
    page = f"https://github.com/acme/models/tree/{commit}"
    for version in (1, 2, 3):
        (source,) = found[MODEL.format(version), "sourceCode"]["sourceCode"]
        assert source == {"type": "TRAINING_PIPELINE_SOURCE_CODE", "sourceCodeUrl": page}
    assert (MODEL.format(4), "sourceCode") not in found


async def test_with_the_option_each_version_has_its_signature(server: MlflowServer, tmp_path: Path) -> None:
    _, without = await crawled(server, tmp_path)
    report, found = await crawled(server, tmp_path, **SIGNATURES)
    of_file = OTHERS | {"mlmodel.mlflow_version", "mlmodel.model_size_bytes"}
    assert properties(found, 1).keys() == source_of(server) | of_file | SIGNATURE
    shown = {name: json.loads(properties(found, 1)[name]) for name in SIGNATURE}
    assert shown["signature.inputs"] == [
        {"type": "long", "name": "age", "required": True},
        {"type": "string", "name": "naïve", "required": True},
    ]
    assert shown["signature.outputs"] == [{"type": "double", "required": True}]
    assert shown["signature.parameters"] == [{"name": "top", "default": 5, "shape": None, "type": "long"}]
    assert properties(found, 1)["mlmodel.mlflow_version"] == server.version
    assert properties(found, 2).keys() == source_of(server) | of_file
    (unread,) = (each for each in report.warnings if each.code == "model_files_unread")
    assert unread.count == 2
    assert {sample.partition(": ")[0] for sample in unread.samples} == {"churn 3", "churn 4"}
    for key in (MODEL.format(1), "mlModelProperties"), (MODEL.format(2), "mlModelProperties"):
        found.pop(key), without.pop(key)
    assert found == without


async def test_a_state_keeps_what_was_read(server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = settings_for_gms(server, tmp_path, gms)
        off = structs.replace(settings, state=tmp_path / "state", changed_only=KeepingCurrent())
        settings = structs.replace(off, selection=Selection(include=Include(signatures=True)))
        first = await crawl_settings(settings)
        arrived = dict(gms.aspects)
        again = await crawl_settings(settings)
        assert first.mlflow.requests - again.mlflow.requests == 2
        assert (again.proposals, again.failures, gms.aspects) == (0, [], arrived)
        incremental = KeepingCurrent(incremental=IncrementalSettings())
        part = await crawl_settings(structs.replace(settings, changed_only=incremental))
        assert (part.proposals, part.failures, gms.aspects) == (0, [], arrived)
        # Without the option it is another crawl: the signatures go.
        await crawl_settings(off)
        assert not SIGNATURE & gms.aspects[MODEL.format(1), "mlModelProperties"]["customProperties"].keys()


async def test_owners_links_and_tags_by_option(server: MlflowServer, tmp_path: Path) -> None:
    options = {"owner": {"tags": ["owner"], "user_domain": "x.com"}, "link_to_mlflow": True, "model_tags": ["alias"]}
    _, found = await crawled(server, tmp_path, **options)
    owned = {urn: value["owners"][0]["owner"] for (urn, name), value in found.items() if name == "ownership"}
    assert owned == {"urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,churn,PROD)": "urn:li:corpuser:ann@x.com"}
    assert len([name for _, name in found if name == "institutionalMemory"]) == 4 + 1 + 2
    assert found[MODEL.format(1), "mlModelProperties"]["tags"] == ["alias:champion"]
