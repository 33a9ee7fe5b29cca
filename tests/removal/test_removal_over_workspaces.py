"""Stale removal over workspaces: what is missing is looked for where it was; what is not chosen has not vanished."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mapping.workspaces import of_workspace
from crawler.mlflow.entities import Experiment
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.removal.crawls import (
    MAPPING,
    World,
    dataset,
    delete_experiment,
    delete_model,
    kept_checkpoint,
    purge_experiment,
    removed,
    run_with_dataset,
)
from tests.servers.dialect import Dialect, version
from tests.servers.workspaces import Workspaces

A, B = of_workspace(MAPPING, "team-a"), of_workspace(MAPPING, "team-b")


def workspace(number: int) -> Dialect:
    """A workspace whose models and experiments are named as those of all others."""
    dialect = Dialect()
    dialect.models = [{"name": "fraud"}, {"name": "churn"}]
    dialect.versions = [version("fraud", "1", ""), version("churn", "1", "")]
    dialect.experiments = [{"experiment_id": f"{number}{each}", "name": f"e{each}"} for each in (1, 2)]
    dialect.runs = [
        run_with_dataset(f"r{number}{each}", 1_000, f"{number}{each}", "shared", f"of {number}") for each in (1, 2)
    ]
    return dialect


def models(settings: MappingSettings, *names: str) -> set[str]:
    return {urn for name in names for urn in (model_group_urn(name, settings), model_urn(name, "1", settings))}


def experiment(settings: MappingSettings, name: str) -> str:
    return container_urn(Experiment("0", name), settings)


EVERYTHING_OF_B = models(B, "fraud", "churn") | {experiment(B, "e1"), experiment(B, "e2"), dataset("of 3")}


class Servers:
    """MLflow with three workspaces that were crawled once, and DataHub."""

    def __init__(self, mlflow: Workspaces, world: World) -> None:
        self.mlflow = mlflow
        self.a, self.b = mlflow.dialects["team-a"], mlflow.dialects["team-b"]
        self.world = world
        self.gms = world.gms

    async def crawl(self) -> Report:
        return await self.world.crawl()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    mlflow = Workspaces(default=workspace(1), team_a=workspace(2), team_b=workspace(3))
    async with mlflow.serve() as url, Gms() as gms:
        found = Servers(mlflow, World(mlflow.dialects["default"], url, gms, tmp_path))
        assert (await found.crawl()).failures == []
        assert set(kept_checkpoint(gms)) >= EVERYTHING_OF_B
        yield found


def whys(report: Report) -> set[tuple[str, str]]:
    return {(each.entity_type, each.why) for each in report.stale.of(is_removed=False)}


async def test_what_vanished_is_removed_in_its_workspace_only(servers: Servers) -> None:
    delete_experiment(servers.a, "e1")
    delete_model(servers.b, "churn")
    purge_experiment(servers.b, "e2")
    report = await servers.crawl()
    assert (report.warnings, report.failures) == ([], [])
    gone = {experiment(A, "e1"), run_urn("r21"), *models(B, "churn"), experiment(B, "e2")}
    assert removed(servers.gms) == gone
    assert not gone & set(kept_checkpoint(servers.gms))


async def test_one_that_fails_has_nothing_removed_anywhere(servers: Servers) -> None:
    answer = (403, {"error_code": "PERMISSION_DENIED", "message": "no"})
    servers.b.refusals = dict.fromkeys(("registered-models", "model-versions", "experiments", "runs"), answer)
    delete_model(servers.a, "churn")
    report = await servers.crawl()
    assert removed(servers.gms) == set()
    assert ("mlModel", "failure") in whys(report)
    assert set(kept_checkpoint(servers.gms)) >= EVERYTHING_OF_B | models(A, "churn")
    servers.b.refusals = {}
    await servers.crawl()
    assert removed(servers.gms) == models(A, "churn")


async def test_what_is_not_chosen_has_not_vanished(servers: Servers) -> None:
    servers.world.source["workspace_pattern"] = {"deny": ["team-b"]}
    servers.world.stateful["fail_safe_threshold"] = 20
    report = await servers.crawl()
    assert (removed(servers.gms), report.failures, report.warnings) == (set(), [], [])
    assert whys(report) == set(), "datasets are kept without a word"
    assert set(kept_checkpoint(servers.gms)) >= EVERYTHING_OF_B
    delete_model(servers.a, "churn")
    delete_experiment(servers.b, "e1")
    await servers.crawl()
    assert removed(servers.gms) == models(A, "churn")
    del servers.world.source["workspace_pattern"]
    await servers.crawl()
    assert removed(servers.gms) == models(A, "churn") | {experiment(B, "e1"), run_urn("r31")}


async def test_one_that_is_not_chosen_and_cannot_be_read_is_a_failure(servers: Servers) -> None:
    servers.world.source["workspace_pattern"] = {"deny": ["team-b"]}
    servers.b.refusals = {"experiments": (403, {"error_code": "PERMISSION_DENIED", "message": "no"})}
    delete_model(servers.a, "churn")
    report = await servers.crawl()
    assert [(each.code, each.samples[0][:17]) for each in report.failures] == [
        ("unread_experiments", "workspace team-b:")
    ]
    assert removed(servers.gms) == set()


async def test_a_workspace_that_was_deleted_is_removed_with_all_that_it_had(servers: Servers) -> None:
    del servers.mlflow.dialects["team-b"]
    report = await servers.crawl()
    assert report.failures == []
    assert removed(servers.gms) == EVERYTHING_OF_B


async def test_a_workspace_that_an_account_sees_no_more_is_kept(servers: Servers) -> None:
    servers.world.source |= {"username": "ann", "password": "pw"}
    servers.mlflow.unlisted = {"team-b"}
    delete_model(servers.world.dialect, "churn")
    report = await servers.crawl()
    # MLflow says of the model that it is not there, in the workspace where it was; another one has it.
    assert removed(servers.gms) == models(MAPPING, "churn")
    assert whys(report) == {(kind, "rights") for kind in ("mlModelGroup", "mlModel", "container", "dataset")}
    assert set(kept_checkpoint(servers.gms)) >= EVERYTHING_OF_B
    for dialect in servers.mlflow.dialects.values():
        dialect.admins = {"ann"}
    await servers.crawl()
    assert removed(servers.gms) == models(MAPPING, "churn") | EVERYTHING_OF_B


async def test_the_only_one_is_asked_as_if_there_were_no_other(servers: Servers) -> None:
    alone = structs.replace(MAPPING, platform_instance="b")
    servers.world.source |= {"workspace": "team-b", "platform_instance": "b", "username": "ann", "password": "pw"}
    servers.world.stateful["ignore_old_state"] = True
    await servers.crawl()
    servers.world.stateful["ignore_old_state"] = False
    delete_model(servers.b, "churn")
    delete_experiment(servers.b, "e1")
    await servers.crawl()
    assert removed(servers.gms) == models(alone, "churn") | {experiment(alone, "e1"), run_urn("r31")}
