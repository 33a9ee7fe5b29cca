"""Workspaces of a real MLflow: all of them in one crawl, some by pattern, one by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from crawler.comparison.run import diff
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import SettingsError
from crawler.mapping.runs import run_urn
from crawler.pipeline.check import check
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.dialect import Dialect
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, values

pytestmark = pytest.mark.slow
TEAMS = ("team-a", "team-b")
NAMES = ("default", *TEAMS)


class InWorkspace(Editor):
    """Edits what is in one workspace; `run_id` is that of its run, `old_run_id` one of a deleted experiment."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url)
        self._headers |= {"X-MLFLOW-WORKSPACE": name}
        churn, old = self.experiment("churn"), self.experiment(f"old {name}")
        self.run_id = self.run(churn, 1_700_000_000_000, datasets={"sales": "local"})
        self("runs/log-metric", run_id=self.run_id, key="auc", value=len(name), timestamp=1)
        self.old_run_id = self.run(old, 1_700_000_000_000)
        self.model("fraud", 1, self.run_id)
        self.old = old


class Served:
    """A server with workspaces, each with an editor."""

    def __init__(self, server: MlflowServer) -> None:
        self.url = server.url
        for name in TEAMS:
            self._api("POST", "", {"name": name})
        self.editors = {name: InWorkspace(server.url, name) for name in NAMES}

    def delete(self, name: str) -> None:
        """With all that it has."""
        self._api("DELETE", f"/{name}?mode=CASCADE")

    def _api(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/api/3.0/mlflow/workspaces{path}", data, headers, method=method)
        urlopen(request, timeout=60).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("workspaces")
    with mlflow_server("3.17.2", folder, options=["--enable-workspaces"]) as running:
        yield Served(running)


async def crawled(url: str, folder: Path, **options: Any) -> tuple[Report, Values]:
    report, proposals = await crawl_to_file(recipe_file(folder, url, options), folder)
    return report, values(proposals)


def urns(found: Values, entity_type: str) -> set[str]:
    return {urn for urn, _ in found if urn.startswith(f"urn:li:{entity_type}:")}


def links(found: Values) -> set[str]:
    """The workspaces that links name."""
    return {value["externalUrl"].partition("?workspace=")[2] for value in found.values() if value.get("externalUrl")}


def model(name: str) -> str:
    return f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name}_1,PROD)"


async def test_all_of_them_are_read_and_told_apart(server: Served, tmp_path: Path) -> None:
    report, found = await crawled(server.url, tmp_path)
    assert (report.warnings, report.failures) == ([], [])
    assert report.to_dict()["workspaces"] == {"read": [*NAMES], "left_out": []}
    assert urns(found, "mlModel") == {model("fraud"), model("team-a/fraud"), model("team-b/fraud")}
    assert links(found) == {*NAMES}
    for name, editor in server.editors.items():
        version = found[model("fraud" if name == "default" else f"{name}/fraud"), "mlModelProperties"]
        assert version["trainingJobs"] == [run_urn(editor.run_id)]
        assert [metric["value"] for metric in version["trainingMetrics"]] == [f"{len(name)}.0"]
    containers = [found[urn, "containerProperties"]["name"] for urn in urns(found, "container")]
    assert sorted(containers) == ["Default", *["churn"] * 3, *(f"old {name}" for name in NAMES)]
    assert len(urns(found, "dataset")) == 1


@pytest.mark.parametrize("where", ["recipe", "environment", "flag"])
async def test_one_by_name_is_read_as_if_there_were_no_other(server: Served, tmp_path: Path, where: str) -> None:
    recipe = recipe_file(tmp_path, server.url, {"workspace": "team-a"} if where == "recipe" else {})
    environment = {"MLFLOW_WORKSPACE": "team-a"} if where == "environment" else {}
    settings = load(recipe, environment, Flags(workspace="team-a" if where == "flag" else None), home=tmp_path)
    assert settings.mlflow.workspace == "team-a"
    report, found = await crawled(server.url, tmp_path, workspace=settings.mlflow.workspace)
    assert (report.warnings, report.failures, report.read["runs"]) == ([], [], 2)
    assert urns(found, "mlModel") == {model("fraud")}
    assert found[model("fraud"), "mlModelProperties"]["trainingJobs"] == [run_urn(server.editors["team-a"].run_id)]
    assert links(found) == {"team-a"}


async def test_some_are_chosen_by_pattern(server: Served, tmp_path: Path) -> None:
    options = {"workspace_pattern": {"allow": ["TEAM-"], "deny": [".*-b$"]}}
    report, found = await crawled(server.url, tmp_path, **options)
    assert urns(found, "mlModel") == {model("team-a/fraud")}
    assert report.to_dict()["workspaces"] == {"read": ["team-a"], "left_out": ["default", "team-b"]}
    checked = await check(load(recipe_file(tmp_path, server.url, options), {}, home=tmp_path))
    assert (checked.warnings, checked.failures, checked.mlflow.error) == ([], [], None)
    assert (checked.mlflow.registered_models, checked.mlflow.model_versions, checked.mlflow.experiments) == (1, 1, 2)


async def test_one_that_is_not_there(server: Served, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no workspace 'team-c'.* It has: default, team-a, team-b\."):
        await crawled(server.url, tmp_path, workspace="team-c")


async def test_a_server_without_workspaces_is_sent_no_header(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.forbidden_headers = {"X-MLFLOW-WORKSPACE"}
    async with dialect.serve() as url:
        for options in ({"workspace": "team-a"}, {"workspace_pattern": {"allow": ["team-a"]}}):
            report, found = await crawled(url, tmp_path, **options)
            assert len(urns(found, "container")) == 1
            assert [(each.code, each.samples) for each in report.warnings] == [
                ("workspace_ignored", ["team-a" if "workspace" in options else "workspace_pattern"])
            ]
            assert links(found) == {""}


async def test_diff_and_removal_know_the_workspaces(server: Served, tmp_path: Path) -> None:
    """What is deleted is removed where it was; what a diff finds in DataHub only is that, too. It edits the server."""
    async with Gms() as gms:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
        options = {"stateful_ingestion": {"enabled": True, "fail_safe_threshold": 100}}
        settings = load(recipe_file(tmp_path, server.url, options, sink, "tests"), {}, home=tmp_path)
        first = await crawl_settings(settings)
        assert (first.warnings, first.failures) == ([], [])
        differences = await diff(settings)
        assert (differences.missing, differences.different, differences.orphaned) == (0, 0, 0)

        editor = server.editors["team-a"]
        editor("experiments/delete", experiment_id=editor.old)
        editor("registered-models/delete", "DELETE", name="fraud")
        differences = await diff(settings)
        # The model and its version, the experiment and its run; the other run has one output less in MLflow only.
        assert (differences.missing, differences.different, differences.orphaned) == (0, 0, 4)
        second = await crawl_settings(settings)
        assert (second.warnings, second.failures) == ([], [])
        assert second.removed == {"mlModelGroup": 1, "mlModel": 1, "container": 1, "dataProcessInstance": 1}
        assert gms.aspects[run_urn(editor.old_run_id), "status"]["removed"]
        assert not gms.aspects[model("fraud"), "status"]["removed"]

        server.delete("team-b")
        third = await crawl_settings(settings)
        assert third.removed == {"mlModelGroup": 1, "mlModel": 1, "container": 2}
        assert gms.aspects[model("team-b/fraud"), "status"]["removed"]
