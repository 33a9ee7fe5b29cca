"""Each row of the table in docs/freshness.md, tried on real servers: what an incremental crawl sees, and what not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import Experiment
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent, RemovalSettings, Settings
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Selection
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.pipeline.test_real_servers import Serve
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, settings_for_gms, values

pytestmark = pytest.mark.slow

DAY = 86_400_000
T = 1_700_000_000_000
INCREMENTAL = KeepingCurrent(incremental=IncrementalSettings())
COLUMNS = '{"mlflow_colspec": [{"name": "age", "type": "long"}]}'


class World:
    """A few runs, a model and its versions on one server, by the names that the edits call them."""

    def __init__(self, url: str) -> None:
        self.edit = Editor(url)
        self.now = time.time_ns() // 1_000_000
        self.one, self.other = (
            self.edit("experiments/create", name=name)["experiment_id"] for name in ("one", "other")
        )
        self.finished = self.run(self.one, 30, ended=30)
        self.child = self.run(self.one, 29, ended=29, parent=self.finished)
        self.running = self.run(self.one, 2)
        self.lingering = [self.run(self.one, 30) for _ in range(2)]
        self.ended = [self.run(self.one, 20, ended=20) for _ in range(4)]
        self.elsewhere = self.run(self.other, 30, ended=30)
        self.trashed = [self.run(experiment, 30, ended=30) for experiment in (self.other, self.one)]
        for run in self.trashed:
            self.edit("runs/delete", run_id=run)
        self.edit("registered-models/create", name="fraud")
        for _ in range(2):
            self.version("fraud", self.finished)

    def run(self, experiment: str, started: float, ended: float | None = None, parent: str = "") -> str:
        """A run that began and ended so many days ago."""
        tags = [{"key": "mlflow.parentRunId", "value": parent}] if parent else []
        start = round(self.now - started * DAY)
        run: str = self.edit("runs/create", experiment_id=experiment, start_time=start, tags=tags)["run"]["info"][
            "run_id"
        ]
        if ended is not None:
            self.edit("runs/update", run_id=run, status="FINISHED", end_time=round(self.now - ended * DAY))
        return run

    def version(self, model: str, run: str) -> None:
        self.edit("model-versions/create", name=model, source=f"runs:/{run}/model", run_id=run)


Edit = Callable[[World], Any]

SEEN: dict[str, Edit] = {
    "a run begins": lambda world: world.run(world.one, 0),
    "a run begins and ends": lambda world: world.run(world.one, 0.01, ended=0),
    "a run ends": lambda world: world.edit(
        "runs/update", run_id=world.lingering[0], status="FAILED", end_time=world.now
    ),
    "a tag of a run that has not ended": lambda world: world.edit(
        "runs/set-tag", run_id=world.running, key="k", value="v"
    ),
    "a metric of a run that has not ended": lambda world: world.edit(
        "runs/log-metric", run_id=world.running, key="loss", value=0.5, timestamp=world.now, step=1
    ),
    "a param of a run that has not ended": lambda world: world.edit(
        "runs/log-parameter", run_id=world.running, key="lr", value="0.1"
    ),
    "a dataset of a run that has not ended": lambda world: world.edit(
        "runs/log-inputs", run_id=world.running, datasets=[{"dataset": dataset("train")}]
    ),
    "a new name of a run that has not ended": lambda world: world.edit(
        "runs/update", run_id=world.running, run_name="renamed"
    ),
    "an experiment is created": lambda world: world.run(
        world.edit("experiments/create", name="new")["experiment_id"], 40, ended=40
    ),
    "an experiment's tag": lambda world: world.edit(
        "experiments/set-experiment-tag", experiment_id=world.one, key="team", value="ml"
    ),
    "an experiment's description": lambda world: world.edit(
        "experiments/set-experiment-tag", experiment_id=world.one, key="mlflow.note.content", value="words"
    ),
    "an experiment is renamed, so all of its runs are elsewhere": lambda world: world.edit(
        "experiments/update", experiment_id=world.one, new_name="one more"
    ),
    "an experiment is deleted and restored, with runs that were deleted singly": lambda world: [
        world.edit(f"experiments/{what}", experiment_id=world.other) for what in ("delete", "restore")
    ],
    "a model is created": lambda world: world.edit("registered-models/create", name="churn"),
    "a model's tag": lambda world: world.edit("registered-models/set-tag", name="fraud", key="k", value="v"),
    "a model's description": lambda world: world.edit(
        "registered-models/update", "PATCH", name="fraud", description="d"
    ),
    "a version's alias": lambda world: world.edit("registered-models/alias", name="fraud", alias="best", version="1"),
    "a version's alias moves": lambda world: world.edit(
        "registered-models/alias", name="fraud", alias="best", version="2"
    ),
    "a version's tag": lambda world: world.edit(
        "model-versions/set-tag", name="fraud", version="1", key="k", value="v"
    ),
    "a version's description": lambda world: world.edit(
        "model-versions/update", "PATCH", name="fraud", version="1", description="d"
    ),
    "a version's stage": lambda world: world.edit(
        "model-versions/transition-stage", name="fraud", version="1", stage="Production", archive_existing_versions=True
    ),
    "a version of an old run, which has one more output": lambda world: world.version("fraud", world.elsewhere),
    "a model is renamed, and so are the outputs of its runs": lambda world: world.edit(
        "registered-models/rename", name="fraud", new_name="scam"
    ),
}
"""In this order, one after the other."""
UNSEEN: dict[str, Edit] = {
    "a tag of a run that has ended": lambda world: world.edit(
        "runs/set-tag", run_id=world.ended[0], key="k", value="v"
    ),
    "a metric of a run that has ended": lambda world: world.edit(
        "runs/log-metric", run_id=world.ended[1], key="loss", value=0.5, timestamp=world.now, step=1
    ),
    "a new name of a run that has ended": lambda world: world.edit(
        "runs/update", run_id=world.ended[2], run_name="renamed"
    ),
    "a dataset of a run that has ended": lambda world: world.edit(
        "runs/log-inputs", run_id=world.ended[3], datasets=[{"dataset": dataset("late")}]
    ),
    "a tag of a run that has not ended for too long": lambda world: world.edit(
        "runs/set-tag", run_id=world.lingering[1], key="k", value="v"
    ),
    "a run that lies in the past": lambda world: world.run(world.one, 5, ended=4),
    "a run is restored": lambda world: world.edit("runs/restore", run_id=world.trashed[1]),
    "a version is deleted: its run still has it as an output": lambda world: world.edit(
        "model-versions/delete", "DELETE", name="scam", version="1"
    ),
}
"""Each changes what a crawl of everything writes."""


def dataset(name: str) -> dict[str, str]:
    return {"name": name, "digest": "d", "source_type": "local", "source": "{}", "schema": COLUMNS}


@pytest.fixture(params=["2.20.4", "3.17.2"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(request.param, tmp_path_factory.mktemp("edited")) as running:
        yield running


def incremental(server: MlflowServer, folder: Path, gms: Gms) -> Settings:
    return structs.replace(settings_for_gms(server, folder, gms), state=folder / "state", changed_only=INCREMENTAL)


async def right(server: MlflowServer, folder: Path) -> Values:
    """What a crawl of everything gives."""
    async with Gms() as gms:
        await crawl_settings(settings_for_gms(server, folder, gms))
        return dict(gms.aspects)


async def crawled(settings: Settings) -> Report:
    report = await crawl_settings(settings)
    assert (report.failures, report.warnings) == ([], [])
    return report


def differing(gms: Gms, expected: Values) -> set[tuple[str, str]]:
    return {key for key, value in expected.items() if gms.aspects.get(key) != value}


def removed(gms: Gms) -> set[str]:
    return {urn for (urn, name), value in gms.aspects.items() if name == "status" and value["removed"]}


def container(settings: Settings, name: str) -> str:
    return container_urn(Experiment("0", name), settings.mapping)


async def test_what_is_seen_by_the_next_incremental_crawl(server: MlflowServer, tmp_path: Path) -> None:
    world = World(server.url)
    async with Gms() as gms:
        settings = incremental(server, tmp_path, gms)
        assert (await crawled(settings)).since is None
        for what, edit in SEEN.items():
            edit(world)
            expected = await right(server, tmp_path)
            assert differing(gms, expected), f"{what}: nothing to be seen"
            report = await crawled(settings)
            assert report.since is not None, what
            assert not differing(gms, expected), what
            assert report.proposals < len(expected), what
        report = await crawled(settings)
        assert report.proposals == 0
        # No run that has ended was read.
        assert report.read["runs"] < len(world.edit.runs())
        before: set[tuple[str, str]] = set()
        for what, edit in UNSEEN.items():
            edit(world)
            await crawled(settings)
            unseen = differing(gms, await right(server, tmp_path))
            assert unseen > before, f"{what}: seen, against docs/freshness.md"
            before = unseen
        # A crawl that reads everything sees it all, and sends nothing else.
        written = len(gms.history)
        report = await crawled(structs.replace(settings, changed_only=KeepingCurrent()))
        assert report.since is None
        assert {(urn, name) for urn, name, _ in gms.history[written:]} == unseen
        assert not differing(gms, await right(server, tmp_path))
        assert (await crawled(settings)).since is not None
        assert gms.violations == []


async def test_what_was_deleted_is_removed_by_the_next_incremental_crawl(server: MlflowServer, tmp_path: Path) -> None:
    edit = Editor(server.url)
    experiments = [edit("experiments/create", name=f"deleted {each}")["experiment_id"] for each in range(2)]
    old, older, whole = (
        edit("runs/create", experiment_id=experiments[each], start_time=1_600_000_000_000 + each)["run"]["info"][
            "run_id"
        ]
        for each in (0, 0, 1)
    )
    for run in (old, older, whole):
        edit("runs/update", run_id=run, status="FINISHED", end_time=1_600_000_001_000)
    for model in ("vanishing", "staying"):
        edit("registered-models/create", name=model)
        edit("model-versions/create", name=model, source=f"runs:/{older}/model", run_id=older)
    async with Gms() as gms:
        settings = structs.replace(
            incremental(server, tmp_path, gms),
            removal=RemovalSettings(checkpoint=tmp_path / "checkpoint.json"),
        )
        await crawled(settings)
        edit("runs/delete", run_id=old)
        edit("experiments/delete", experiment_id=experiments[1])
        edit("registered-models/delete", "DELETE", name="vanishing")
        gone = {model_group_urn("vanishing", settings.mapping), model_urn("vanishing", "1", settings.mapping)}
        report = await crawled(settings)
        assert report.since is not None
        assert removed(gms) == {run_urn(old), run_urn(whole), container(settings, "deleted 1"), *gone}
        assert (await crawled(settings)).proposals == 0
        edit("experiments/restore", experiment_id=experiments[1])
        await crawled(settings)
        assert removed(gms) == {run_urn(old), *gone}
        # That a run of long ago is restored moves no time.
        edit("runs/restore", run_id=old)
        await crawled(settings)
        assert removed(gms) == {run_urn(old), *gone}
        await crawled(structs.replace(settings, changed_only=KeepingCurrent()))
        assert removed(gms) == gone
        assert not differing(gms, await right(server, tmp_path))


async def test_an_old_run_with_a_new_version_is_looked_up_and_no_other(server: MlflowServer, tmp_path: Path) -> None:
    edit = Editor(server.url)
    async with Gms() as gms:
        settings = incremental(server, tmp_path, gms)
        await crawled(settings)
        experiment = edit("experiments/create", name="of one run")["experiment_id"]
        run = edit("runs/create", experiment_id=experiment, start_time=1_600_000_000_000)["run"]["info"]["run_id"]
        edit("runs/update", run_id=run, status="FINISHED", end_time=1_600_000_001_000)
        await crawled(settings)
        edit("registered-models/create", name="late")
        edit("model-versions/create", name="late", source=f"runs:/{run}/model", run_id=run)
        before = len(gms.history)
        report = await crawled(settings)
        urn = model_urn("late", "1", settings.mapping)
        assert gms.aspects[run_urn(run), "dataProcessInstanceOutput"]["outputEdges"] == [{"destinationUrn": urn}]
        sent = {(each, aspect) for each, aspect, _ in gms.history[before:]}
        assert {aspect for each, aspect in sent if each == run_urn(run)} == {"dataProcessInstanceOutput"}
        assert report.delivered["dataProcessInstance"] == 1


Points = dict[str, list[tuple[float | str, int, int]]]
"""Value, ms after T, and step, by metric."""


def logged(edit: Editor, experiment: str, points: Points) -> str:
    """A run that has ended, with points of metrics."""
    run = edit.run(experiment, T)
    metrics = [
        {"key": key, "value": value, "timestamp": T + after, "step": step}
        for key, some in points.items()
        for value, after, step in some
    ]
    for first in range(0, len(metrics), 1_000):
        edit("runs/log-batch", run_id=run, metrics=metrics[first : first + 1_000])
    return run


async def test_histories_of_metrics_come_with_their_runs(server: MlflowServer, tmp_path: Path) -> None:
    edit = Editor(server.url)
    experiment = edit.experiment("histories")
    long: Points = {"loss": [(1 / (step + 1), 7 * step, step) for step in range(250)], "one": [(0.5, 0, 3)]}
    long["sampled"] = [(float(step), step, step) for step in range(5_200)]
    unstepped: Points = {"acc": [(0.125 * each, each, 0) for each in range(4)], "loss": [(2.0, 1, 1), (4.0, 0, 0)]}
    odd: Points = {"odd": [("NaN", 0, 0), ("Infinity", 1, 1), ("-Infinity", 2, -9), (1.5, 3, 2)]}
    one, two, three = (logged(edit, experiment, points) for points in (long, unstepped, odd))
    only = {"experiment_pattern": {"allow": ["histories$"]}}
    before, proposals = await crawl_to_file(recipe_file(tmp_path, server.url, only), tmp_path)
    latest = values(proposals)
    report, proposals = await crawl_to_file(
        recipe_file(tmp_path, server.url, only | {"metric_history": "all"}), tmp_path
    )
    written = values(proposals)
    assert (report.failures, report.warnings, report.skipped["points of metrics"]) == ([], [], 150 + 4_900)
    assert report.mlflow.requests == before.mlflow.requests + 5 + 1, "one for each of all metrics, and for the sample"
    series: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for run in (one, two, three):
        key = run_urn(run), "mlTrainingRunProperties"
        metrics = written[key]["trainingMetrics"]
        as_before = latest[key]["trainingMetrics"]
        assert metrics[: len(as_before)] == as_before
        for each in metrics[len(as_before) :]:
            point = each["value"], each["description"], each["createdAt"] - T
            series.setdefault((run, each["name"]), []).append(point)
        of_metric = {name: some[-1][0] for (of, name), some in series.items() if of == run}
        assert of_metric.items() <= {each["name"]: each["value"] for each in as_before}.items(), (
            "the last is the latest"
        )
    sampled = series.pop((one, "sampled"))
    assert (len(sampled), sampled[0], sampled[-1]) == (100, ("0.0", "step 0", 0), ("5199.0", "step 5199", 5_199))
    assert sampled == sorted(sampled, key=lambda point: point[2])
    kept = [each * 249 // 99 for each in range(100)]
    assert series == {
        (one, "loss"): [(str(1 / (step + 1)), f"step {step}", 7 * step) for step in kept],
        (two, "acc"): [(str(0.125 * each), "step 0", each) for each in range(4)],
        (two, "loss"): [("4.0", "step 0", 0), ("2.0", "step 1", 1)],
        (three, "odd"): [
            *(("-1.7976931348623157e+308", "step -9", 2), ("nan", "step 0", 0)),
            *(("1.7976931348623157e+308", "step 1", 1), ("1.5", "step 2", 3)),
        ],
    }
    told = written[run_urn(one), "dataProcessInstanceProperties"]["customProperties"]["metric_history"]
    assert told == '{"loss":"100 of 250 points","sampled":"100 of at least 5000 points"}'
    differ = {key for key, value in written.items() if latest[key] != value}
    training = {(run_urn(run), "mlTrainingRunProperties") for run in (one, two, three)}
    assert differ == training | {(run_urn(one), "dataProcessInstanceProperties")}
    async with Gms() as gms:
        selection = Selection(experiment_pattern=AllowDenyPattern(allow=("histories$",)))
        off = structs.replace(incremental(server, tmp_path, gms), selection=selection)
        await crawled(off)
        without = await crawled(off)
        on = structs.replace(off, selection=structs.replace(selection, metric_history="all"))
        first = await crawled(on)
        assert (first.since, not differing(gms, written)) == (None, True)
        again = await crawled(on)
        assert (again.proposals, again.mlflow.requests) == (0, without.mlflow.requests)


async def test_a_server_that_cannot_tell_what_has_ended_is_read_whole(filled_server: Serve, tmp_path: Path) -> None:
    server = filled_server("1.28.0").server
    async with Gms() as gms:
        settings = incremental(server, tmp_path, gms)
        first = await crawl_settings(settings)
        again = await crawl_settings(settings)
        assert [each.code for each in again.warnings if each.code == "changes_untold"] == ["changes_untold"]
        assert again.failures == first.failures
        assert (again.since is None, again.proposals) == (False, 0)
        assert again.read["runs"] == first.read["runs"]
