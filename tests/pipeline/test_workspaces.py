"""Workspaces of a real MLflow 3.18.0: one of them is read, and others are not passed over in silence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import SettingsError
from crawler.pipeline.check import check
from tests.servers.dialect import Dialect
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow
TEAM = "team-a"


def post(server: MlflowServer, path: str, body: dict[str, Any], workspace: str | None = None) -> None:
    headers = {"Content-Type": "application/json"} | ({"X-MLFLOW-WORKSPACE": workspace} if workspace else {})
    urlopen(Request(f"{server.url}/api/{path}", json.dumps(body).encode(), headers), timeout=60).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("workspaces")
    with mlflow_server("3.18.0", folder, options=["--enable-workspaces"]) as running:
        post(running, "3.0/mlflow/workspaces", {"name": TEAM})
        for workspace in (None, TEAM):
            name = workspace or "default"
            post(running, "2.0/mlflow/experiments/create", {"name": f"experiment of {name}"}, workspace)
            post(running, "2.0/mlflow/registered-models/create", {"name": "fraud"}, workspace)
            source = {"name": "fraud", "source": f"s3://bucket/{name}"}
            post(running, "2.0/mlflow/model-versions/create", source, workspace)
        post(running, "2.0/mlflow/runs/create", {"experiment_id": "2", "start_time": 1_000}, TEAM)
        yield running


async def crawled(url: str, folder: Path, **options: Any) -> tuple[Any, set[str], set[str]]:
    report, proposals = await crawl_to_file(recipe_file(folder, url, options), folder)
    values = [each["aspect"]["json"] for each in proposals]
    names = {
        value["name"]
        for each, value in zip(proposals, values, strict=True)
        if each["entityType"] == "container" and "name" in value
    }
    return report, names, {value["externalUrl"] for value in values if value.get("externalUrl")}


async def test_without_a_choice_the_default_is_read_and_the_others_are_named(
    server: MlflowServer, tmp_path: Path
) -> None:
    report, names, links = await crawled(server.url, tmp_path)
    assert names == {"Default", "experiment of default"}
    (warning,) = report.warnings
    assert (warning.code, warning.samples, report.failures) == ("workspaces_unread", [TEAM], [])
    assert all(link.endswith("?workspace=default") for link in links)
    found = await check(load(recipe_file(tmp_path, server.url), {}, home=tmp_path))
    assert [each.code for each in found.warnings] == ["workspaces_unread"]


@pytest.mark.parametrize("where", ["recipe", "environment", "flag"])
async def test_one_is_chosen(server: MlflowServer, tmp_path: Path, where: str) -> None:
    recipe = recipe_file(tmp_path, server.url, {"workspace": TEAM} if where == "recipe" else {})
    environment = {"MLFLOW_WORKSPACE": TEAM} if where == "environment" else {}
    settings = load(recipe, environment, Flags(workspace=TEAM if where == "flag" else None), home=tmp_path)
    assert settings.mlflow.workspace == TEAM
    report, names, links = await crawled(server.url, tmp_path, workspace=settings.mlflow.workspace)
    assert names == {f"experiment of {TEAM}"}
    assert (report.warnings, report.failures, report.read["runs"]) == ([], [], 1)
    assert len(links) == 4
    assert all(link.endswith(f"?workspace={TEAM}") for link in links)


async def test_one_that_is_not_there(server: MlflowServer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no workspace 'team-b'.* It has: default, team-a\."):
        await crawled(server.url, tmp_path, workspace="team-b")


async def test_a_server_without_workspaces_is_sent_no_header(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.forbidden_headers = {"X-MLFLOW-WORKSPACE"}
    async with dialect.serve() as url:
        report, names, links = await crawled(url, tmp_path, workspace=TEAM)
    assert names == {"churn"}
    assert [(each.code, each.samples) for each in report.warnings] == [("workspace_ignored", [TEAM])]
    assert not any("workspace" in link for link in links)
