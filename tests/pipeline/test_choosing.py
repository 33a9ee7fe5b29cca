"""What of a real MLflow server is crawled: each option by itself, on 3.17.2, and what 1.28.0 can filter by."""

import io
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crawler.cli.check import _lines
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import ExitCode, SettingsError
from crawler.mapping.model_versions import model_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.paging.keyset import RunFilter
from crawler.pipeline.check import check
from crawler.pipeline.entities import open_mlflow
from crawler.pipeline.parent_runs import ParentRuns
from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Selection
from crawler.telemetry.report import Report
from crawler.telemetry.summary import print_summary
from tests.gms.server import Gms
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_settings, crawl_to_file, recipe_file, values
from tests.support.read_context import read_context

pytestmark = pytest.mark.slow

DAY = 86_400_000
PLAIN = MappingSettings(ui_url="http://unused")


class Run(NamedTuple):
    """A run: how many days ago it began, and its experiment."""

    experiment: str
    days: int
    is_deleted: bool = False


RUNS = {
    "train-0": Run("prod-a", 40),
    "train-1": Run("prod-a", 20),
    "train-2": Run("prod-a", 10),
    "Debug-3": Run("prod-a", 5),
    "train-4": Run("prod-a", 1),
    "trash-5": Run("prod-a", 2, is_deleted=True),
    "train-6": Run("prod-b", 30),
    "train-7": Run("tmp-c", 3),
    "trash-8": Run("gone-d", 3, is_deleted=True),
}
"""By name. The metric `number` is the digit of the name."""
ACTIVE = {name for name, run in RUNS.items() if not run.is_deleted}
EXPERIMENTS = {"Default", "prod-a", "prod-b", "tmp-c"}
MODELS = {"fraud": ["train-0", "trash-5"], "tmp-model": ["train-7"]}
"""The runs of their versions."""


class Filled(NamedTuple):
    """A server, and the ids of its runs by name."""

    server: MlflowServer
    ids: dict[str, str]


def fill(server: MlflowServer) -> Filled:
    edit = Editor(server.url)
    now = time.time_ns() // 1_000_000
    experiments = {name: edit.experiment(name) for name in ("prod-a", "prod-b", "tmp-c", "gone-d")}
    ids: dict[str, str] = {}
    for name, each in RUNS.items():
        start = now - each.days * DAY
        tags = [
            {"key": "mlflow.runName", "value": name},
            {"key": "mlflow.parentRunId", "value": ids.get("train-0", "")},
        ]
        created = edit("runs/create", experiment_id=experiments[each.experiment], start_time=start, tags=tags)
        ids[name] = created["run"]["info"]["run_id"]
        edit("runs/log-metric", run_id=ids[name], key="number", value=int(name[-1]), timestamp=start, step=0)
        edit("runs/log-parameter", run_id=ids[name], key="lr", value=f"0.{name[-1]}")
        status = "FAILED" if name == "train-1" else "FINISHED"
        edit("runs/update", run_id=ids[name], status=status, end_time=start + 1)
    for model, runs in MODELS.items():
        edit("registered-models/create", name=model)
        for name in runs:
            edit("model-versions/create", name=model, source="s3://bucket/model", run_id=ids[name])
    edit("runs/delete", run_id=ids["trash-5"])
    edit("experiments/delete", experiment_id=experiments["gone-d"])
    return Filled(server, ids)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with mlflow_server("3.17.2", tmp_path_factory.mktemp("choosing")) as running:
        yield fill(running)


class Written(NamedTuple):
    """What came out, by name."""

    report: Report
    experiments: set[str]
    runs: set[str]
    versions: set[str]
    values: dict[tuple[str, str], Any]


async def crawled(filled: Filled, folder: Path, options: dict[str, Any]) -> Written:
    report, proposals = await crawl_to_file(recipe_file(folder, filled.server.url, options), folder)
    found = values(proposals)
    assert (report.failures, report.warnings) == ([], [])
    names = {run_urn(run_id): name for name, run_id in filled.ids.items()}
    urns = {urn for urn, _ in found}
    return Written(
        report,
        {value["name"] for (_, aspect), value in found.items() if aspect == "containerProperties"},
        {names[urn] for urn in urns if ":dataProcessInstance:" in urn},
        {urn.split(",")[1] for urn in urns if ":mlModel:" in urn},
        found,
    )


def named(*digits: int) -> set[str]:
    """Runs by the last digit of their names."""
    return {name for name in RUNS if int(name[-1]) in digits}


EVERYTHING = EXPERIMENTS, ACTIVE, {"fraud_1", "fraud_2", "tmp-model_1"}
CASES: list[tuple[dict[str, Any], set[str], set[str], set[str], dict[str, int]]] = [
    ({}, *EVERYTHING, {"deleted experiments": 1, "deleted runs": 1}),
    (
        {"experiment_pattern": {"allow": ["PROD"]}},
        *(EXPERIMENTS - {"Default", "tmp-c"}, ACTIVE - {"train-7"}, EVERYTHING[2]),
        {"experiments left out": 3, "deleted runs": 1},
    ),
    (
        {"registered_model_pattern": {"deny": ["tmp"]}},
        *(*EVERYTHING[:2], {"fraud_1", "fraud_2"}),
        {"registered models left out": 1, "model versions left out": 1},
    ),
    ({"run_name_pattern": {"deny": ["debug"]}}, EXPERIMENTS, ACTIVE - {"Debug-3"}, EVERYTHING[2], {"runs left out": 1}),
    (
        {"run_name_pattern": {"allow": ["debug|train-[67]$"], "ignoreCase": False}},
        *(EXPERIMENTS, named(6, 7), EVERYTHING[2]),
        {"runs left out": 6},
    ),
    (
        {"run_filter": "metrics.number > 1 AND attributes.status = 'FINISHED'"},
        *(EXPERIMENTS, ACTIVE - named(0, 1), EVERYTHING[2]),
        {},
    ),
    ({"runs_since": "15d"}, EXPERIMENTS, named(2, 3, 4, 7), EVERYTHING[2], {}),
    ({"runs_since": "15d", "run_filter": "params.lr = '0.2'"}, EXPERIMENTS, named(2), EVERYTHING[2], {}),
    ({"max_runs_per_experiment": 2}, EXPERIMENTS, named(3, 4, 6, 7), EVERYTHING[2], {}),
    (
        {"max_runs_per_experiment": 2, "run_name_pattern": {"deny": ["debug"]}, "run_filter": "metrics.number < 4"},
        *(EXPERIMENTS, named(1, 2), EVERYTHING[2]),
        {},
    ),
    (
        {"lifecycle": "deleted"},
        *(EXPERIMENTS | {"gone-d"}, named(5, 8), EVERYTHING[2]),
        {},
    ),
    (
        {"lifecycle": "all", "max_runs_per_experiment": 3},
        EXPERIMENTS | {"gone-d"},
        named(3, 4, 5, 6, 7, 8),
        EVERYTHING[2],
        {},
    ),
    ({"include": {"runs": False}}, EXPERIMENTS, set(), EVERYTHING[2], {}),
    ({"include": {"experiments": False}}, set(), set(), EVERYTHING[2], {"experiments left out": 5}),
    ({"include": {"registered_models": False}}, *EVERYTHING[:2], set(), {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
async def test_each_choice(case: Any, filled: Filled, tmp_path: Path) -> None:
    options, experiments, runs, versions, skipped = case
    found = await crawled(filled, tmp_path, options)
    assert (found.experiments, found.runs, found.versions) == (experiments, runs, versions)
    assert (found.report.read["experiments"], found.report.read["runs"]) == (len(experiments), len(runs))
    assert found.report.skipped.items() >= skipped.items()
    # Versions have the params of their runs, whether these are chosen or not.
    for version, run in (("1", "train-0"), ("2", "trash-5")):
        properties = found.values.get((model_urn("fraud", version, PLAIN), "mlModelProperties"))
        assert (properties is None) == (not versions)
        assert properties is None or properties["hyperParams"] == [{"name": "lr", "value": f"0.{run[-1]}"}]
    # A parent is named where it is written.
    of_parents = {urn for urn, aspect in found.values if aspect == "dataProcessInstanceRelationships"}
    children = runs - {"train-0"} if "train-0" in runs else set()
    assert of_parents == {run_urn(filled.ids[name]) for name in children}


async def test_what_is_in_the_trash_says_so(filled: Filled, tmp_path: Path) -> None:
    found = await crawled(filled, tmp_path, {"lifecycle": "all"})
    stages = {
        name: found.values[run_urn(filled.ids[name]), "dataProcessInstanceProperties"]["customProperties"].get(
            "lifecycle_stage"
        )
        for name in RUNS
    }
    assert stages == {name: "deleted" if run.is_deleted else None for name, run in RUNS.items()}
    containers = [value for (_, aspect), value in found.values.items() if aspect == "containerProperties"]
    deleted = {each["name"] for each in containers if each["customProperties"].get("lifecycle_stage") == "deleted"}
    assert deleted == {"gone-d"}


@pytest.mark.parametrize("text", ["metrics.a > 1 OR metrics.b > 1", "nonsense", "metrics.a > 'x'", "a = 1) OR (b = 2"])
async def test_a_filter_that_mlflow_refuses_ends_the_crawl_before_it_begins(
    text: str, filled: Filled, tmp_path: Path
) -> None:
    path = recipe_file(tmp_path, filled.server.url, {"run_filter": text})
    settings = load(path, {}, Flags(output=tmp_path / "out.json"), home=tmp_path)
    with pytest.raises(
        SettingsError, match=r"source\.config\.run_filter: MLflow refuses it: INVALID_PARAMETER_VALUE: .+\."
    ) as caught:
        await crawl_settings(settings)
    assert caught.value.exit_code == ExitCode.USAGE
    found = await check(settings)
    assert str(found.mlflow.error) == str(caught.value)
    assert found.exit_code == ExitCode.USAGE


async def test_a_dry_run_names_what_is_left_out(filled: Filled, tmp_path: Path) -> None:
    options = {"experiment_pattern": {"deny": ["tmp"]}, "run_name_pattern": {"deny": ["debug"]}, "runs_since": "15d"}
    path = recipe_file(tmp_path, filled.server.url, options)
    settings = load(path, {}, Flags(dry_run=True), home=tmp_path)
    report = await crawl_settings(settings)
    page = io.StringIO()
    print_summary(report, report_path=None, stream=page)
    told = page.getvalue().partition("The recipe chooses")[2].splitlines()[1:8]
    assert told == [
        '  experiment_pattern.deny: ["tmp"]',
        '  run_name_pattern.deny: ["debug"]',
        "  runs_since: 15d",
        "  1 experiments left out:",
        "      tmp-c",
        "  1 runs left out:",
        f"      Debug-3 ({filled.ids['Debug-3']})",
    ]
    found = await check(settings)
    assert found.mlflow.left_out == {"experiments": 1}
    assert "  of these the recipe leaves out 1 experiments" in [*_lines(found)]


@pytest.mark.parametrize("page_size", [1, 100])
async def test_runs_without_start_time_are_named_where_they_are_chosen(
    page_size: int, filled: Filled, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(filled.server.database)) as database:
        (start,) = database.execute("SELECT start_time FROM runs WHERE name = 'train-2'").fetchone()
        database.execute("UPDATE runs SET start_time = NULL WHERE name = 'train-2'")
        database.commit()
        try:
            for options, failures, runs in (
                ({"run_filter": "metrics.number < 4"}, ["unreadable_runs"], named(0, 1, 3)),
                ({"run_filter": "metrics.number != 2"}, [], ACTIVE - named(2)),
                ({"runs_since": "15d"}, [], named(3, 4, 7)),
            ):
                recipe = recipe_file(tmp_path, filled.server.url, options)
                report, proposals = await crawl_to_file(recipe, tmp_path, {"page_size": page_size})
                assert [each.code for each in report.failures] == failures
                urns = {each["entityUrn"] for each in proposals}
                assert {name for name, run_id in filled.ids.items() if run_urn(run_id) in urns} == runs
        finally:
            database.execute("UPDATE runs SET start_time = ? WHERE name = 'train-2'", (start,))
            database.commit()


async def test_a_parent_that_is_asked_for_by_its_id(filled: Filled, tmp_path: Path) -> None:
    settings = load(recipe_file(tmp_path, filled.server.url), {}, home=tmp_path).mlflow
    report = Report()
    async with open_mlflow(settings, report.mlflow, report.time) as client:
        everything = await client.runs.by_id(list(filled.ids.values()), [])
        runs = {run.info.run_name: run for run in everything.runs}
        for text, written in (("metrics.number < 1", True), ("metrics.number > 0", False)):
            context = read_context(client, report, selection=Selection(run_filter=text))
            assert context.choice.filter == RunFilter(text)
            parents = ParentRuns(context, remembered=0)
            parents.add_experiments([run.info.experiment_id for run in runs.values()], are_last=True)
            assert await parents.of([runs["train-6"]]) == ({filled.ids["train-0"]} if written else set())


async def test_an_incremental_crawl_keeps_to_the_choice(tmp_path: Path) -> None:
    with mlflow_server("3.17.2", tmp_path / "server") as server:
        filled = fill(server)
        edit = Editor(server.url)
        experiment = edit("runs/get", "GET", run_id=filled.ids["train-0"])["run"]["info"]["experiment_id"]
        options = {"run_filter": "params.lr LIKE '0.%'", "max_runs_per_experiment": 3, "incremental": {"enabled": True}}
        async with Gms() as gms:
            path = recipe_file(tmp_path, server.url, options, {"type": "datahub-rest", "config": {"server": gms.url}})
            settings = load(path, {}, Flags(state=tmp_path / "state"), home=tmp_path)
            assert (await crawl_settings(settings)).read["runs"] == 5
            now = time.time_ns() // 1_000_000
            new = [edit.run(experiment, now - 60_000), edit.run(experiment, now - 30_000)]
            edit("runs/log-parameter", run_id=new[0], key="lr", value="0.9")
            for run_id in (filled.ids["train-0"], filled.ids["train-4"]):
                edit("model-versions/create", name="fraud", source="s3://bucket/model", run_id=run_id)
            before = len(gms.history)
            report = await crawl_settings(settings)
            sent = {urn for urn, _, _ in gms.history[before:]}
            runs = {urn for urn in sent if ":dataProcessInstance:" in urn}
            assert report.since is not None
            assert runs == {run_urn(new[0]), run_urn(filled.ids["train-4"])}, "one is new, one has a new version"
            assert {model_urn("fraud", number, PLAIN) for number in ("3", "4")} <= sent
            assert (report.failures, report.warnings) == ([], [])


async def test_what_1_28_can_filter_by(tmp_path: Path) -> None:
    with mlflow_server("1.28.0", tmp_path / "server") as server:
        filled = fill(server)
        for options, runs in (
            ({"run_filter": "attributes.status = 'FINISHED' AND metrics.number > 1"}, ACTIVE - named(0, 1)),
            ({"runs_since": "15d", "run_name_pattern": {"deny": ["debug"]}}, named(2, 4, 7)),
            ({"max_runs_per_experiment": 2}, named(3, 4, 6, 7)),
        ):
            found = await crawled(filled, tmp_path, options)
            assert found.runs == runs
        with pytest.raises(SettingsError, match=r"MLflow refuses it: .*end_time"):
            await crawled(filled, tmp_path, {"run_filter": "attributes.end_time > 5"})
