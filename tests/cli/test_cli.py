"""The command as a user types it: exit codes, messages, reports; each error one sentence with what to do next."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.filled import FilledServer
from tests.servers.guarded import ADMIN, PASSWORD, guarded_server
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.commands import run, start
from tests.support.crawls import plain_environment, recipe_file

ALL = 376
CANARY = "c4n4ry-s3cr3t"


@asynccontextmanager
async def answering(status: int, body: str, content_type: str = "text/html", **headers: str) -> AsyncIterator[str]:
    """A server that says the same to everything."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_crawl_from_flags_to_gms(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        code, _, errors = await run(
            *("crawl", "--mlflow-uri", golden_server.url, "--datahub-url", gms.url, "--report", "report.json"),
            folder=tmp_path,
        )
    assert code == 0, errors
    assert "Done: 69 entities in 376 proposals" in errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "success"
    assert report["read"] == {"experiments": 6, "runs": 24, "registered_models": 5, "model_versions": 18}
    assert report["written"]["entities"]["dataProcessInstance"] == 24
    assert report["mlflow"]["version"] == "2.20.4"
    assert report["datahub"] == {
        "version": "v1.7.0",
        "requests": report["datahub"]["requests"],
        "retries": 0,
        "bytes": report["datahub"]["bytes"],
        "concurrency": report["datahub"]["concurrency"],
        "batches": len(gms.batches),
    }
    for server in ("mlflow", "datahub"):
        concurrency = report[server]["concurrency"]
        assert 1 <= concurrency["min"] <= concurrency["last"] <= concurrency["max"] <= 16
    assert set(report) >= {"run_id", "started_at", "duration_s", "rejected", "peak_rss_bytes", "warnings", "failures"}
    assert len(gms.aspects) == 376


async def test_with_no_datahub_a_file_is_written_and_said_so(golden_server: MlflowServer, tmp_path: Path) -> None:
    code, _, errors = await run("crawl", folder=tmp_path, env={"MLFLOW_TRACKING_URI": golden_server.url})
    assert code == 0
    assert "No DataHub is configured" in errors
    assert len(json.loads((tmp_path / "mlflow-datahub.json").read_text())) == 376


async def test_standard_output_holds_nothing_but_proposals(golden_server: MlflowServer, tmp_path: Path) -> None:
    code, output, _ = await run("crawl", "--mlflow-uri", golden_server.url, "-o", "-", folder=tmp_path)
    assert code == 0
    assert len(json.loads(output)) == 376


async def test_json_logs_are_json(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, _, errors = await run(
        "crawl", "--mlflow-uri", golden_server.url, "--log-format", "json", "--verbose", folder=tmp_path
    )
    first = json.loads(errors.splitlines()[0])
    assert set(first) == {"time", "level", "logger", "message"}


async def test_a_refused_proposal_gives_exit_code_1(golden_server: MlflowServer, tmp_path: Path) -> None:
    def refuse(proposals: list[dict[str, Any]]) -> Fault | None:
        held = {proposal["entityUrn"] for proposal in proposals}
        return (
            Fault(status=400, body=b'{"message":"\x1b[31mbad\x1b[0m"}') if "urn:li:tag:mlflow_staging" in held else None
        )

    async with Gms() as gms:
        gms.rule = refuse
        code, _, errors = await run(
            "crawl", "--mlflow-uri", golden_server.url, "--datahub-url", gms.url, folder=tmp_path
        )
    assert code == 1
    assert "refused_400" in errors
    assert "Dead letters: " in errors
    assert "\x1b" not in errors


WRONG_SETTINGS: list[tuple[str, list[str], str]] = [
    ("no server", ["crawl"], "No MLflow server is given. Use --mlflow-uri, MLFLOW_TRACKING_URI"),
    ("path", ["crawl", "--mlflow-uri", "./mlruns"], "is no http(s) address"),
    ("missing recipe", ["crawl", "-c", "none.yml"], "Cannot read the recipe none.yml: No such file"),
    ("no YAML", ["crawl", "-c", "broken.yml"], "is not YAML"),
    ("list", ["crawl", "-c", "list.yml"], "is no mapping"),
    ("wrong type", ["crawl", "-c", "type.yml"], "source.config.page_size: expected int, got str"),
    ("unknown key", ["crawl", "-c", "key.yml"], "Did you mean 'tracking_uri'?"),
    ("page size", ["crawl", "--mlflow-uri", "http://x", "--page-size", "0"], ">= 1"),
    ("report", ["crawl", "--mlflow-uri", "http://x", "--report", "no/such/r.json"], "Cannot write the report"),
    (
        "output",
        ["crawl", "--mlflow-uri", "http://x", "-o", "no/such/o.json"],
        "Cannot write no/such/o.json: No such file",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(arguments, message, id=name, marks=[] if name in {"no server", "no YAML"} else pytest.mark.slow)
        for name, arguments, message in WRONG_SETTINGS
    ],
)
async def test_wrong_settings_give_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("source: [unclosed\n  password: " + CANARY)
    (tmp_path / "list.yml").write_text("- a\n")
    (tmp_path / "type.yml").write_text("source: {type: mlflow, config: {tracking_uri: http://x, page_size: many}}")
    (tmp_path / "key.yml").write_text("source: {type: mlflow, config: {traking_uri: http://x}}")
    code, _, errors = await run(*arguments, folder=tmp_path)
    assert code == 2, errors
    assert message in errors
    assert CANARY not in errors


async def test_unknown_flags_and_commands_are_usage_errors(tmp_path: Path) -> None:
    assert (await run("crawl", "--mlflow-url", "http://x", folder=tmp_path))[0] == 2
    assert (await run("crwal", folder=tmp_path))[0] == 2
    assert (await run(folder=tmp_path))[0] == 2


async def crawl_of(url: str, folder: Path, **options: object) -> tuple[int, str, dict[str, Any]]:
    recipe = recipe_file(folder, url, {"retry_max_times": 1, "patience_sec": 0, **options})
    code, _, errors = await run("crawl", "-c", recipe, "--report", "report.json", folder=folder)
    return code, errors, json.loads((folder / "report.json").read_text())


async def test_a_server_that_is_down(tmp_path: Path) -> None:
    code, errors, report = await crawl_of(f"http://127.0.0.1:{closed_port()}", tmp_path)
    assert code == 3
    assert "Is the server running and the port right?" in errors
    assert (report["status"], report["failures"][0]["code"]) == ("failed", "unreachable")


async def test_a_wrong_base_path(golden_server: MlflowServer, tmp_path: Path) -> None:
    code, errors, _ = await crawl_of(f"{golden_server.url}/wrong", tmp_path)
    assert code == 3
    assert "is not an MLflow server" in errors
    assert "base path" in errors


@pytest.mark.slow
async def test_a_web_page_instead_of_json(tmp_path: Path) -> None:
    async with answering(200, "<html>Welcome</html>") as url:
        code, errors, _ = await crawl_of(url, tmp_path)
    assert code == 3
    assert "answered with a web page, not JSON" in errors


async def test_a_proxy_that_wants_a_login(tmp_path: Path) -> None:
    async with answering(302, "", Location="https://sso.example.com/login?secret=1") as url:
        code, errors, _ = await crawl_of(url, tmp_path)
    assert code == 3
    assert "https://sso.example.com/login" in errors
    assert "secret=1" not in errors


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 3)])
async def test_refused_credentials(status: int, code: int, tmp_path: Path) -> None:
    async with answering(status, "{}", "application/json") as url:
        result, errors, report = await crawl_of(url, tmp_path, username="ann", password=CANARY)
    assert result == code
    assert str(status) in errors or "credentials" in errors
    assert CANARY not in errors + json.dumps(report)


@pytest.mark.slow
async def test_basic_auth_of_a_real_mlflow(tmp_path: Path) -> None:
    """MLflow's own basic-auth app, with the default administrator that it makes."""
    with guarded_server(tmp_path) as server:
        right = await crawl_of(server.url, tmp_path, username=ADMIN, password=PASSWORD)
        wrong = await crawl_of(server.url, tmp_path, username="admin", password=CANARY)
    assert right[0] == 0, right[1]
    assert wrong[0] == 3
    assert CANARY not in wrong[1]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "told"), [("2.20.4", None), ("3.18.0", "3.18.0")])
async def test_a_static_prefix_is_a_base_path(version: str, told: str | None, tmp_path: Path) -> None:
    """MLflow 2 has /api and /version beside the prefix and only /ajax-api below it; MLflow 3 has all of them below."""
    with mlflow_server(version, tmp_path / "server", static_prefix="/ml/flow") as server:
        code, errors, report = await crawl_of(server.url, tmp_path)
    assert code == 0, errors
    assert report["read"]["experiments"] == 1
    assert report["mlflow"]["version"] == told


async def test_datahubs_frontend_is_told_apart(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(frontend=True) as gms:
        code, _, errors = await run(
            "crawl", "--mlflow-uri", golden_server.url, "--datahub-url", gms.url, folder=tmp_path
        )
        assert code == 3
        assert f"Give {gms.url}/api/gms instead" in errors
        code, _, errors = await run(
            "crawl", "--mlflow-uri", golden_server.url, "--datahub-url", f"{gms.url}/api/gms", folder=tmp_path
        )
        assert code == 0, errors


async def test_a_full_disk(golden_server: MlflowServer, tmp_path: Path) -> None:
    code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, "-o", "/dev/full", folder=tmp_path)
    assert code == 1
    assert "No space left on device" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_cleanly_and_keeps_what_was_read(tmp_path: Path, number: signal.Signals) -> None:
    held, arrived = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        if request.path.endswith("experiments/search"):
            arrived.set()
            await held.wait()
        kind = request.path.rsplit("/", 2)[-2].replace("-", "_")
        rows = {"registered_models": [{"name": "m"}], "model_versions": []}.get(kind, [])
        return web.json_response({kind: rows})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hold)
    async with TestServer(app) as server:
        process = await start(
            *("crawl", "--mlflow-uri", server.make_url(""), "-o", "out.json", "--report", "report.json"),
            folder=tmp_path,
        )
        await arrived.wait()
        process.send_signal(number)
        _, errors = await process.communicate()
        held.set()
    assert process.returncode == 143, errors.decode()
    assert "Stopped before the end" in errors.decode()
    assert json.loads((tmp_path / "report.json").read_text())["status"] == "interrupted"
    kept = json.loads((tmp_path / "out.json.part").read_text())
    assert any(proposal["entityType"] == "mlModelGroup" for proposal in kept)
    assert not (tmp_path / "out.json").exists()


async def test_check_tells_both_sides(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(token="t") as gms:
        env = {"MLFLOW_TRACKING_URI": golden_server.url, "DATAHUB_GMS_URL": gms.url}
        code, output, _ = await run("check", folder=tmp_path, env={**env, "DATAHUB_GMS_TOKEN": "t"})
        assert code == 0, output
        assert "5 registered models, 18 model versions" in output
        assert "7 experiments" in output
        assert "version v1.7.0" in output
        assert "credentials accepted" in output
        code, output, _ = await run("check", folder=tmp_path, env={**env, "DATAHUB_GMS_TOKEN": CANARY})
        assert code == 3
        assert CANARY not in output
    async with Gms(version="v1.0.0") as old:
        given = ("check", "--datahub-url", old.url, "--endpoint", "openapi")
        code, output, _ = await run(*given, folder=tmp_path, env=env)
    assert code == 2
    assert "wrong: DataHub v1.0.0 is older than 1.0.1" in output
    code, output, _ = await run("check", folder=tmp_path, env={**env, "MLFLOW_TRACKING_URI": f"{golden_server.url}/no"})
    assert code == 3
    assert output.count("wrong:") == 2


async def test_a_server_without_a_registry_is_no_error(tmp_path: Path) -> None:
    """MLflow 1.x on a file store, in its own words."""
    told = {"error_code": "INVALID_PARAMETER_VALUE", "message": " Model registry functionality is unavailable; got …"}

    async def answer(request: web.Request) -> web.Response:
        if "model" in request.path.rsplit("/", 2)[-2]:
            return web.json_response(told, status=400)
        return web.json_response({"experiments": []}) if "search" in request.path else web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        code, output, errors = await run("check", "--mlflow-uri", server.make_url(""), folder=tmp_path)
        assert code == 0, output + errors
        assert "no model registry" in output
        code, _, errors = await run("crawl", "--mlflow-uri", server.make_url(""), folder=tmp_path)
    assert code == 0, errors
    assert "registry_missing" in errors


@pytest.mark.parametrize("command", [[], ["crawl"], ["check"], ["demo"]])
async def test_help_reads_well(command: list[str], tmp_path: Path) -> None:
    code, output, _ = await run(*command, "--help", folder=tmp_path, env={"COLUMNS": "100"})
    assert code == 0
    assert output.startswith("usage: mlflow-datahub-crawler")
    assert max(map(len, output.splitlines())) <= 125


async def test_all_that_is_written_goes_to_files_of_its_own(golden_server: MlflowServer, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".", target_is_directory=True)
    for flags in (
        ("-o", "same.json", "--report", "same.json"),
        ("-o", "same.json", "--report", "same.json.part"),
        ("-o", "same.json", "--profile", "same.json"),
        ("-o", "other.json", "--report", "same.json", "--profile", "same.json"),
        ("-o", "link/same.json", "--report", "link/same.json"),
        ("-o", "same.json", "--report", "link/same.json"),
        ("--sink", "lite", "-o", "link/same.json", "--report", "same.json"),
    ):
        (tmp_path / "same.json").write_text("mine")
        code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, *flags, folder=tmp_path)
        assert code == 2, flags
        assert "Give them two paths" in errors
        assert (tmp_path / "same.json").read_text() == "mine"


async def test_a_link_stays_a_link_and_a_pipe_a_pipe(golden_server: MlflowServer, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("target.json")
    os.mkfifo(tmp_path / "pipe")
    reading = asyncio.create_task(asyncio.to_thread((tmp_path / "pipe").read_bytes))
    code, _, errors = await run(
        *("crawl", "--mlflow-uri", golden_server.url, "-o", "link.json", "--report", "pipe"), folder=tmp_path
    )
    assert code == 0, errors
    assert json.loads(await reading)["status"] == "success"
    assert (tmp_path / "link.json").is_symlink()
    assert len(json.loads((tmp_path / "target.json").read_text())) == 376


async def test_names_that_no_file_can_have(golden_server: MlflowServer, tmp_path: Path) -> None:
    for flag in ("-o", "--report", "--profile"):
        code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, flag, "x" * 300, folder=tmp_path)
        assert code == 2
        assert "File name too long" in errors


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The URL of a server that answers nobody until the end, and whether a request has arrived."""
    arrived, held = asyncio.Event(), asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        arrived.set()
        await held.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hang)
    async with TestServer(app) as server:
        try:
            yield str(server.make_url("")), arrived
        finally:
            held.set()


async def test_a_signal_is_heard_while_datahub_does_not_answer(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with silent_server() as (url, arrived):
        process = await start(
            *("crawl", "--mlflow-uri", golden_server.url),
            *("--datahub-url", url, "--report", "report.json"),
            folder=tmp_path,
        )
        await arrived.wait()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):  # less than --grace
            _, errors = await process.communicate()
    assert process.returncode == 143, errors.decode()
    assert json.loads((tmp_path / "report.json").read_text())["status"] == "interrupted"


async def test_the_profile_tells_where_the_time_went(golden_server: MlflowServer, tmp_path: Path) -> None:
    flags = ("-o", "out.json", "--report", "report.json", "--profile", "profile.json")
    code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, *flags, folder=tmp_path)
    assert code == 0, errors
    profile, report = (json.loads((tmp_path / name).read_text()) for name in ("profile.json", "report.json"))
    assert profile["run_id"] == report["run_id"]
    shares = {
        "this crawler's CPU is the limit": profile["time"]["cpu_s"]["total"],
        "MLflow answers slowest": profile["time"]["waiting_s"]["mlflow"],
        "pauses between requests, or the disk, are the limit": profile["time"]["waiting_s"]["other"],
    }
    assert shares[profile["limit"]] == pytest.approx(max(shares.values()), abs=0.005)
    for time in (profile["time"], report["time"]):
        cpu, waiting = time["cpu_s"], time["waiting_s"]
        total = cpu.pop("total")
        assert set(cpu) == {"decode", "map", "transform", "encode", "send", "other"}
        assert sum(cpu.values()) == pytest.approx(total, abs=0.01)
        assert cpu["decode"] > 0
        assert cpu["map"] > 0
        assert waiting["mlflow"] > 0
        assert waiting["datahub"] == 0
        assert total + sum(waiting.values()) == pytest.approx(report["duration_s"], rel=0.2, abs=0.2)


async def test_the_last_json_line_holds_the_report(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, "--log-format", "json", folder=tmp_path)
    assert json.loads(errors.splitlines()[-1])["report"]["status"] == "success"
    _, _, errors = await run("crawl", "--log-format", "json", folder=tmp_path)
    assert "No MLflow server is given" in json.loads(errors.splitlines()[-1])["message"]


async def unheard(
    *arguments: object, folder: Path, redirection: str, env: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One command whose standard error is a pipe that nobody reads, unless the shell redirects it; its exit code and
    standard output.
    """
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "crawler", *map(str, arguments)),
        stdout=subprocess.PIPE,
        stderr=writing,
        cwd=folder,
        env=plain_environment(folder, env),
    )
    os.close(writing)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output


@pytest.mark.parametrize("redirection", ["", "2>/dev/full", "2>&-"])
async def test_nobody_has_to_hear_what_is_said(golden_server: MlflowServer, tmp_path: Path, redirection: str) -> None:
    given = ("crawl", "--mlflow-uri", golden_server.url, "-o", "-", "--report", "report.json", "--profile", "p.json")
    for flags in ((), ("--log-format", "json"), ("--no-progress", "--verbose")):
        code, output = await unheard(*given, *flags, folder=tmp_path, redirection=redirection)
        assert (code, len(json.loads(output))) == (0, ALL)
        assert json.loads((tmp_path / "report.json").read_text())["status"] == "success"
        assert json.loads((tmp_path / "p.json").read_text())["status"] == "success"
        (tmp_path / "report.json").unlink()
    for wrong in ("--page-size", "--no-such-flag"):
        assert (await unheard(*given, wrong, "0", folder=tmp_path, redirection=redirection))[0] == 2
    down = f"http://127.0.0.1:{closed_port()}"
    assert (await unheard("check", "--mlflow-uri", down, folder=tmp_path, redirection=redirection))[0] == 3


async def test_a_closed_standard_output_takes_no_proposals(golden_server: MlflowServer, tmp_path: Path) -> None:
    given = ("crawl", "--mlflow-uri", golden_server.url, "-o", "-", "--report", "report.json")
    assert (await unheard(*given, folder=tmp_path, redirection=">&-"))[0] == 2
    (failure,) = json.loads((tmp_path / "report.json").read_text())["failures"]
    assert "Standard output is closed" in failure["message"]


async def test_a_report_that_cannot_be_written_is_told_after_the_summary(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    flags = ("-o", "out.json", "--report", "/dev/full", "--profile", "profile.json")
    code, _, errors = await run("crawl", "--mlflow-uri", golden_server.url, *flags, folder=tmp_path)
    assert code == 1
    assert "Done: 69 entities" in errors.splitlines()[-2]
    assert "Writing the report /dev/full failed: No space left on device." in errors.splitlines()[-1]
    assert json.loads((tmp_path / "profile.json").read_text())["status"] == "success"


async def test_paths_that_are_not_utf_8_are_spelt_out(golden_server: MlflowServer, tmp_path: Path) -> None:
    """In the report, the state, the log and the summary."""

    def odd(name: str) -> str:
        return os.fsdecode(name.encode() + b"\xff")

    report, letters = (tmp_path / odd(name) for name in ("report", "letters"))
    given = ("crawl", "--mlflow-uri", golden_server.url, "--report", report.name)
    async with Gms() as gms:
        gms.rule = Fault(status=422)
        to_gms = ("--datahub-url", gms.url, "--dead-letters", letters.name, "--state", odd("state"))
        code, _, errors = await run(*given, *to_gms, folder=tmp_path)
    # All is refused: the crawl ends, and its state tells of the letters.
    assert (code, letters.exists()) == (3, True)
    assert "proposals in letters\\udcff; send them" in errors
    assert json.loads(report.read_bytes())["dead_letters"]["path"].endswith("letters\\udcff")
    async with Gms() as gms:
        again = ("replay", letters.name, "--any-target", "--datahub-url", gms.url, "--report", report.name)
        code, _, errors = await run(*again, "--log-format", "json", folder=tmp_path)
    assert code == 0, errors
    assert json.loads(errors.splitlines()[-1])["report"]["replayed"] == "letters\\udcff"
    lite = ("--sink", "lite", "-o", odd("lite"), "--state", odd("lite state"))
    assert (await run(*given, *lite, folder=tmp_path))[0] == 0
    code, _, errors = await run(*given, "-o", odd("out"), folder=tmp_path)
    assert code == 0, errors
    assert "delivered to out\\udcff in" in errors
    code, _, errors = await run(*given, "-c", odd("recipe"), "--log-format", "json", folder=tmp_path)
    assert (code, "recipe\\udcff" in json.loads(errors.splitlines()[-1])["message"]) == (2, True)
    assert "recipe\\udcff" in json.loads(report.read_bytes())["failures"][0]["message"]


@pytest.mark.slow
async def test_check_tells_of_a_server_that_cannot_list_experiments(
    filled_server: Callable[[str], FilledServer], tmp_path: Path
) -> None:
    given = ("--mlflow-uri", filled_server("1.27.0").server.url)
    code, output, errors = await run("check", *given, folder=tmp_path)
    assert code == 0, output + errors
    assert "older than 1.28.0: experiments and runs cannot be listed and would be skipped" in output


async def test_check_can_be_interrupted(tmp_path: Path) -> None:
    async with silent_server() as (url, arrived):
        # Where a shell has started the tests in the background, they ignore it, and so would the command.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = await start("check", "--mlflow-uri", url, folder=tmp_path)
        signal.signal(signal.SIGINT, before)
        await arrived.wait()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, errors = await process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
async def test_whoever_reads_the_output_may_go_away(
    golden_server: MlflowServer, tmp_path: Path, buffering: dict[str, str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await start("check", "--mlflow-uri", golden_server.url, folder=tmp_path, env=buffering, stdout=writing)
    os.close(writing)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (1, b"")


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
async def test_an_output_without_room_is_told(
    golden_server: MlflowServer, tmp_path: Path, buffering: dict[str, str]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = await start("check", "--mlflow-uri", golden_server.url, folder=tmp_path, env=buffering, stdout=full)
    os.close(full)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"error: Standard output cannot be written: No space left on device. Make room there." in errors


async def test_where_no_dead_letters_can_be_kept_that_is_told_at_once(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    recipe = recipe_file(tmp_path, golden_server.url)
    recipe.write_text(f"{recipe.read_text()}run_id: nightly\n")
    (tmp_path / "mlflow-datahub-dead-letters-nightly.jsonl").mkdir()
    given = ("crawl", "-c", recipe, "-o", "out.json", "--report", "report.json")
    code, _, errors = await run(*given, folder=tmp_path)
    assert code == 0, errors
    (warning,) = json.loads((tmp_path / "report.json").read_text())["warnings"]
    assert (warning["code"], warning["samples"]) == ("dead_letters_nowhere", ["Is a directory"])


async def test_a_registry_beside_what_is_no_tracking_server(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with answering(404, "nothing here") as url:
        env = {"MLFLOW_REGISTRY_URI": golden_server.url}
        code, _, errors = await run("crawl", "--mlflow-uri", url, "-o", "out.json", folder=tmp_path, env=env)
    assert code == 3
    assert f"{url} is not an MLflow server: it has no /api/2.0/mlflow/registered-models/search (404)." in errors


@pytest.mark.slow
async def test_half_an_api_below_a_prefix_is_no_mlflow(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/ml/ajax-api/2.0/mlflow/registered-models/search":
            return web.json_response({})
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        code, _, errors = await run("crawl", "--mlflow-uri", server.make_url("/ml"), folder=tmp_path)
    assert code == 3
    assert "is not an MLflow server" in errors
