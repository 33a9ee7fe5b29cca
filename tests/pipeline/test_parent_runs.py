"""`parentInstance` leads to runs that are written, whatever order they are read in, and to no others."""

from pathlib import Path
from typing import Any

import pytest

from crawler.errors import RequestRefused
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import KeyValue, Run, RunData, RunInfo
from crawler.mlflow.run_lookup import FoundRuns
from crawler.pipeline import parent_runs
from crawler.pipeline.parent_runs import ParentRuns
from crawler.telemetry.events import Event
from crawler.telemetry.findings.kind import Finding
from tests.pipeline.test_experiment_sets import Mlflow
from tests.support.crawls import crawl_to_file, recipe_file
from tests.support.read_context import read_context


def run_row(run_id: str, experiment: int, start: int, parent: str = "", stage: str = "active") -> dict[str, Any]:
    return {
        "info": {
            "run_id": run_id,
            "experiment_id": str(experiment),
            "start_time": start,
            "status": "RUNNING",
            "lifecycle_stage": stage,
        },
        "data": {"tags": [{"key": "mlflow.parentRunId", "value": parent}] if parent else []},
    }


async def test_a_crawl_names_only_parents_that_it_writes(tmp_path: Path) -> None:
    mlflow = Mlflow(2, 0)
    mlflow.server.put_experiment({"experiment_id": "3", "name": "gone", "lifecycle_stage": "deleted"})
    mlflow.server.put_run(run_row("late", 1, 9_000))
    mlflow.server.put_run(run_row("trash", 1, 1, stage="deleted"))
    mlflow.server.put_run(run_row("elsewhere", 3, 1))
    parents = {"a": "late", "b": "trash", "c": "elsewhere", "d": "never", "e": "x' OR '1", "f": "a", "g": "g"}
    for number, (child, parent) in enumerate(parents.items()):
        mlflow.server.put_run(run_row(child, 1 + number % 2, 10 + number, parent))
    async with mlflow.serve() as url:
        report, proposals = await crawl_to_file(recipe_file(tmp_path, url, {"page_size": 2}), tmp_path)
    named = {
        each["entityUrn"]: each["aspect"]["json"]["parentInstance"]
        for each in proposals
        if each["aspectName"] == "dataProcessInstanceRelationships"
    }
    assert named == {run_urn("a"): run_urn("late"), run_urn("f"): run_urn("a")}
    assert report.failures == []


async def test_parents_in_the_pages_before_their_children_cost_no_request(tmp_path: Path) -> None:
    mlflow = Mlflow(1, 0)
    for number in range(9):
        mlflow.server.put_run(run_row(f"r{number}", 1, number + 1, f"r{number - 1}" if number else ""))
    async with mlflow.serve() as url:
        recipe = recipe_file(tmp_path, url, {"page_size": 2, "max_threads": 1})
        _, proposals = await crawl_to_file(recipe, tmp_path)
    assert sum(each["aspectName"] == "dataProcessInstanceRelationships" for each in proposals) == 8
    assert not any("run_id IN" in query.get("filter", "") for _, query in mlflow.searches)


class Runs:
    """Looks up runs of experiment 1: those of `known`, which are active or not."""

    class experiment_ids:  # noqa: N801  stands for an attribute
        ids = 100

    def __init__(self, known: dict[str, bool]) -> None:
        self.known = known
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    async def by_id_beside_pages(self, run_ids: list[str], scope: list[str]) -> FoundRuns[Run]:
        self.asked.append(run_ids)
        if self.error is not None:
            raise self.error
        return FoundRuns([run(each, active=self.known[each]) for each in run_ids if each in self.known])


class Client:
    def __init__(self, known: dict[str, bool]) -> None:
        self.runs = Runs(known)


def run(run_id: str, parent: str = "", *, active: bool = True) -> Run:
    tags = [KeyValue("mlflow.parentRunId", parent)] if parent else []
    info = RunInfo(run_id, "1", lifecycle_stage="active" if active else "deleted")
    return Run(info, RunData(tags=tags))


def parents_of(client: Client, findings: list[Event], remembered: int = 100) -> ParentRuns:
    parents = ParentRuns(read_context(client, findings.append), remembered)
    parents.add_experiments(["1"], are_last=True)
    return parents


async def test_what_was_asked_for_is_remembered_also_that_it_is_not_there() -> None:
    client = Client({"p": True, "q": False})
    parents = parents_of(client, [])
    for number in range(3):
        children = [run(f"{number}{each}", each) for each in ("p", "q", "never", "not an id")]
        assert await parents.of(children) == {"p"}
    assert client.runs.asked == [["never", "p", "q"]]


async def test_a_parent_may_be_of_an_experiment_that_is_listed_later() -> None:
    client = Client({"p": True, "q": False})
    parents = ParentRuns(read_context(client))
    parents.add_experiments(["7"])
    assert await parents.of([run("c", "p"), run("d", "q"), run("e", "never")]) == {"p"}
    parents.add_experiments(["8"], are_last=True)
    # By now, all whose runs are crawled are known, and experiment 1 is none of them.
    assert await parents.of([run("f", "r")]) == frozenset()
    client.runs.known["s"] = True
    assert await parents.of([run("g", "s")]) == frozenset()


@pytest.mark.parametrize(("listed", "named"), [("1", {"p"}), ("8", set())])
async def test_a_parent_may_be_of_an_experiment_that_is_listed_while_mlflow_is_asked(
    listed: str, named: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client({"p": True})
    parents = ParentRuns(read_context(client))
    parents.add_experiments(["7"])
    ask = client.runs.by_id_beside_pages

    async def ask_within(run_ids: list[str], scope: list[str]) -> FoundRuns[Run]:
        parents.add_experiments([listed], are_last=True)
        found = await ask(run_ids, scope)
        return FoundRuns([each for each in found.runs if not scope or each.info.experiment_id in scope])

    monkeypatch.setattr(client.runs, "by_id_beside_pages", ask_within)
    assert await parents.of([run("c", "p")]) == named


async def test_parents_that_have_children_are_remembered_for_longest() -> None:
    client = Client({})
    parents = parents_of(client, [], remembered=3)
    await parents.of([run("p")])
    for number in range(9):
        assert await parents.of([run(f"c{number}", "p")]) == {"p"}
    assert client.runs.asked == []
    assert len(parents._written) == 3


async def test_many_are_asked_for_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_runs, "RUN_IDS_A_REQUEST", 2)
    client = Client({"a": True, "b": True, "c": True})
    assert await parents_of(client, []).of([run(f"c{each}", each) for each in "abc"]) == {"a", "b", "c"}
    assert client.runs.asked == [["a", "b"], ["c"]]


async def test_where_mlflow_fails_the_runs_name_none_and_it_is_told() -> None:
    client, findings = Client({"p": True}), list[Event]()
    client.runs.error = RequestRefused("MLflow refuses it.", "", status=400)
    parents = parents_of(client, findings)
    assert await parents.of([run("c", "p")]) == frozenset()
    (finding,) = findings
    assert isinstance(finding, Finding)
    assert (finding.code, finding.severity, finding.count) == ("parents_unknown", "failure", 1)
    client.runs.error = None
    assert await parents.of([run("d", "p")]) == {"p"}
