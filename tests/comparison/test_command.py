"""The command beside a real MLflow that is changed: exit codes, the page for people, JSON for programs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.mapping.runs import run_urn
from tests.cli.test_cli import closed_port
from tests.conftest import GOLDEN
from tests.gms.faults import refusing
from tests.gms.other_writers import erase
from tests.gms.server import Gms
from tests.servers.dialect import Dialect
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.commands import run
from tests.support.crawls import recipe_file

FRAUD = "urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,fraud,PROD)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    with mlflow_server("2.20.4", tmp_path / "mlflow", database=GOLDEN / "mlflow-2.20.4.db") as server:
        yield server


def recipe_for(url: str, gms_url: str, folder: Path, retries: int = 1) -> Path:
    sink = {"type": "datahub-rest", "config": {"server": gms_url, "retry_max_times": retries}}
    return recipe_file(folder, url, {"retry_max_times": retries}, sink)


async def as_json(recipe: Path, *flags: str, folder: Path) -> tuple[int, dict[str, Any]]:
    code, output, errors = await run("diff", "-c", recipe, "--json", *flags, folder=folder)
    assert output.count("\n") == 1, errors
    return code, json.loads(output)


@pytest.mark.slow
async def test_changes_in_mlflow_and_in_datahub(server: MlflowServer, tmp_path: Path) -> None:
    runs = Editor(server.url)("runs/search", experiment_ids=["1"], max_results=3)["runs"]
    changed, deleted, lost = (each["info"]["run_id"] for each in runs)
    async with Gms(reads_timeseries=True) as gms:
        recipe = recipe_for(server.url, gms.url, tmp_path)
        assert (await run("crawl", "-c", recipe, folder=tmp_path))[0] == 0
        assert (await as_json(recipe, folder=tmp_path))[1]["status"] == "equal"
        Editor(server.url)("runs/set-tag", run_id=changed, key="team", value="a")
        Editor(server.url)("runs/delete", run_id=deleted)
        Editor(server.url)("registered-models/update", "PATCH", name="fraud", description="new")
        Editor(server.url)("registered-models/create", name="brand-new")
        erase(gms, run_urn(lost))

        code, found = await as_json(recipe, folder=tmp_path)
        assert (code, found["status"], found["sent"]) == (1, "different", None)
        kinds = found["kinds"]
        differing = {
            kind: (each["missing"], each["different"], each["orphaned"])
            for kind, each in kinds.items()
            if each["missing"] or each["different"] or each["orphaned"]
        }
        assert differing == {"mlModelGroup": (1, 1, 0), "dataProcessInstance": (1, 1, 1)}
        assert kinds["mlModelGroup"]["first_missing"] == [FRAUD.replace("fraud", "brand-new")]
        (group,) = kinds["mlModelGroup"]["first_different"]
        assert (group["urn"], group["aspects"][0]["aspect"]) == (FRAUD, "mlModelGroupProperties")
        assert "description" in group["aspects"][0]["fields"]
        of_runs = kinds["dataProcessInstance"]
        assert of_runs["first_missing"] == [run_urn(lost)]
        assert of_runs["first_orphaned"] == [run_urn(deleted)]
        aspect = {"aspect": "dataProcessInstanceProperties", "fields": ["customProperties.team"]}
        assert of_runs["first_different"] == [{"urn": run_urn(changed), "aspects": [aspect]}]

        code, output, _ = await run("diff", "-c", recipe, "--fix", folder=tmp_path)
        assert code == 0
        assert "Sent: 4 entities in " in output
        code, found = await as_json(recipe, folder=tmp_path)
        assert (code, found["kinds"]["dataProcessInstance"]["first_orphaned"]) == (1, [run_urn(deleted)])
        Editor(server.url)("runs/restore", run_id=deleted)
        code, output, errors = await run("diff", "-c", recipe, folder=tmp_path)
        assert (code, gms.violations) == (0, []), errors
        assert output.splitlines()[-1].startswith("Equal: 0 missing, 0 different, 0 in DataHub only; ")


async def test_what_cannot_be_sent_is_a_failure_and_kept(tmp_path: Path) -> None:
    async with Dialect().serve() as url, Gms(reads_timeseries=True) as gms:
        recipe = recipe_for(url, gms.url, tmp_path)
        gms.rule = refusing(lambda key: key[1] == "containerProperties")
        code, found = await as_json(recipe, "--fix", "--dead-letters", "dead.jsonl", folder=tmp_path)
        assert (code, found["status"]) == (1, "different")
        assert [each["code"] for each in found["failures"]] == ["refused_422"]
        assert found["sent"]["rejected"] == found["sent"]["dead_letters"]["count"] == 1
        assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 1
        gms.rule = None
        code, found = await as_json(recipe, folder=tmp_path)
        assert (code, found["kinds"]["container"]["aspects"]) == (1, {"containerProperties": 1})


async def test_a_listing_that_fails_hides_no_orphans_of_other_kinds(tmp_path: Path) -> None:
    dialect = Dialect()
    async with dialect.serve() as url, Gms(reads_timeseries=True) as gms:
        recipe = recipe_for(url, gms.url, tmp_path)
        assert (await run("crawl", "-c", recipe, folder=tmp_path))[0] == 0
        dialect.refusals["model-versions"] = (403, {"error_code": "PERMISSION_DENIED", "message": "no"})
        dialect.models.pop()
        code, found = await as_json(recipe, folder=tmp_path)
    assert code == 1
    assert [each["code"] for each in found["warnings"]] == ["orphans_unknown"]
    assert found["warnings"][0]["samples"] == ["mlModel"]
    assert {kind: each["orphaned"] for kind, each in found["kinds"].items() if each["orphaned"]} == {"mlModelGroup": 1}


async def test_wrong_usage_and_servers_that_are_down(tmp_path: Path) -> None:
    async with Dialect().serve() as url, Gms() as gms:
        code, output, errors = await run("diff", "--mlflow-uri", url, folder=tmp_path)
        assert (code, output) == (2, "")
        assert "There is no DataHub to compare with." in errors
        down = f"http://127.0.0.1:{closed_port()}"
        flags = ("-c", recipe_for(url, down, tmp_path, retries=0), "--patience", "0s")
        code, output, _ = await run("diff", *flags, folder=tmp_path)
        assert (code, output.splitlines()[-1].partition(":")[0]) == (3, "Failed, see above")
        flags = ("-c", recipe_for(down, gms.url, tmp_path, retries=0), "--patience", "0s")
        code, output, _ = await run("diff", *flags, "--json", folder=tmp_path)
        assert (code, json.loads(output)["status"]) == (3, "failed")
