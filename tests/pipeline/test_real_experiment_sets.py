"""Real servers take as many experiments in one search as a set holds."""

import sqlite3
from pathlib import Path

import pytest

from crawler.mlflow.resources import EXPERIMENT_IDS_A_REQUEST
from tests.servers.mlflow_server import mlflow_server
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow

EXPERIMENTS, RUNS = 250, 3
BESIDE_RUNS = 4
"""Requests for the version, models, versions and experiments."""
ASKED_FOR_MORE = {"1.28.0": 5, "3.17.2": 5}
"""Workspaces, prompts, evaluation datasets, traces and logged models: a version that may have some, and one that does
not tell itself.
"""


def fill(database: Path) -> None:
    """Put experiments from 101 on into it; the run N of each starts with those of the others."""
    experiments = range(101, 101 + EXPERIMENTS)
    runs = [(experiment, number) for experiment in experiments for number in range(RUNS)]
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " VALUES (?, ?, '', 'active')",
            [(number, f"experiment {number}") for number in experiments],
        )
        connection.executemany(
            "INSERT INTO runs (run_uuid, experiment_id, start_time, status, lifecycle_stage, source_type, artifact_uri,"
            " name, source_name, entry_point_name, user_id, source_version)"
            " VALUES (?, ?, ?, 'FINISHED', 'active', 'UNKNOWN', '', '', '', '', '', '')",
            [(f"{experiment:016x}{number:016x}", experiment, 1_000 + number) for experiment, number in runs],
        )
    connection.close()


@pytest.mark.parametrize("version", ["1.28.0", "2.20.4", "3.17.2"])
async def test_a_search_takes_a_whole_set(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.pipeline.experiment_sets.FEWEST_SETS", 1)
    with mlflow_server(version, tmp_path / "server") as server:
        fill(server.database)
        report, proposals = await crawl_to_file(recipe_file(tmp_path, server.url), tmp_path)
    assert report.failures == []
    assert report.read["runs"] == EXPERIMENTS * RUNS
    assert len({each["entityUrn"] for each in proposals if each["entityType"] == "dataProcessInstance"}) == 750
    sets = -(-(EXPERIMENTS + 1) // EXPERIMENT_IDS_A_REQUEST)
    assert report.mlflow.requests == BESIDE_RUNS + ASKED_FOR_MORE.get(version, 0) + sets
