"""Runs whose start_time is NULL in MLflow's database: no MLflow can list them, so they are named, and cost no others.

MLflow 1.27 to 3.18 answer 500 for each page that would hold one. Such rows come by SQL only: a run that is created
through REST without start_time has 0.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crawler.mapping.model_versions import model_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.quirks.null_start_time import NullStartTimeFindings, NullStartTimes
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.servers.environments import VERSIONS
from tests.servers.filled import filled_server
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow

PAGE_SIZES = (7, 500)
PLAIN = MappingSettings(ui_url="http://unused")


class Copy(NamedTuple):
    """A server with a copy of a filled database, and what the client said is there."""

    server: MlflowServer
    reported: dict[str, Any]

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name."""
        return str(next(each["id"] for each in self.reported["experiments"] if each["name"] == name))

    @contextmanager
    def untimed(self, where: str, *values: str) -> Iterator[set[str]]:
        """The ids of the runs that have no start_time meanwhile."""
        with closing(sqlite3.connect(self.server.database)) as database:
            rows = database.execute(f"SELECT start_time, run_uuid FROM runs WHERE {where}", values).fetchall()
            assert rows
            database.execute(f"UPDATE runs SET start_time = NULL WHERE {where}", values)
            database.commit()
            yield {run for _, run in rows}
            database.executemany("UPDATE runs SET start_time = ? WHERE run_uuid = ?", rows)
            database.commit()

    async def crawl(self, folder: Path, page_size: int, **flags: Any) -> tuple[Report, set[str]]:
        """The report, and the URNs of the runs that were written."""
        recipe = recipe_file(folder, self.server.url)
        report, proposals = await crawl_to_file(recipe, folder, {"page_size": page_size, **flags})
        urns = {proposal["entityUrn"] for proposal in proposals}
        return report, {urn for urn in urns if urn.startswith("urn:li:dataProcessInstance:")}

    def others(self, untimed: set[str]) -> set[str]:
        """The URNs of all runs but these."""
        return {run_urn(run["id"]) for run in self.reported["runs"] if run["id"] not in untimed}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Copy]]:
    """A server of a version that a test may change, if it changes it back."""
    running: dict[str, Copy] = {}
    with ExitStack() as stack:

        def serve(version: str) -> Copy:
            if version not in running:
                folder = tmp_path_factory.mktemp(f"copy-{version}")
                running[version] = Copy(*stack.enter_context(filled_server(version, folder)))
            return running[version]

        yield serve


def named(report: Report) -> list[str]:
    """The experiments that the failure names; there is no other failure."""
    assert [failure.code for failure in report.failures] == ["unreadable_runs"]
    (failure,) = report.failures
    assert failure.count == len(failure.samples)
    assert all("start_time" in sample for sample in failure.samples)
    return sorted(sample.removeprefix("experiment ").partition(":")[0] for sample in failure.samples)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("version", VERSIONS[1:])
async def test_each_experiment_with_such_runs_is_named(
    version: str, page_size: int, copies: Callable[[str], Copy], tmp_path: Path
) -> None:
    copy = copies(version)
    names = ("churn", "naïve café — 実験")
    experiments = sorted(copy.experiment(name) for name in names)
    # One run of the first, nine of the second: both larger than a page of 7.
    where = "(experiment_id = ? AND user_id = 'bob') OR (experiment_id = ? AND user_id = 'u1')"
    with copy.untimed(where, *map(copy.experiment, names)) as untimed:
        report, runs = await copy.crawl(tmp_path, page_size)
    assert runs == copy.others(untimed)
    assert named(report) == experiments
    assert report.read["runs"] == len(runs)
    assert (report.status, report.mlflow.retries) == ("failures", 0)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("version", VERSIONS[1:])
async def test_an_experiment_of_such_runs_only(
    version: str, page_size: int, copies: Callable[[str], Copy], tmp_path: Path
) -> None:
    copy = copies(version)
    experiment = copy.experiment("churn")
    with copy.untimed("experiment_id = ?", experiment) as untimed:
        report, runs = await copy.crawl(tmp_path, page_size)
    assert runs == copy.others(untimed)
    assert named(report) == [experiment]


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("version", VERSIONS[1:])
async def test_a_deleted_run_without_start_time_hides_no_other(
    version: str, page_size: int, copies: Callable[[str], Copy], tmp_path: Path
) -> None:
    copy = copies(version)
    with copy.untimed("lifecycle_stage = 'deleted'"):
        report, runs = await copy.crawl(tmp_path, page_size)
    assert runs == copy.others(set())
    assert set(named(report)) <= {each["id"] for each in copy.reported["experiments"]}


@pytest.mark.parametrize("version", VERSIONS)
async def test_versions_of_such_runs_are_written_without_them(
    version: str, copies: Callable[[str], Copy], tmp_path: Path
) -> None:
    """MLflow 1.27 is asked for these runs one by one, the others for all at once."""
    copy = copies(version)
    with copy.untimed("run_uuid IN (SELECT run_id FROM model_versions)") as untimed:
        _, proposals = await crawl_to_file(recipe_file(tmp_path, copy.server.url), tmp_path, {"page_size": 7})
    found = {
        each["entityUrn"]: each["aspect"]["json"] for each in proposals if each["aspectName"] == "mlModelProperties"
    }
    assert len(untimed) > 2
    assert set(found) == {model_urn(each["name"], each["version"], PLAIN) for each in copy.reported["versions"]}
    assert all(value["trainingJobs"] == [] and "hyperParams" not in value for value in found.values())


@pytest.mark.parametrize("version", VERSIONS[1:])
async def test_without_such_runs_that_is_known_for_one_request(
    version: str, copies: Callable[[str], Copy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copies(version)
    # One worker shares nothing, so that the number of pages does not depend on who is idle when.
    with_it, runs = await copy.crawl(tmp_path, 7, mlflow_concurrency=1)
    monkeypatch.setattr(NullStartTimes, "find", _asks_nothing)
    without_it, same_runs = await copy.crawl(tmp_path, 7, mlflow_concurrency=1)
    assert with_it.failures == []
    assert runs == same_runs == copy.others(set())
    assert with_it.mlflow.requests == without_it.mlflow.requests + 1


async def _asks_nothing(_null_start_times: NullStartTimes) -> NullStartTimeFindings:
    return NullStartTimeFindings()


def test_the_exit_code_says_so(copies: Callable[[str], Copy], tmp_path: Path) -> None:
    copy = copies("2.20.4")
    output, report = str(tmp_path / "out.json"), str(tmp_path / "report.json")
    command = [
        *(sys.executable, "-m", "crawler", "crawl", "--no-progress", "--page-size", "7"),
        *("--mlflow-uri", copy.server.url, "--output", output, "--report", report),
    ]
    with copy.untimed("user_id = 'u1'"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert copy.experiment("naïve café — 実験") in Path(report).read_text()
