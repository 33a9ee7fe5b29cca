"""Records the answers of real MLflow servers that the mutations begin with: `python -m tests.fuzz.record`."""

import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.fuzz.seeds import RECORDED
from tests.servers.filled import fill
from tests.servers.mlflow_server import mlflow_server

VERSIONS = ("1.28.0", "2.20.4", "3.17.2")
MODELS = {"fraud", "modèle-é", "with, comma (and) brackets", "no-versions"}
RUN_CHARACTERS = 4_000
"""A run of a thousand params makes a body large, and no mutation of it another one."""
NAMELESS_RUNS = 2
FOLDER = "/srv/mlflow"
REFUSED: tuple[tuple[str, dict[str, str] | None], ...] = (
    ("runs/get?run_id=none", None),
    ("none/none", None),
    ("runs/search", {"filter": "none none"}),
    ("model-versions/search?max_results=none", None),
)


def record() -> None:
    """Fills a new server of each version through its own client and keeps a part of what it answers."""
    RECORDED.mkdir(exist_ok=True)
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as name, mlflow_server(version, Path(name)) as server:
            fill(server, Path(name) / "reported.json")
            kept = json.dumps(_kept(f"{server.url}/api/2.0/mlflow/"), ensure_ascii=False, indent=1)
        (RECORDED / f"{version}.json").write_text(kept.replace(name, FOLDER) + "\n", encoding="utf-8")


def _kept(api: str) -> dict[str, Any]:
    experiments = _rows(api, "experiments", {"max_results": 1_000, "view_type": "ALL"})
    asked = {
        "experiment_ids": [experiment["experiment_id"] for experiment in experiments],
        "run_view_type": "ALL",
        "max_results": 1_000,
        "order_by": ["attributes.start_time ASC"],
    }
    models = [model for model in _rows(api, "registered-models") if model["name"] in MODELS]
    versions = [version for version in _rows(api, "model-versions") if version["name"] in MODELS]
    return {
        "runs": _some(_rows(api, "runs", asked), {version.get("run_id") for version in versions}),
        "experiments": experiments,
        "registered_models": models,
        "model_versions": versions,
        "refusals": [_answer(api + path, query).decode() for path, query in REFUSED],
    }


def _some(runs: list[dict[str, Any]], wanted: set[str | None]) -> list[dict[str, Any]]:
    """Runs of each kind: those that versions name, and of those that only their start time tells apart a few."""
    kept: list[dict[str, Any]] = []
    nameless = 0
    for run in runs:
        is_plain = not run["data"].get("tags") or len(run["data"]["tags"]) < 3
        nameless += is_plain
        if len(json.dumps(run)) < RUN_CHARACTERS and (
            run["info"]["run_id"] in wanted or not is_plain or nameless <= NAMELESS_RUNS
        ):
            kept.append(run)
    return kept


def _rows(api: str, listing: str, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(_answer(f"{api}{listing}/search", query))[listing.replace("-", "_")]
    return rows


def _answer(url: str, query: dict[str, Any] | None) -> bytes:
    body = None if query is None else json.dumps(query).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())
    except HTTPError as refused:
        with refused:
            return bytes(refused.read())


if __name__ == "__main__":
    record()
