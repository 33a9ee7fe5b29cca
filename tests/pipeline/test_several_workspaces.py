"""Several workspaces in one crawl: what is equal in name stays apart, and one that fails costs only itself."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.check import _lines
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused, Interrupted
from crawler.pipeline.check import check
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.telemetry.events import Event, RowsRead
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.dialect import Dialect, run, version
from tests.servers.workspaces import Workspaces
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, values

FORBIDDEN = (403, {"error_code": "PERMISSION_DENIED", "message": "ann may not read this"})
LISTINGS = ("registered-models", "model-versions", "experiments", "runs")
FAILS_FAST = {"retry_max_times": 0, "patience_sec": 0}
NAMES = ("default", "team-a", "team-b")


def workspace(number: int) -> Dialect:
    """A workspace whose model, experiment and dataset are named as those of all others."""
    dialect = Dialect()
    dialect.models = [{"name": "fraud", "description": f"of {number}"}]
    dialect.versions = [version("fraud", "1", f"r{number}0"), version("fraud", "2", f"r{number}9")]
    dialect.experiments = [{"experiment_id": str(number), "name": "churn"}]
    dataset = {"dataset": {"name": "sales", "digest": "1", "source_type": "local"}}
    dialect.runs = [
        run(f"r{number}{each}", 1_000 + each, str(number)) | {"inputs": {"dataset_inputs": [dataset]}}
        for each in range(10)
    ]
    return dialect


@pytest.fixture
def mlflow() -> Workspaces:
    return Workspaces(default=workspace(1), team_a=workspace(2), team_b=workspace(3))


async def crawled(mlflow: Workspaces, folder: Path, **options: Any) -> tuple[Report, Values]:
    async with mlflow.serve() as url:
        report, proposals = await crawl_to_file(recipe_file(folder, url, FAILS_FAST | options), folder)
    keys = [(each["entityUrn"], each["aspectName"]) for each in proposals]
    assert len(keys) == len(set(keys)), "an aspect was written twice"
    return report, values(proposals)


def names_of(found: Values, entity_type: str) -> set[str]:
    """Names in URNs."""
    start = f"urn:li:{entity_type}:(urn:li:dataPlatform:mlflow,"
    return {urn.removeprefix(start).split(",")[0] for urn, _ in found if urn.startswith(start)}


def failures(report: Report) -> list[tuple[str, list[str]]]:
    return [(each.code, each.samples) for each in report.failures]


async def test_equal_names_stay_apart_and_what_is_shared_is_written_once(mlflow: Workspaces, tmp_path: Path) -> None:
    report, found = await crawled(mlflow, tmp_path)
    assert (report.warnings, report.failures) == ([], [])
    assert report.to_dict()["workspaces"] == {"read": [*NAMES], "left_out": []}
    assert +report.read == {"experiments": 3, "runs": 30, "registered_models": 3, "model_versions": 6}
    assert report.delivered == {
        "tag": 4,
        "mlModelGroup": 3,
        "mlModel": 6,
        "container": 3,
        "dataProcessInstance": 30,
        "dataset": 1,
        "platformResource": 1,
    }
    assert names_of(found, "mlModelGroup") == {"fraud", "team-a/fraud", "team-b/fraud"}
    assert names_of(found, "mlModel") == {
        f"{prefix}fraud_{number}" for prefix in ("", "team-a/", "team-b/") for number in (1, 2)
    }
    model = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,team-b/fraud_1,PROD)"
    properties = found[model, "mlModelProperties"]
    assert properties["groups"] == ["urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,team-b/fraud,PROD)"]
    assert properties["externalUrl"].endswith("/#/models/fraud/versions/1?workspace=team-b")
    (job,) = properties["trainingJobs"]
    (edge,) = found[job, "dataProcessInstanceOutput"]["outputEdges"]
    assert edge["destinationUrn"] == model
    instance = "urn:li:dataPlatformInstance:(urn:li:dataPlatform:mlflow,team-b)"
    container = found[job, "container"]["container"]
    assert {found[urn, "dataPlatformInstance"]["instance"] for urn in (model, job, container)} == {instance}
    assert found[container, "containerProperties"]["name"] == "churn"


@pytest.mark.parametrize("name", NAMES)
async def test_one_by_pattern_has_the_identity_that_it_has_beside_others(
    mlflow: Workspaces, tmp_path: Path, name: str
) -> None:
    _, all_of_them = await crawled(mlflow, tmp_path)
    report, found = await crawled(mlflow, tmp_path, workspace_pattern={"allow": [f"{name}$"]})
    assert report.to_dict()["workspaces"] == {"read": [name], "left_out": [each for each in NAMES if each != name]}
    alone = {key: value for key, value in found.items() if not key[0].startswith("urn:li:dataset:")}
    assert {key: all_of_them[key] | {"externalUrl": ""} for key in alone} == {
        key: value | {"externalUrl": ""} for key, value in alone.items()
    }


async def test_a_prefix_makes_no_platform_instances(mlflow: Workspaces, tmp_path: Path) -> None:
    options = {"workspace_identity": "prefix", "platform_instance": "east"}
    _, found = await crawled(mlflow, tmp_path, **options)
    assert names_of(found, "mlModelGroup") == {"fraud", "east.team-a/fraud", "east.team-b/fraud"}
    assert len({urn for urn, _ in found if urn.startswith("urn:li:container:")}) == 3
    instances = {value.get("instance") for (_, aspect), value in found.items() if aspect == "dataPlatformInstance"}
    assert instances == {None, "urn:li:dataPlatformInstance:(urn:li:dataPlatform:mlflow,east)"}


@pytest.mark.parametrize("is_gone", [False, True])
async def test_one_that_fails_costs_only_itself(mlflow: Workspaces, tmp_path: Path, is_gone: bool) -> None:
    if is_gone:
        del mlflow.dialects["team-a"]
        mlflow.vanished = {"team-a"}
    else:
        mlflow.dialects["team-a"].refusals = dict.fromkeys(LISTINGS, FORBIDDEN)
    report, found = await crawled(mlflow, tmp_path)
    assert names_of(found, "mlModel") == {"fraud_1", "fraud_2", "team-b/fraud_1", "team-b/fraud_2"}
    assert report.read["runs"] == 20
    ((code, (sample,)),) = failures(report)
    assert (code, report.warnings) == ("workspace_unread", [])
    assert sample.startswith("team-a: ")
    assert ("Workspace 'team-a' not found" if is_gone else "ann may not read this") in sample


async def test_what_one_that_fails_has_held_back_is_named(mlflow: Workspaces, tmp_path: Path) -> None:
    registry = Workspaces(default=workspace(1), team_a=workspace(2), team_b=workspace(3))
    mlflow.dialects["team-a"].refusals = dict.fromkeys(LISTINGS, (404, {"error_code": "ENDPOINT_NOT_FOUND"}))
    async with registry.serve() as registry_url:
        report, found = await crawled(mlflow, tmp_path, registry_uri=registry_url)
    assert names_of(found, "mlModelGroup") == {"fraud", "team-a/fraud", "team-b/fraud"}
    assert names_of(found, "mlModel") == {"fraud_1", "fraud_2", "team-b/fraud_1", "team-b/fraud_2"}
    told = dict(failures(report))
    assert told.keys() == {"workspace_unread", "not_read"}
    assert {sample[:17] for sample in told["not_read"]} == {"workspace team-a:"}
    assert len(told["not_read"]) == 2
    group = "urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,team-b/fraud,PROD)"
    assert found[group, "mlModelGroupProperties"]["description"] == "of 3"


async def test_where_all_fail_the_crawl_fails(mlflow: Workspaces, tmp_path: Path) -> None:
    for dialect in mlflow.dialects.values():
        dialect.refusals = dict.fromkeys(LISTINGS, FORBIDDEN)
    with pytest.raises(CredentialsRefused, match="ann may not read this"):
        await crawled(mlflow, tmp_path)


async def test_a_listing_that_fails_names_its_workspace(mlflow: Workspaces, tmp_path: Path) -> None:
    mlflow.dialects["team-a"].refusals = {"model-versions": FORBIDDEN}
    mlflow.dialects["team-b"].refused_experiments = {"3"}
    report, found = await crawled(mlflow, tmp_path)
    assert names_of(found, "mlModel") == {"fraud_1", "fraud_2", "team-b/fraud_1", "team-b/fraud_2"}
    told = dict(failures(report))
    assert told.keys() == {"unread_model_versions", "experiment", "runs_of_versions", "unread_logged_models"}
    assert told["unread_model_versions"][0].startswith("workspace team-a: ")
    assert told["experiment"][0].startswith("workspace team-b: 3 churn: ")


async def test_empty_ones_are_nothing_to_warn_of_unless_all_are(mlflow: Workspaces, tmp_path: Path) -> None:
    for name in ("default", "team-b"):
        mlflow.dialects[name].models = mlflow.dialects[name].versions = mlflow.dialects[name].experiments = []
    report, _ = await crawled(mlflow, tmp_path)
    assert (report.warnings, report.failures) == ([], [])
    report, _ = await crawled(mlflow, tmp_path, workspace_pattern={"deny": ["team-a"]})
    assert [each.code for each in report.warnings] == ["nothing_listed"]


@pytest.mark.parametrize(("server_info", "listing", "fails"), [(403, 200, True), (404, 200, False), (200, 403, True)])
async def test_a_server_that_does_not_tell_its_workspaces(
    mlflow: Workspaces, tmp_path: Path, server_info: int, listing: int, fails: bool
) -> None:
    mlflow.server_info, mlflow.listing = server_info, listing
    report, found = await crawled(mlflow, tmp_path)
    assert names_of(found, "mlModelGroup") == {"fraud"}
    assert [code for code, _ in failures(report)] == (["workspaces_unlisted"] if fails else [])
    report, found = await crawled(mlflow, tmp_path, workspace="default")
    assert (report.failures, names_of(found, "mlModelGroup")) == ([], {"fraud"})


async def test_a_registry_without_workspaces_is_read_once(mlflow: Workspaces, tmp_path: Path) -> None:
    registry = Dialect()
    registry.forbidden_headers = {"X-MLFLOW-WORKSPACE"}
    registry.versions = [version("fraud", "1", "r10"), version("it's", "1", "")]
    async with registry.serve() as registry_url:
        report, found = await crawled(mlflow, tmp_path, registry_uri=registry_url)
    assert report.failures == []
    assert names_of(found, "mlModel") == {"fraud_1", "it's_1"}
    assert report.read["runs"] == 30


@pytest.mark.parametrize("release", ["2.20.4", "3.17.2", None])
async def test_a_registry_with_workspaces_beside_a_server_without_is_told(
    mlflow: Workspaces, tmp_path: Path, release: str | None
) -> None:
    tracking = Dialect()
    tracking.release = release
    tracking.runs.append(run("r10", 1_100))
    async with mlflow.serve() as registry_url, tracking.serve() as url:
        options = FAILS_FAST | {"registry_uri": registry_url}
        report, proposals = await crawl_to_file(recipe_file(tmp_path, url, options), tmp_path)
    assert names_of(values(proposals), "mlModelGroup") == {"fraud"}
    (told,) = [each for each in report.warnings if each.code == "registry_workspaces"]
    assert told.samples == [registry_url]


async def test_a_check_counts_all_that_would_be_read(mlflow: Workspaces, tmp_path: Path) -> None:
    mlflow.dialects["team-b"].refusals = {"model-versions": FORBIDDEN}
    async with mlflow.serve() as url:
        options = FAILS_FAST | {"workspace_pattern": {"deny": ["team-a"]}}
        result = await check(load(recipe_file(tmp_path, url, options), {}, home=tmp_path))
    found = result.mlflow
    assert (found.registered_models, found.model_versions, found.experiments, found.more) == (2, 2, 2, [])
    assert (found.workspaces.read, found.workspaces.left_out) == (["default", "team-b"], ["team-a"])  # type: ignore[union-attr]
    assert [*_lines(result)][1:8] == [
        "  version 3.17.2",
        "  workspaces: default, team-b",
        "  left out: team-a",
        "  2 registered models, 2 model versions",
        "  0 prompts, 0 prompt versions",
        "  2 experiments, deleted ones included",
        "  0 logged models",
    ]
    (failure,) = result.failures
    assert (failure.code, failure.samples[0][:17]) == ("unread_model_versions", "workspace team-b:")


async def test_a_check_counts_a_registry_without_workspaces_once(mlflow: Workspaces, tmp_path: Path) -> None:
    registry = Dialect()
    registry.forbidden_headers = {"X-MLFLOW-WORKSPACE"}
    async with registry.serve() as registry_url, mlflow.serve() as url:
        options = FAILS_FAST | {"registry_uri": registry_url}
        found = (await check(load(recipe_file(tmp_path, url, options), {}, home=tmp_path))).mlflow
    assert (found.registered_models, found.model_versions, found.experiments) == (2, 3, 3)


async def test_a_check_goes_on_after_a_workspace_that_fails(mlflow: Workspaces, tmp_path: Path) -> None:
    mlflow.dialects["team-a"].refusals = dict.fromkeys(LISTINGS, FORBIDDEN)
    async with mlflow.serve() as url:
        result = await check(load(recipe_file(tmp_path, url, FAILS_FAST), {}, home=tmp_path))
    assert (result.mlflow.error, result.mlflow.registered_models, result.mlflow.experiments) == (None, 2, 2)
    assert [(each.code, each.samples[0][:7]) for each in result.failures] == [("workspace_unread", "team-a:")]


def into(gms: Gms, url: str, folder: Path, **options: Any) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
    recipe = recipe_file(folder, url, FAILS_FAST | options, sink)
    return load(recipe, {}, Flags(state=folder / "state.db", mlflow_concurrency=1, page_size=3), home=folder)


async def crawl_until(settings: Settings, runs: int) -> Report:
    """A crawl that is stopped once it has read so many runs."""
    stop, report = asyncio.Event(), Report(settings.run_id)
    left = iter(range(0, runs, 3))

    def stop_then(event: Event) -> None:
        if isinstance(event, RowsRead) and event.resource == "runs" and next(left, None) is None:
            stop.set()

    with pytest.raises(Interrupted):
        await crawl(settings, report=report, listeners=[stop_then], stop=stop)
    return report


def written(gms: Gms) -> Values:
    """What DataHub has, but for what tells when it was written."""
    return {key: value for key, value in gms.aspects.items() if not key[0].startswith("urn:li:dataHub")}


@pytest.mark.parametrize("runs", [3, 15])
async def test_a_crawl_goes_on_in_the_workspace_where_it_ended(mlflow: Workspaces, tmp_path: Path, runs: int) -> None:
    async with mlflow.serve() as url, Gms() as whole, Gms() as gms:
        expected = await crawl_settings(into(whole, url, tmp_path))
        interrupted = await crawl_until(into(gms, url, tmp_path), runs)
        assert interrupted.read["runs"] < 30
        asked_before = sum(dialect.seen["runs"] for dialect in mlflow.dialects.values())
        report = await crawl_settings(into(gms, url, tmp_path))
        asked = sum(dialect.seen["runs"] for dialect in mlflow.dialects.values()) - asked_before
    assert written(gms) == written(whole)
    assert (report.read, report.failures, report.warnings) == (expected.read, [], [])
    assert report.run_id == interrupted.run_id
    assert asked <= (30 - runs) // 3 + 8, "what is done is not read again"


async def test_what_has_not_changed_is_neither_sent_nor_read_again(mlflow: Workspaces, tmp_path: Path) -> None:
    async with mlflow.serve() as url, Gms() as gms:
        settings = into(gms, url, tmp_path, incremental={"enabled": True})
        first = await crawl_settings(settings)
        again = await crawl_settings(into(gms, url, tmp_path, incremental={"enabled": True}))
    assert (first.read["runs"], again.read["runs"]) == (30, 0)
    assert again.delivered.total() == 0
    assert again.unchanged["mlModelGroup"] == 3


async def test_one_that_failed_is_read_by_the_next_incremental_crawl(mlflow: Workspaces, tmp_path: Path) -> None:
    mlflow.dialects["team-b"].refusals = dict.fromkeys(LISTINGS, FORBIDDEN)
    async with mlflow.serve() as url, Gms() as gms:
        first = await crawl_settings(into(gms, url, tmp_path, incremental={"enabled": True}))
        mlflow.dialects["team-b"].refusals = {}
        again = await crawl_settings(into(gms, url, tmp_path, incremental={"enabled": True}))
        assert [each.code for each in first.failures] == ["workspace_unread"]
        assert again.failures == []
        assert sum(urn.startswith("urn:li:dataProcessInstance:") for urn, name in gms.aspects if name == "status") == 30


async def test_no_workspace_that_matches(mlflow: Workspaces, tmp_path: Path) -> None:
    with pytest.raises(
        Exception, match=r"no workspace that workspace_pattern allows.* It has: default, team-a, team-b"
    ):
        await crawled(mlflow, tmp_path, workspace_pattern={"allow": ["other"]})
