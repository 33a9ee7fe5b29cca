"""Rows in MLflow's database that make a real server answer 500 for every page that holds them: they cost themselves
only, are named, and all others arrive.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import Experiment
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.mlflow.page_rows import small_pages
from tests.servers.filled import filled_server
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow

VERSION = "3.17.2"
PLAIN = MappingSettings(ui_url="http://unused")
NO_RETRIES = {"retry_max_times": 0}
# What an edited, migrated or damaged database may hold; each makes MLflow 3.17.2 answer 500.
NULL_STATUS = ("runs", "status", "NULL")
TEXT_FOR_A_TIME = ("runs", "end_time", "'soon'")
TEXT_FOR_A_METRIC = ("latest_metrics", "value", "'text'")
BYTES_FOR_A_TAG = ("tags", "value", "x'ff'")

Damage = tuple[str, str, str]
"""Table, column and the SQL of a value that MLflow cannot answer with."""


class Copy(NamedTuple):
    """A server whose database a test may damage, if it mends it again, and what the client said is there."""

    server: MlflowServer
    reported: dict[str, Any]

    @contextmanager
    def damaged(self, damage: Damage, where: str, *values: str) -> Iterator[None]:
        """The rows hold the value meanwhile."""
        table, column, value = damage
        with closing(sqlite3.connect(self.server.database, timeout=30)) as database:
            rows = database.execute(f"SELECT {column}, rowid FROM {table} WHERE {where}", values).fetchall()
            assert rows
            database.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}", values)
            database.commit()
            yield
            database.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", rows)
            database.commit()

    async def crawl(self, folder: Path, page_size: int, **flags: Any) -> tuple[Report, set[str]]:
        """The report, and all URNs that were written."""
        recipe = recipe_file(folder, self.server.url, NO_RETRIES)
        report, proposals = await crawl_to_file(recipe, folder, {"page_size": page_size, **flags})
        return report, {proposal["entityUrn"] for proposal in proposals}

    def runs_by_time(self) -> list[tuple[str, str]]:
        """(experiment, run) of all runs that a crawl writes, as MLflow lists them."""
        listed = {run["id"] for run in self.reported["runs"]}
        with closing(sqlite3.connect(self.server.database)) as database:
            rows = database.execute("SELECT experiment_id, run_uuid FROM runs ORDER BY start_time, run_uuid")
            return [(str(experiment), run) for experiment, run in rows if run in listed]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with filled_server(VERSION, tmp_path_factory.mktemp("damaged")) as filled:
        yield Copy(*filled)


def samples(report: Report, code: str) -> list[str]:
    """What the only failure names."""
    assert [failure.code for failure in report.failures] == [code]
    (failure,) = report.failures
    assert failure.count == len(failure.samples)
    return failure.samples


def runs_of(urns: set[str]) -> set[str]:
    return {urn for urn in urns if urn.startswith("urn:li:dataProcessInstance:")}


@pytest.mark.parametrize("page_size", [1, 7, 500])
@pytest.mark.parametrize("damage", [NULL_STATUS, TEXT_FOR_A_TIME, TEXT_FOR_A_METRIC, BYTES_FOR_A_TAG], ids=str)
async def test_a_run_that_mlflow_cannot_answer_costs_itself_only(
    damage: Damage, page_size: int, copy: Copy, tmp_path: Path
) -> None:
    runs = copy.runs_by_time()
    with closing(sqlite3.connect(copy.server.database)) as database:
        able = {run for (run,) in database.execute(f"SELECT DISTINCT run_uuid FROM {damage[0]}")}
    chosen = [run for run in runs if run[1] in able]
    experiment, poisoned = chosen[len(chosen) // 2]
    with copy.damaged(damage, "run_uuid = ?", poisoned):
        report, urns = await copy.crawl(tmp_path, page_size)
    assert runs_of(urns) == {run_urn(run) for _, run in runs if run != poisoned}
    assert report.read["runs"] == len(runs) - 1
    (sample,) = samples(report, "unreadable_runs")
    assert sample.startswith(f"experiment {experiment}: a run ")
    assert "MLflow answers 500: " in sample
    assert report.status == "failures"


@pytest.mark.parametrize("page_size", [2, 7, 500])
async def test_several_such_runs_are_named_one_by_one(page_size: int, copy: Copy, tmp_path: Path) -> None:
    runs = copy.runs_by_time()
    largest = max({experiment for experiment, _ in runs}, key=[experiment for experiment, _ in runs].count)
    of_largest = [run for experiment, run in runs if experiment == largest]
    # The first, two neighbours, and the last.
    chosen = [of_largest[0], of_largest[4], of_largest[5], of_largest[-1]]
    with copy.damaged(NULL_STATUS, f"run_uuid IN ({','.join('?' * len(chosen))})", *chosen):
        report, urns = await copy.crawl(tmp_path, page_size)
    assert runs_of(urns) == {run_urn(run) for _, run in runs if run not in chosen}
    named = samples(report, "unreadable_runs")
    assert len(named) == len(chosen)
    assert all("status cannot be None" in sample for sample in named)
    assert sum(f"between {of_largest[3]} " in sample and f"and {of_largest[6]} " in sample for sample in named) == 2


async def test_a_readable_run_beside_it_in_a_small_experiment(copy: Copy, tmp_path: Path) -> None:
    runs = copy.runs_by_time()
    smallest = min({experiment for experiment, _ in runs}, key=[experiment for experiment, _ in runs].count)
    of_smallest = [run for experiment, run in runs if experiment == smallest]
    with copy.damaged(NULL_STATUS, "run_uuid = ?", of_smallest[-1]):
        report, urns = await copy.crawl(tmp_path, 500)
    assert runs_of(urns) == {run_urn(run) for _, run in runs if run != of_smallest[-1]}
    assert len(samples(report, "unreadable_runs")) == 1


async def test_more_in_a_row_than_are_left_out_cost_their_experiment_only(copy: Copy, tmp_path: Path) -> None:
    runs = copy.runs_by_time()
    largest = max({experiment for experiment, _ in runs}, key=[experiment for experiment, _ in runs].count)
    with copy.damaged(NULL_STATUS, "experiment_id = ?", largest):
        report, urns = await copy.crawl(tmp_path, 7)
    assert runs_of(urns) == {run_urn(run) for experiment, run in runs if experiment != largest}
    (sample,) = samples(report, "experiment")
    assert sample.startswith(f"{largest} ")


async def test_a_model_version_that_mlflow_cannot_answer(copy: Copy, tmp_path: Path) -> None:
    versions = copy.reported["versions"]
    poisoned = versions[len(versions) // 2]
    damage = ("model_versions", "creation_time", "'soon'")
    where = ("name = ? AND version = ?", poisoned["name"], str(poisoned["version"]))
    with small_pages(model_versions=5), copy.damaged(damage, *where):
        report, urns = await copy.crawl(tmp_path, 500)
    expected = {model_urn(each["name"], each["version"], PLAIN) for each in versions if each != poisoned}
    assert {urn for urn in urns if urn.startswith("urn:li:mlModel:")} == expected
    told = {failure.code: failure.samples for failure in report.failures}
    # Where it is the latest of its stage, MLflow cannot list its model either.
    assert set(told) <= {"unreadable_model_versions", "unreadable_registered_models"}
    (sample,) = told["unreadable_model_versions"]
    assert sample.startswith("one between ")


async def test_a_registered_model_that_mlflow_cannot_answer(copy: Copy, tmp_path: Path) -> None:
    names = sorted(each["name"] for each in copy.reported["models"])
    poisoned = names[len(names) // 2]
    damage = ("registered_models", "creation_time", "'soon'")
    with small_pages(registered_models=3), copy.damaged(damage, "name = ?", poisoned):
        report, urns = await copy.crawl(tmp_path, 500)
    expected = {model_group_urn(name, PLAIN) for name in names if name != poisoned}
    assert {urn for urn in urns if urn.startswith("urn:li:mlModelGroup:")} >= expected
    assert len(samples(report, "unreadable_registered_models")) == 1


async def test_an_experiment_that_mlflow_cannot_answer(copy: Copy, tmp_path: Path) -> None:
    runs = copy.runs_by_time()
    poisoned = runs[-1][0]
    with copy.damaged(("experiments", "artifact_location", "NULL"), "experiment_id = ?", poisoned):
        report, urns = await copy.crawl(tmp_path, 500)
    others = [each for each in copy.reported["experiments"] if each["id"] != poisoned]
    assert {container_urn(Experiment(each["id"], each["name"]), PLAIN) for each in others} <= urns
    assert {run_urn(run) for experiment, run in runs if experiment != poisoned} <= urns
    assert len(samples(report, "unreadable_experiments")) == 1


def test_the_exit_code_says_so(copy: Copy, tmp_path: Path) -> None:
    _, poisoned = copy.runs_by_time()[3]
    report = tmp_path / "report.json"
    recipe = recipe_file(tmp_path, copy.server.url, NO_RETRIES)
    command = [
        *(sys.executable, "-m", "crawler", "crawl", "--no-progress", "--page-size", "7", "-c", str(recipe)),
        *("--output", str(tmp_path / "out.json"), "--report", str(report)),
    ]
    with copy.damaged(NULL_STATUS, "run_uuid = ?", poisoned):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    told = json.loads(report.read_text())
    assert told["status"] == "failures"
    # A model version names that run, and so goes without its params.
    assert [failure["code"] for failure in told["failures"]] == ["unreadable_runs", "runs_of_versions"]
    assert "status cannot be None" in done.stdout + done.stderr
