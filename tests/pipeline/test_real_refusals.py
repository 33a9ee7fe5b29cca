"""What real MLflow servers answer to those who may not read: told in their words, not written by another way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import ServerError
from tests.servers.editor import Editor
from tests.servers.guarded import ADMIN, PASSWORD, guarded_server
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_to_file, recipe_file

pytestmark = pytest.mark.slow
OF_ANN = "of-ann-1234567"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server where ann may read one of two models, and no experiment; it lists versions to everyone."""
    folder = tmp_path_factory.mktemp("guarded")
    with guarded_server(folder, "NO_PERMISSIONS") as server:
        edit = Editor(server.url, ADMIN, PASSWORD)
        for user in ("ann", "ben"):
            edit("users/create", username=user, password=OF_ANN)
        for name in ("open", "secret"):
            edit("registered-models/create", name=name)
            edit("model-versions/create", name=name, source="s3://bucket/model")
        edit("registered-models/permissions/create", name="open", username="ann", permission="READ")
        yield server


async def crawled(server: MlflowServer, folder: Path, user: str) -> tuple[Any, list[dict[str, Any]]]:
    login = {"username": user, "password": OF_ANN, "retry_max_times": 0}
    return await crawl_to_file(recipe_file(folder, server.url, login), folder)


async def test_only_what_the_account_may_read_is_written(guarded: MlflowServer, tmp_path: Path) -> None:
    report, proposals = await crawled(guarded, tmp_path, "ann")
    assert report.failures == []
    assert {warning.code: warning.samples for warning in report.warnings} == {"hidden_model_versions": ["secret: 1"]}
    models = {each["entityUrn"] for each in proposals if each["entityType"] in {"mlModel", "mlModelGroup"}}
    assert len(models) == 2
    assert not any("secret" in json.dumps(each) for each in proposals)


async def test_an_account_without_any_right_is_warned_of(guarded: MlflowServer, tmp_path: Path) -> None:
    report, proposals = await crawled(guarded, tmp_path, "ben")
    assert {warning.code for warning in report.warnings} == {"nothing_listed", "hidden_model_versions"}
    assert not any(each["entityType"] in {"mlModel", "mlModelGroup", "container"} for each in proposals)


async def test_a_host_name_that_mlflow_does_not_know(tmp_path: Path) -> None:
    options = ["--allowed-hosts", "mlflow.example.com"]
    with mlflow_server("3.18.0", tmp_path / "server", options=options) as server, pytest.raises(ServerError) as caught:
        await crawl_to_file(recipe_file(tmp_path, server.url, {"retry_max_times": 0}), tmp_path)
    assert "Invalid Host header - possible DNS rebinding attack detected" in caught.value.message
    assert "Perhaps" in caught.value.hint
    assert caught.value.exit_code == 3
