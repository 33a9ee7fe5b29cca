"""A real MLflow with basic auth: a right that was taken away is told from a deletion where that can be done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.config.load import load
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.removal.crawls import experiment, group, kept_checkpoint, removed
from tests.servers.editor import Editor
from tests.servers.guarded import ADMIN, PASSWORD, guarded_server
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings, recipe_file

pytestmark = pytest.mark.slow
OF_ANN = "of-ann-1234567"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server where everyone may read what is not taken away from them."""
    folder = tmp_path_factory.mktemp("rights")
    with guarded_server(folder) as server:
        edit = Editor(server.url, ADMIN, PASSWORD)
        edit("users/create", username="ann", password=OF_ANN)
        yield server


async def crawl(server: MlflowServer, gms: Gms, folder: Path, user: str, password: str, **stateful: Any) -> Report:
    options = {"username": user, "password": password}
    stateful = {"enabled": True, "fail_safe_threshold": 100, **stateful}
    sink = {"type": "datahub-rest", "config": {"server": gms.url}}
    path = recipe_file(folder, server.url, options | {"stateful_ingestion": stateful}, sink, "tests")
    return await crawl_settings(load(path, {}, home=folder))


async def test_what_was_deleted_is_removed_and_what_was_hidden_is_kept(guarded: MlflowServer, tmp_path: Path) -> None:
    edit = Editor(guarded.url, ADMIN, PASSWORD)
    experiments = {name: edit.experiment(name) for name in ("seen", "deleted", "hidden")}
    for name in experiments:
        edit.model(name, 1)
    async with Gms() as gms:
        assert (await crawl(guarded, gms, tmp_path, "ann", OF_ANN)).failures == []
        edit("experiments/delete", experiment_id=experiments["deleted"])
        edit("registered-models/delete", "DELETE", name="deleted")
        none = {"username": "ann", "permission": "NO_PERMISSIONS"}
        edit("experiments/permissions/create", experiment_id=experiments["hidden"], **none)
        edit("registered-models/permissions/create", name="hidden", **none)

        report = await crawl(guarded, gms, tmp_path, "ann", OF_ANN)
        assert report.failures == []
        gone = {urn for urn in removed(gms) if "mlModel:" not in urn}
        assert gone == {experiment("deleted"), group("deleted")}
        assert {experiment("hidden"), group("hidden")} <= set(kept_checkpoint(gms))
        assert "removal_rights" in {each.code for each in report.warnings}

        report = await crawl(guarded, gms, tmp_path, ADMIN, PASSWORD)
        assert (report.failures, "removal_rights" in {each.code for each in report.warnings}) == ([], False)
        assert not {experiment("hidden"), group("hidden")} & removed(gms)
        edit("registered-models/delete", "DELETE", name="hidden")
        await crawl(guarded, gms, tmp_path, ADMIN, PASSWORD)
        assert group("hidden") in removed(gms), "an admin sees everything, so nothing has to be confirmed"
