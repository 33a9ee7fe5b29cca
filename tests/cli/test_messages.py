"""What a command says, how much of it, and how often."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.test_cli import answering
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) ")


async def test_an_error_stands_once_and_around_no_table_of_zeros(tmp_path: Path) -> None:
    async with answering(200, "<html>not MLflow</html>") as url:
        code, _, errors = await run("crawl", "--mlflow-uri", url, "-o", "out.json", folder=tmp_path)
    assert code != 0
    said = [line for line in errors.splitlines() if url in line]
    assert len(said) == 1, errors
    assert "registered models" not in errors


async def test_an_error_is_a_line_of_level_error_for_programs(tmp_path: Path) -> None:
    async with answering(200, "<html>not MLflow</html>") as url:
        arguments = ("crawl", "--mlflow-uri", url, "-o", "out.json", "--log-format", "json")
        _, _, errors = await run(*arguments, folder=tmp_path)
    (line,) = [line for line in map(json.loads, errors.splitlines()) if line["level"] == "ERROR"]
    assert line["report"]["failures"][-1]["message"] in line["message"]


async def test_quiet_says_nothing_but_what_failed(golden_server: MlflowServer, tmp_path: Path) -> None:
    for flag in ("-q", "--quiet", "--log-level=error"):
        source = ("crawl", "--mlflow-uri", golden_server.url, "-o", "out.json", flag)
        assert await run(*source, folder=tmp_path) == (0, "", "")
    async with answering(200, "<html>not MLflow</html>") as url:
        code, _, errors = await run("crawl", "--mlflow-uri", url, "-o", "x.json", "-q", folder=tmp_path)
    assert code != 0
    assert "Failed: see above." in errors


@pytest.mark.parametrize(("flags", "lines"), [((), True), (("--log-level", "warning"), False)])
async def test_log_lines_have_a_date_and_a_level(
    golden_server: MlflowServer, tmp_path: Path, flags: tuple[str, ...], *, lines: bool
) -> None:
    _, _, errors = await run("crawl", *flags, folder=tmp_path, env={"MLFLOW_TRACKING_URI": golden_server.url})
    (said,) = [line for line in errors.splitlines() if "No DataHub is configured" in line] or [""]
    assert bool(LINE.match(said)) == lines
    assert "Done: " in errors


async def test_levels_exclude_each_other(tmp_path: Path) -> None:
    code, _, errors = await run("crawl", "-q", "-v", folder=tmp_path)
    assert code == 2
    assert "not allowed with" in errors


async def test_check_prints_json(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        servers = ("--mlflow-uri", golden_server.url, "--datahub-url", gms.url)
        code, output, _ = await run("check", *servers, "--json", folder=tmp_path)
    assert code == 0
    found = json.loads(output)
    assert found["mlflow"] == {
        "url": golden_server.url,
        "version": "2.20.4",
        "registered_models": 5,
        "model_versions": 18,
        "experiments": 7,
        **dict.fromkeys(("prompts", "prompt_versions", "evaluation_datasets", "logged_models", "traces")),
        "workspaces": None,
        "left_out": {},
        "more": [],
        "error": None,
    }
    assert found["output"]["version"] == "v1.7.0"


async def test_check_prints_json_of_what_is_wrong(tmp_path: Path) -> None:
    async with answering(200, "<html>not MLflow</html>") as url:
        code, output, _ = await run("check", "--json", "--mlflow-uri", url, folder=tmp_path)
    assert code != 0
    assert url in json.loads(output)["mlflow"]["error"]
