"""Logged models of a real MLflow 3.17.2, filled through its own client: what is written, and while others write."""

import json
import sqlite3
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from msgspec import structs

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.http.exchange import Request
from crawler.mapping.experiments import container_urn
from crawler.mapping.logged_models import logged_model_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import Experiment
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent, Settings
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.events import Event, RowsRead
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.editor import Editor
from tests.servers.filled import LOGGED_MODELS, FilledServer, filled_server
from tests.servers.mlflow_server import MlflowServer
from tests.simulation.tracking_server import TrackingServer
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, settings_for_gms, values

pytestmark = pytest.mark.slow
PLAIN = MappingSettings(ui_url="http://unused")
DAY = 86_400_000
LARGEST = "1.7976931348623157e+308"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledServer]:
    with filled_server("3.17.2", tmp_path_factory.mktemp("logged"), LOGGED_MODELS) as running:
        yield running


@pytest.fixture(scope="module")
def server(filled: FilledServer) -> MlflowServer:
    return filled.server


@pytest.fixture(scope="module")
def made(filled: FilledServer) -> dict[str, Any]:
    """The ids of what is there."""
    return filled.reported


async def crawled(server: MlflowServer, folder: Path, **options: Any) -> tuple[Report, Values]:
    report, proposals = await crawl_to_file(recipe_file(folder, server.url, options), folder)
    written = values(proposals)
    assert (report.failures, len(written)) == ([], len(proposals)), "an aspect was written twice"
    return report, written


def logged_models(written: Values) -> set[str]:
    subtype = {"typeNames": ["Logged Model"]}
    return {urn for (urn, name), value in written.items() if (name, value) == ("subTypes", subtype)}


def logged(model_id: str) -> str:
    return logged_model_urn(model_id, PLAIN)


async def test_a_logged_model_with_its_runs_datasets_and_versions(
    server: MlflowServer, made: dict[str, Any], tmp_path: Path
) -> None:
    report, written = await crawled(server, tmp_path)
    listed = [made["model"], made["of_deleted"], *made["many"]]
    assert logged_models(written) == set(map(logged, listed)), "those of deleted runs, not of deleted experiments"
    assert report.read["logged_models"] == len(listed)
    urn = logged(made["model"])
    properties = written[urn, "mlModelProperties"]
    custom = properties["customProperties"]
    assert json.loads(custom["registered_versions"]) == [{"name": "fraud", "version": "1"}]
    assert (custom["model_id"], custom["status"], custom["model_type"], custom["team"]) == (
        *(made["model"], "READY", "agent", "ml"),
    )
    assert (properties["name"], properties["hyperParams"]) == ("churn", [{"name": "depth", "value": "3"}])
    assert {each["name"]: each["value"] for each in properties["trainingMetrics"]} == {
        "auc": "0.75",
        "loss": "nan",
        "zero": "0.0",
        "worst": LARGEST,
        "f1": "0.25",
        "drift": "nan",
    }, "the latest values; NaN as its run has it, also of an experiment that is another one's"
    assert properties["trainingJobs"] == [run_urn(made["trained"])]
    assert properties["downstreamJobs"] == [run_urn(made["evaluated"])]
    assert properties["externalUrl"] == f"{server.url}/#/experiments/{made['training']}/models/{made['model']}"
    assert written[urn, "container"]["container"] == container_urn(Experiment("", "training"), PLAIN)
    (dataset,) = written[urn, "mlModelEvaluationData"]["evaluationData"]
    assert (dataset["dataset"], "status") in written, "the dataset that a run names, not another one"
    version = written[model_urn("fraud", "1", PLAIN), "mlModelProperties"]
    assert version["customProperties"]["logged_model_id"] == made["model"]
    (_, of_version), (_, of_model) = (
        next(iter(edge.items()))
        for edge in written[run_urn(made["trained"]), "dataProcessInstanceOutput"]["outputEdges"]
    )
    assert (of_version, of_model) == (model_urn("fraud", "1", PLAIN), urn)
    of_deleted = written[logged(made["of_deleted"]), "mlModelProperties"]
    assert of_deleted["trainingJobs"] == [run_urn(made["deleted"])]


async def test_left_out_by_choice(server: MlflowServer, made: dict[str, Any], tmp_path: Path) -> None:
    report, written = await crawled(server, tmp_path, include={"logged_models": False})
    assert (logged_models(written), report.read["logged_models"]) == (set(), 0)
    outputs = written[run_urn(made["trained"]), "dataProcessInstanceOutput"]["outputEdges"]
    assert [edge["destinationUrn"] for edge in outputs] == [model_urn("fraud", "1", PLAIN)]


class Deleter:
    """Deletes a model that was read, and one that was not, after each page of them."""

    def __init__(self, server: MlflowServer, model_ids: list[str]) -> None:
        self._edit = Editor(server.url)
        self.left = model_ids
        self.deleted: list[str] = []
        self.pages = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RowsRead) and event.resource == "logged_models":
            self.pages += 1
            for place in (0, -1):
                if len(self.left) > 4:
                    self.deleted.append(self.left.pop(place))
                    self._edit(f"logged-models/{self.deleted[-1]}", "DELETE")


@pytest.mark.parametrize("ties", [False, True])
async def test_while_others_delete_between_pages(
    ties: bool, server: MlflowServer, made: dict[str, Any], tmp_path: Path
) -> None:
    """With equal creation times pages follow by offset, in tokens that MLflow compares with the query."""
    experiment = Editor(server.url).experiment(f"writers {ties}")
    ids = sorted(
        Editor(server.url)("logged-models", experiment_id=experiment, name="x")["model"]["info"]["model_id"]
        for _ in range(40)
    )
    with sqlite3.connect(server.database) as database:
        for number, model_id in enumerate(ids):
            created = 5_000 if ties else 5_000 + number // 3
            update = "UPDATE logged_models SET creation_timestamp_ms = ? WHERE model_id = ?"
            database.execute(update, (created, model_id))
    deleter = Deleter(server, list(ids))
    output = tmp_path / "proposals.json"
    settings = load(recipe_file(tmp_path, server.url, {"page_size": 4}), {}, Flags(output=output), home=tmp_path)
    report = Report(settings.run_id)
    await crawl(settings, listeners=[deleter], report=report)
    assert report.failures == []
    assert deleter.pages > 6
    written = logged_models(values(json.loads(output.read_bytes())))
    expected = {made["model"], made["of_deleted"], *made["many"], *deleter.left}
    assert set(map(logged, expected)) - written == set()
    for model_id in deleter.left:
        Editor(server.url)(f"logged-models/{model_id}", "DELETE")


async def test_an_incremental_crawl_reads_those_that_were_finalized(
    server: MlflowServer, made: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever else is logged to one moves no time of it: docs/freshness.md."""
    long_ago = time.time_ns() // 1_000_000 - 10 * DAY
    with sqlite3.connect(server.database) as database:
        database.execute(
            "UPDATE logged_models SET creation_timestamp_ms = ?, last_updated_timestamp_ms = ?", [long_ago] * 2
        )
    edit = Editor(server.url)
    async with Gms() as gms:

        async def again(settings: Settings) -> Report:
            report = await crawl_settings(settings)
            assert (report.failures, gms.violations) == ([], [])
            return report

        settings = settings_for_gms(server, tmp_path, gms)
        incremental = KeepingCurrent(incremental=IncrementalSettings())
        settings = structs.replace(settings, state=tmp_path / "crawl.state", changed_only=incremental)
        everything = len([made["model"], made["of_deleted"], *made["many"]])
        assert (await again(settings)).read["logged_models"] == everything
        report = await again(settings)
        assert (report.read["logged_models"], report.delivered["mlModel"]) == (0, 0)
        finalized, tagged = made["many"][:2]
        edit(f"logged-models/{finalized}", "PATCH", model_id=finalized, status="LOGGED_MODEL_READY")
        edit(f"logged-models/{tagged}/tags", "PATCH", model_id=tagged, tags=[{"key": "a", "value": "b"}])
        report = await again(settings)
        assert (report.read["logged_models"], report.delivered["mlModel"]) == (1, 1)
        assert gms.aspects[logged(finalized), "mlModelProperties"]["customProperties"]["status"] == "READY"
        edit("experiments/update", experiment_id=made["training"], new_name="renamed")
        report = await again(settings)
        assert report.read["logged_models"] == 3, "all of an experiment that looks otherwise, and the one of before"
        renamed = container_urn(Experiment("", "renamed"), PLAIN)
        assert gms.aspects[logged(made["model"]), "container"]["container"] == renamed
        edit("experiments/update", experiment_id=made["training"], new_name="training")


OLDEST_FIRST = [{"field_name": "creation_timestamp", "ascending": True}, {"field_name": "model_id", "ascending": True}]
NEWEST_FIRST = [{"field_name": "creation_timestamp", "ascending": False}]


class Both:
    """A server and the simulation's model of it, with the same logged models."""

    def __init__(self, server: MlflowServer) -> None:
        self._url = f"{server.url}/api/2.0/mlflow/logged-models/search"
        self._simulated = TrackingServer(lambda: 0.0)
        self._simulated.has_logged_models = True
        edit = Editor(server.url)
        experiments = edit("experiments/search", max_results=1_000, view_type="ALL")["experiments"]
        self.experiment_ids = [each["experiment_id"] for each in experiments]
        for model in edit("logged-models/search", experiment_ids=self.experiment_ids, max_results=1_000)["models"]:
            self._simulated.put_logged_model(model)
        self.rows = 0

    def __call__(self, **query: Any) -> tuple[int, str]:
        """Returns the status and the token, once both have given the same page."""
        body = json.dumps(query).encode()
        try:
            with urlopen(HttpRequest(self._url, body, {"Content-Type": "application/json"})) as response:
                status, page = response.status, json.loads(response.read())
        except HTTPError as refused:
            status, page = refused.code, {}
        modelled = self._simulated.answer(Request(method="POST", url=self._url, body=body))
        expected = json.loads(modelled.body) if modelled.status == 200 else {}
        assert (status, page.get("models")) == (modelled.status, expected.get("models")), query
        token = page.get("next_page_token", "")
        assert held(token) == held(expected.get("next_page_token", "")), query
        self.rows += len(page.get("models", []))
        return status, token


def held(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64decode(token) or "{}")
    return found


def test_the_simulation_lists_as_a_real_server_does(server: MlflowServer, made: dict[str, Any]) -> None:
    """Filters, orders, and tokens, which are of one query and may be forged: what `tests/simulation` relies on."""
    with sqlite3.connect(server.database) as database:
        for number, (model_id,) in enumerate([*database.execute("SELECT model_id FROM logged_models")]):
            update = (
                "UPDATE logged_models SET creation_timestamp_ms = ?, last_updated_timestamp_ms = ? WHERE model_id = ?"
            )
            database.execute(update, (5_000 + number // 4, 6_000 + number // 3, model_id))
    both = Both(server)
    ids = both.experiment_ids
    conditions = ("creation_timestamp >= 5001 AND creation_timestamp < 5003", "last_updated_timestamp >= 6002")
    orders = (OLDEST_FIRST, NEWEST_FIRST, [{"field_name": "last_updated_timestamp"}])
    more: list[dict[str, Any]] = [{"filter": each} for each in conditions] + [{"order_by": each} for each in orders]
    more += [{"filter": each, "order_by": OLDEST_FIRST} for each in conditions] + [{}]
    for query in more:
        for some in (ids, ids[:2], ids[1:], ["999999"], []):
            _, token = both(experiment_ids=some, max_results=3, **query)
            while token:
                _, token = both(experiment_ids=some, max_results=6, page_token=token, **query)
    assert both.rows > 100
    query = {"experiment_ids": ids, "max_results": 3, "order_by": OLDEST_FIRST}
    _, token = both(**query)
    for offset in (0, 1, 10_000):
        forged = b64encode(json.dumps({**held(token), "offset": offset}).encode()).decode()
        assert both(**query, page_token=forged)[0] == 200
    others = ({"experiment_ids": ids[:1]}, {"order_by": NEWEST_FIRST}, {"filter": conditions[0]})
    assert [both(**{**query, "page_token": token, **other}) for other in others] == [(400, "")] * 3
