"""Whole commands: a recipe with its own servers is followed whatever the environment says, and secrets stay there."""

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import CANARY, closed_port
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run
from tests.support.crawls import recipe_file

pytestmark = pytest.mark.slow


async def test_the_environment_does_not_beat_the_recipe(golden_server: MlflowServer, tmp_path: Path) -> None:
    """What DataHub's executor sets for all recipes, and what a shell has from other work."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    async with Gms(token="recipe") as gms, Gms() as other:
        recipe = recipe_file(
            tmp_path,
            golden_server.url,
            sink={"type": "datahub-rest", "config": {"server": gms.url, "token": "recipe", "max_pending_requests": 9}},
        )
        env = {
            "MLFLOW_TRACKING_URI": nowhere,
            "MLFLOW_TRACKING_USERNAME": "ann",
            "MLFLOW_TRACKING_PASSWORD": CANARY,
            "DATAHUB_GMS_URL": other.url,
            "DATAHUB_GMS_HOST": "127.0.0.1",
            "DATAHUB_GMS_PORT": other.url.rpartition(":")[2],
            "DATAHUB_GMS_TOKEN": CANARY,
        }
        code, _, errors = await run("crawl", "-c", recipe, "--no-default-report", folder=tmp_path, env=env)
    assert code == 0, errors
    assert (len(gms.aspects), other.requests) == (376, 0)
    assert CANARY not in json.dumps(gms.headers)
    assert errors.count("MLFLOW_TRACKING_PASSWORD is not sent to") == 1
    assert errors.count("sink.config.max_pending_requests has no effect") == 1


async def test_a_token_that_is_replaced_in_its_file_does_not_end_the_crawl(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    async with Gms(token="first") as gms:

        def rotate(_: object) -> None:
            if gms.batches and gms.behaviour.token == "first":
                gms.behaviour = dataclasses.replace(gms.behaviour, token="second")
                token.write_text("second\n")

        gms.rule = rotate
        sink = {
            "type": "datahub-rest",
            "config": {"server": gms.url, "token_file": str(token), "max_per_batch": 20, "max_threads": 2},
        }
        recipe = recipe_file(tmp_path, golden_server.url, sink=sink)
        code, _, errors = await run("crawl", "-c", recipe, "--no-default-report", folder=tmp_path)
    assert code == 0, errors
    assert len(gms.aspects) == 376
    assert errors.count("sink.config.token_file has others now") == 1


async def test_the_console_sink_prints_a_proposal_a_line(golden_server: MlflowServer, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, golden_server.url, sink={"type": "console"})
    code, output, errors = await run("crawl", "-c", recipe, folder=tmp_path)
    assert code == 0, errors
    proposals = [json.loads(line) for line in output.removesuffix("\n").split("\n")]
    assert len(proposals) == 376
    assert {"entityUrn", "aspectName", "aspect"} <= set(proposals[0])
    (tmp_path / "printed.jsonl").write_text(output)
    async with Gms() as gms:
        code, _, errors = await run("replay", "printed.jsonl", "--datahub-url", gms.url, folder=tmp_path)
    assert (code, len(gms.aspects)) == (0, 376), errors


async def test_a_type_that_is_misspelt_is_an_error_of_replay(golden_server: MlflowServer, tmp_path: Path) -> None:
    code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, "-o", "p.json", folder=tmp_path)
    assert code == 0, errors
    async with Gms() as gms:
        given = ("replay", "p.json", "--datahub-url", gms.url, "--report", "r.json")
        code, _, errors = await run(*given, "--type", "mlModl", folder=tmp_path)
        assert (code, len(gms.aspects)) == (2, 0)
        assert "no proposal of the file is of the type 'mlModl'" in errors
        assert "Did you mean 'mlModel'?" in errors
        assert json.loads((tmp_path / "r.json").read_text())["status"] == "failed"
        code, _, errors = await run(*given, "--type", "dataset", "--type", "dataPlatformInstance", folder=tmp_path)
        assert code == 0, errors


@pytest.mark.parametrize("flag", ["--report", "--profile"])
async def test_a_report_that_cannot_be_written_is_told_before_the_crawl(flag: str, tmp_path: Path) -> None:
    (tmp_path / "r.json.part").mkdir()
    nowhere = f"http://127.0.0.1:{closed_port()}"
    for path, why in (("r.json", "Is a directory"), ("x" * 252, "File name too long")):
        code, _, errors = await run("crawl", "--mlflow-uri", nowhere, flag, path, folder=tmp_path)
        assert code == 2, errors
        assert f"Cannot write the {flag[2:]} {path}: {why}" in errors
    assert not (tmp_path / "mlflow-datahub.json.part").exists()


async def test_a_user_without_a_home_can_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    """OpenShift gives each container a user id that /etc/passwd does not have, and no HOME."""
    script = (
        "import pwd, os, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "os.environ.pop('HOME', None)\n"
        "from crawler.cli.main import main\n"
        "sys.exit(main())\n"
    )
    (tmp_path / "as_nobody.py").write_text(script)

    async def run_as_nobody(*arguments: str) -> tuple[int | None, str]:
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATAHUB_", "HOME"))
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "as_nobody.py", *arguments),
            cwd=tmp_path,
            env=env | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=-1,
            stdout=-1,
        )
        _, errors = await process.communicate()
        return process.returncode, errors.decode()

    code, errors = await run_as_nobody("crawl", "--mlflow-uri", golden_server.url)
    assert code == 0, errors
    assert (tmp_path / "mlflow-datahub.json").exists()
    code, errors = await run_as_nobody("crawl", "--mlflow-uri", golden_server.url, "--sink", "lite")
    assert (code, "Traceback" in errors) == (2, False)
    assert "there is no home folder. Give it with -o." in errors


async def test_check_names_a_package_that_is_missing(golden_server: MlflowServer, tmp_path: Path) -> None:
    sink = {"type": "datahub-lite", "config": {"type": "duckdb", "config": {"file": "x.db"}}}
    recipe = recipe_file(tmp_path, golden_server.url, sink=sink)
    code, output, _ = await run("check", "-c", recipe, folder=tmp_path)
    assert code == 2
    assert "wrong: DataHub Lite with duckdb needs its package. pip install 'acryl-datahub[duckdb]'" in output
