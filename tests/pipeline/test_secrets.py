"""No secret is in anything that a crawl leaves, however it was given and whatever went wrong: planted and searched for.

Real commands run as processes against small servers which answer badly and echo all that they were sent.
"""

import asyncio
import base64
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.errors import CrawlerError
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.secrets.secret import Secret
from crawler.settings.servers import ServerSettings
from tests.http.conftest import Certificate
from tests.support.crawls import plain_environment

MLFLOW = {
    "/version": "3.17.2",
    "/api/2.0/mlflow/registered-models/search": {"registered_models": [{"name": "m"}]},
    "/api/2.0/mlflow/model-versions/search": {
        "model_versions": [{"name": "m", "version": "1", "run_id": "r" * 32, "current_stage": "None"}]
    },
    "/api/2.0/mlflow/experiments/search": {
        "experiments": [{"experiment_id": "1", "name": "e", "artifact_location": "a", "lifecycle_stage": "active"}]
    },
    "/api/2.0/mlflow/runs/search": {
        "runs": [
            {
                "info": {
                    "run_id": "r" * 32,
                    "experiment_id": "1",
                    "status": "FINISHED",
                    "start_time": 1,
                    "end_time": 2,
                    "lifecycle_stage": "active",
                },
                "data": {},
            }
        ]
    },
}
GMS: dict[str, dict[str, Any]] = {
    "/token": {"expires_in": 60},
    "/config": {"noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.3.0"}}},
}
FIRST = {"/version", "/config"}
"""What is asked first: a failure here ends the crawl before it reads or sends anything."""

Answer = Callable[[str], web.Response]
FAILURES: dict[str, Answer] = {
    "200": lambda echo: web.json_response({"message": echo}),
    "400": lambda echo: web.json_response({"message": f"bad: {echo}"}, status=400),
    "401": lambda echo: web.json_response({"message": f"who is {echo}?"}, status=401),
    "403": lambda echo: web.Response(text=f"<html><p>not for {echo}</p></html>", status=403, content_type="text/html"),
    "500": lambda echo: web.Response(text=f"Traceback: headers={echo}", status=500),
    "redirect": lambda echo: web.Response(status=302, headers={"Location": f"https://elsewhere/?{echo}"}),
    "no JSON": lambda echo: web.Response(text=f'{{"runs": [{echo}', content_type="application/json"),
    "wrong JSON": lambda echo: web.json_response({"runs": echo, "registered_models": echo, "experiments": [echo]}),
}
UNAVAILABLE: dict[str, Answer] = {"503": lambda echo: web.Response(text=f"not now: {echo}", status=503)}
"""A 500 is asked for again in parts, each of which is retried: a minute of pauses. This ends the crawl."""


class Canaries:
    """Secrets of one crawl, and every form of them that must not be found."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def secret(self) -> str:
        """A new one; the signs in it look different in a URL, in JSON and in HTML."""
        self._made.append(f"c4n4ry{len(self._made)}&s3cr3t")
        return self._made[-1]

    def url(self, url: str) -> str:
        """The address with user info, both parts of which are secret."""
        scheme, _, rest = url.partition("://")
        user, password = self.secret(), self.secret()
        self._made.append(base64.b64encode(f"{user}:{password}".encode()).decode())
        return f"{scheme}://{user.replace('&', '%26')}:{password.replace('&', '%26')}@{rest}"

    def basic(self, user: str) -> str:
        """A password, of which the header that is sent is searched for too."""
        password = self.secret()
        self._made.append(base64.b64encode(f"{user}:{password}".encode()).decode())
        return password

    def found_in(self, text: str) -> list[str]:
        """The secrets, or the part of them that no quoting changes, that are in the text."""
        return [made for made in self._made if made.partition("&")[0] in text]


class Double:
    """A server with a few answers, which echoes the headers of every request where it fails."""

    def __init__(self, answers: dict[str, Any], failure: str | None = None, *, at_first: bool = False) -> None:
        self._answers = answers
        self._failure = failure
        self._at_first = at_first
        self.headers: list[str] = []
        self.bodies: list[str] = []
        self.command_lines: list[str] = []
        self.pid: int | None = None

    def _see_command_line(self) -> None:
        if self.pid is not None:
            self.command_lines.append(Path(f"/proc/{self.pid}/cmdline").read_bytes().decode())

    async def handle(self, request: web.Request) -> web.Response:
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.headers.append(headers)
        self._see_command_line()
        body = await request.read()
        if request.path != "/token":
            self.bodies.append(body.decode())
        if self._failure and (self._at_first or request.path not in FIRST):
            return (FAILURES | UNAVAILABLE)[self._failure](f"{headers} {request.url}".replace("\n", " "))
        answer = self._answers.get(request.path, {})
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        server = TestServer(app, scheme="http" if tls is None else "https")
        await server.start_server(ssl=tls)
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            await server.close()


def connection(canaries: Canaries, folder: Path, way: str, url: str) -> dict[str, Any]:
    """Options of one server that hold secrets, without its address's own name, in one of several ways."""
    if way == "user info":
        return {"": canaries.url(url)}
    options: dict[str, Any] = {"": url, "extra_headers": {"Cookie": canaries.secret(), "X-Key": canaries.secret()}}
    if way == "headers":
        options["extra_headers"]["Authorization"] = f"Bearer {canaries.secret()}"
    elif way == "file":
        options["token_file"] = str(kept(canaries, folder))
    elif way == "command":
        options["token_command"] = f"cat {kept(canaries, folder)}"
    return options


def kept(canaries: Canaries, folder: Path) -> Path:
    """A file with a new secret, named for the number of files beside it."""
    path = folder / f"kept-{len(os.listdir(folder))}"  # noqa: PTH208
    path.write_text(canaries.secret() + "\n")
    return path


def recipe(canaries: Canaries, folder: Path, way: str, mlflow: str, gms: str | None, *, retries: int = 0) -> Path:
    """A recipe for both servers; with a user name and password at MLflow where `way` is `password`."""
    source = connection(canaries, folder, way, mlflow)
    source["tracking_uri"] = source.pop("")
    if way == "password":
        source |= {"username": "ann", "password": canaries.basic("ann")}
    quick = {"retry_max_times": retries, "patience_sec": 0}
    document: dict[str, Any] = {"source": {"type": "mlflow", "config": source | quick}}
    if gms is None:
        document["sink"] = {"type": "file", "config": {"filename": "out.json"}}
    else:
        sink = connection(canaries, folder, "command" if way == "password" else way, gms)
        sink["server"] = sink.pop("")
        if way == "provider":
            GMS["/token"]["access_token"] = canaries.secret()
            config = {"token_endpoint": f"{gms}/token", "client_id": "crawler", "client_secret": canaries.secret()}
            sink["auth"] = {"type": "oidc_client_credentials", "config": config}
        document["sink"] = {"type": "datahub-rest", "config": sink | quick}
    # The Ingestion page shows the recipe, the report and the log.
    document["pipeline_name"] = "nightly"
    document["reporting"] = [{"type": "datahub"}, {"type": "file", "config": {"filename": "official.json"}}]
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(document))
    return path


async def crawl(
    tmp_path: Path, *more: str, recipe: Path, env: dict[str, str] | None = None, doubles: tuple[Double, ...] = ()
) -> tuple[int, str]:
    """One crawl in a folder of its own; its exit code, and all that it left: words and files."""
    left = tmp_path / "left"
    left.mkdir()
    words = [sys.executable, "-m", "crawler", "crawl", "-c", str(recipe), "--report", "report.json", "--profile"]
    words += ["profile.json", "--dead-letters", "letters.jsonl", *more]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=left,
        umask=0,
        env=plain_environment(left, env),
    )
    for double in doubles:
        double.pid = process.pid
    output, _ = await process.communicate()
    for double in doubles:
        assert set(double.command_lines) <= {"\0".join(words) + "\0"}, "the process's title is what was typed"
    files = {path: path.read_bytes() for path in left.rglob("*") if path.is_file()}
    for path in files:
        if path.parent.name == ".datahub":
            # acryl-datahub's own settings of its telemetry.
            continue
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert "Traceback (most recent" not in output.decode()
    return process.returncode or 0, "\n".join(
        [output.decode(), *(f"{path}\n{content.decode(errors='replace')}" for path, content in files.items())]
    )


LOGS = {
    "user info": ("--log-format", "text"),
    "headers": ("--log-format", "json", "-v"),
    "file": ("--log-format", "json"),
    "command": ("-v",),
    "password": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("at_first", [False, True], ids=["later", "at first"])
@pytest.mark.parametrize("failing", ["MLflow", "DataHub"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_an_answer_that_echoes_what_was_sent(failure: str, failing: str, at_first: bool, tmp_path: Path) -> None:
    ways = list(LOGS)
    # Each kind of failure meets each way to give a secret in turn: all pairs would take minutes.
    way = ways[(list(FAILURES).index(failure) + 2 * at_first + (failing == "MLflow")) % len(ways)]
    canaries = Canaries()
    mlflow = Double(MLFLOW, failure if failing == "MLflow" else None, at_first=at_first)
    gms = Double(GMS, failure if failing == "DataHub" else None, at_first=at_first)
    async with mlflow.serving() as mlflow_url, gms.serving() as gms_url:
        path = recipe(canaries, tmp_path, way, mlflow_url, gms_url)
        code, left = await crawl(tmp_path, *LOGS[way], recipe=path, doubles=(mlflow, gms))
    assert canaries.found_in("\n".join(mlflow.headers + gms.headers)), "no secret was sent, so nothing is shown"
    assert canaries.found_in(left) == []
    assert canaries.found_in("\n".join(gms.bodies)) == []
    assert code in {0, 1, 3}
    assert code or failing == "DataHub" or failure in {"200", "500"}, left


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_retry_that_is_logged(log_format: str, tmp_path: Path) -> None:
    canaries = Canaries()
    mlflow = Double(MLFLOW, "503", at_first=True)
    async with mlflow.serving() as mlflow_url:
        path = recipe(canaries, tmp_path, "headers", mlflow_url, None, retries=1)
        code, left = await crawl(tmp_path, "-v", "--log-format", log_format, recipe=path)
    assert code in {1, 3}, left
    assert "retrying in" in left
    assert canaries.found_in(left) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", [*LOGS, "provider"])
async def test_a_crawl_that_goes_well(way: str, tmp_path: Path) -> None:
    canaries = Canaries()
    mlflow, gms = Double(MLFLOW), Double(GMS)
    async with mlflow.serving() as mlflow_url, gms.serving() as gms_url:
        path = recipe(canaries, tmp_path, way, mlflow_url, gms_url)
        more = (*LOGS.get(way, ("-v",)), "--state", "state.db", "--confirm", "none")
        code, left = await crawl(tmp_path, *more, recipe=path, doubles=(mlflow, gms))
    assert code == 0, left
    assert canaries.found_in("\n".join(mlflow.headers))
    assert canaries.found_in("\n".join(gms.headers))
    assert canaries.found_in(left) == []
    assert "dataHubIngestionSourceInfo" in "\n".join(gms.bodies)
    assert canaries.found_in("\n".join(gms.bodies)) == []


@pytest.mark.parametrize("way", ["user info", "password"])
async def test_a_crawl_into_a_file(way: str, tmp_path: Path) -> None:
    canaries = Canaries()
    mlflow = Double(MLFLOW)
    async with mlflow.serving() as mlflow_url:
        code, left = await crawl(tmp_path, "-v", recipe=recipe(canaries, tmp_path, way, mlflow_url, None))
    assert code == 0, left
    assert "dataProcessInstance" in left
    assert canaries.found_in("\n".join(mlflow.headers))
    assert canaries.found_in(left) == []


@pytest.mark.slow
async def test_a_crawl_into_datahub_lite(tmp_path: Path) -> None:
    canaries = Canaries()
    async with Double(MLFLOW).serving() as mlflow_url:
        path = recipe(canaries, tmp_path, "password", mlflow_url, None)
        code, left = await crawl(tmp_path, "--sink", "lite", "-o", "catalog.db", recipe=path)
    assert code == 0, left
    assert "catalog.db" in left
    assert canaries.found_in(left) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", LOGS)
async def test_a_server_that_is_not_there(way: str, tmp_path: Path) -> None:
    canaries = Canaries()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        path = recipe(canaries, tmp_path, way, closed, closed)
        code, left = await crawl(tmp_path, *LOGS[way], recipe=path)
    assert code == 3, left
    assert canaries.found_in(left) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["user info", "command"])
async def test_a_certificate_that_is_not_trusted(way: str, tmp_path: Path) -> None:
    canaries = Canaries()
    tls = Certificate(tmp_path, "127.0.0.1", starts=-1, ends=1, password=None).server_context()
    async with Double(MLFLOW).serving(tls) as mlflow_url, Double(GMS).serving() as gms_url:
        path = recipe(canaries, tmp_path, way, mlflow_url, gms_url)
        code, left = await crawl(tmp_path, *LOGS[way], recipe=path)
    assert code == 3, left
    assert "self-signed" in left
    assert canaries.found_in(left) == []


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["none", "400", "401", "redirect", "not there"])
async def test_the_password_of_a_proxy(failure: str, tmp_path: Path) -> None:
    canaries = Canaries()
    proxy = Double(MLFLOW | GMS, None if failure in {"none", "not there"} else failure, at_first=True)
    async with proxy.serving() as url:
        path = recipe(canaries, tmp_path, "headers", "http://mlflow.invalid", "http://gms.invalid")
        proxied = canaries.url("http://127.0.0.1:1" if failure == "not there" else url)
        code, left = await crawl(tmp_path, "-v", "--confirm", "none", recipe=path, env={"HTTP_PROXY": proxied})
    assert (code == 0) == (failure == "none"), left
    assert failure == "not there" or "Proxy-Authorization" in "\n".join(proxy.headers)
    assert canaries.found_in(left) == []


@pytest.mark.slow
async def test_secrets_of_the_environment_and_the_command_line(tmp_path: Path) -> None:
    canaries = Canaries()
    mlflow, gms = Double(MLFLOW, "401"), Double(GMS, "401")
    secret = tmp_path / "token"
    secret.write_text(canaries.secret())
    (tmp_path / "empty.yml").write_text("pipeline_name: p\n")
    async with mlflow.serving() as mlflow_url, gms.serving() as gms_url:
        env = {
            "MLFLOW_TRACKING_USERNAME": "ann",
            "MLFLOW_TRACKING_PASSWORD": canaries.basic("ann"),
            "DATAHUB_GMS_TOKEN_FILE": str(secret),
        }
        urls = ("--mlflow-uri", mlflow_url, "--datahub-url", canaries.url(gms_url))
        code, left = await crawl(tmp_path, *urls, "-v", recipe=tmp_path / "empty.yml", env=env)
    assert code == 3, left
    assert canaries.found_in("\n".join(mlflow.headers))
    assert canaries.found_in(left) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", [{"page_size": "many"}, {"tokn": "{}"}, {"token_command": "sh -c 'echo {} >&2; exit 1'"}]
)
async def test_settings_that_are_wrong(wrong: dict[str, str], tmp_path: Path) -> None:
    canaries = Canaries()
    path = recipe(canaries, tmp_path, "headers", "http://127.0.0.1:1", None)
    document = yaml.safe_load(path.read_text())
    document["source"]["config"] |= {key: value.format(canaries.secret()) for key, value in wrong.items()}
    path.write_text(yaml.safe_dump(document))
    code, left = await crawl(tmp_path, recipe=path)
    assert code == 2, left
    assert canaries.found_in(left) == []


@pytest.mark.parametrize("failure", [each for each in FAILURES if each not in {"200", "no JSON", "wrong JSON"}])
async def test_an_errors_own_words(failure: str) -> None:
    canaries = Canaries()
    double = Double({}, failure, at_first=True)
    async with double.serving() as url:
        settings = ServerSettings(
            url=canaries.url(url),
            token=Secret(canaries.secret()),
            headers={"Cookie": Secret(canaries.secret())},
            attempts=1,
            patience=0,
        )
        async with Server("MLflow", settings, Traffic()) as server:
            with pytest.raises(CrawlerError) as caught:
                await server.get("/x")
    error = caught.value
    parts = [repr(error), str(error), error.message, error.hint, repr(vars(error)), *traceback.format_exception(error)]
    assert canaries.found_in("\n".join(double.headers))
    assert canaries.found_in("\n".join(parts)) == []


def test_the_canaries_are_found_where_they_are() -> None:
    canaries = Canaries()
    secret = canaries.secret()
    for text in (secret, json.dumps(secret), secret.replace("&", "%26"), secret.replace("&", "&amp;")):
        assert canaries.found_in(f"before {text} after") == [secret]
    assert canaries.found_in("nothing") == []
