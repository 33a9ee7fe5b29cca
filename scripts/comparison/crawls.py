"""Crawl one server with both crawlers into files; the server's access log tells their requests."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import yaml

from scripts.comparison.delivered import Proposals, aspect_rows, changing, marks, values
from scripts.comparison.page import ServerComparison
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import plain_environment
from tests.support.official import COMMAND, QUIET, with_mlflow

_LOGGED = re.compile(r'"(?:GET|POST) ([^" ?]*)[^"]* HTTP/')
_API = re.compile(r"^.*/(?:ajax-)?api/[0-9.]+/mlflow/|^/")
_ID = re.compile(r"\b(?:[a-z]-)?[0-9a-f]{32}\b")
_LAST = "/health"


class CrawlFailed(Exception):
    """A crawler wrote no file; the message has the end of its output."""


class Crawled(NamedTuple):
    """How a crawl ended, what it delivered, and its requests to MLflow by endpoint."""

    exit_code: int
    proposals: Proposals
    requests: Counter[str]


def compare(
    server: MlflowServer,
    folder: Path,
    title: str,
    intro: str,
    options: Mapping[str, Any] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> ServerComparison:
    """Crawl the server with both. `options` are those of this crawler alone, `texts` what to look for, by kind."""
    official = _official(server, folder / "official")
    ours = _ours(server, folder / "ours", options or {})
    written = values(official.proposals, server.url), values(ours.proposals, server.url)
    return ServerComparison(
        title=title,
        intro=intro,
        options=options or {},
        exit_codes=(official.exit_code, ours.exit_code),
        changing=(changing(written[0]), changing(written[1])),
        requests=(official.requests, ours.requests),
        rows=aspect_rows(*written),
        marks=marks(texts or {}, official.proposals, ours.proposals),
    )


def _official(server: MlflowServer, folder: Path) -> Crawled:
    sink = {"type": "file", "config": {"filename": str(folder / "proposals.json")}}
    recipe = _recipe(server, folder, sink=sink)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **QUIET}
    return _crawl(server, folder, [with_mlflow(), COMMAND, "ingest", "run", "-c", recipe], environment)


def _ours(server: MlflowServer, folder: Path, options: Mapping[str, Any]) -> Crawled:
    recipe = _recipe(server, folder, **options)
    output = ("-o", folder / "proposals.json")
    command: list[str | Path] = [sys.executable, "-m", "crawler", "crawl", "-c", recipe, *output, "--no-progress"]
    return _crawl(server, folder, command, plain_environment(folder))


def _recipe(server: MlflowServer, folder: Path, sink: object = None, **options: object) -> Path:
    folder.mkdir(parents=True)
    path = folder / "recipe.yml"
    source = {"type": "mlflow", "config": {"tracking_uri": server.url, **options}}
    path.write_text(yaml.safe_dump({"source": source, **({"sink": sink} if sink else {})}))
    return path


def _crawl(
    server: MlflowServer, folder: Path, command: Sequence[str | Path], environment: Mapping[str, str]
) -> Crawled:
    before = _requests(server)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    output = folder / "proposals.json"
    if not output.exists():
        raise CrawlFailed(f"{command} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3_000:]}")
    return Crawled(done.returncode, json.loads(output.read_bytes()), _requests(server) - before)


def _requests(server: MlflowServer) -> Counter[str]:
    """Return all requests so far by endpoint. The server's one worker has logged them before it answers another."""
    urlopen(server.url + _LAST).close()
    with server.log.open(errors="replace") as log:
        paths = [found[1] for line in log if (found := _LOGGED.search(line))]
    return Counter(_ID.sub("{id}", _API.sub("", path)) for path in paths if path != _LAST)
