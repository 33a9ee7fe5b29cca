"""Crawls of real MLflow servers of four versions, beside what each version's own client reports."""

import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.runs import run_urn
from crawler.mapping.users import user_urn
from crawler.mlflow.entities import Experiment
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.environments import VERSIONS
from tests.servers.filled import FilledServer
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import Values, crawl_settings, crawl_to_file, recipe_file, values
from tests.support.judge import flapping, judge_contiguous

pytestmark = pytest.mark.slow

Serve = Callable[[str], FilledServer]
ByDefault = Callable[[FilledServer, Path], Awaitable[tuple[Report, Values]]]
PLAIN = MappingSettings(ui_url="http://unused")
RESULTS = {"FINISHED": "SUCCESS", "FAILED": "FAILURE"}
NOWHERE = "0" * 32
WITH_RUNS = [version for version in VERSIONS if version != "1.27.0"]


def by_name(pairs: list[dict[str, str]] | None) -> dict[str, str] | None:
    return None if pairs is None else {pair["name"]: pair["value"] for pair in pairs}


async def crawled(filled: FilledServer, folder: Path, **flags: object) -> tuple[Report, Values]:
    report, proposals = await crawl_to_file(recipe_file(folder, filled.server.url), folder, flags)
    assert flapping(proposals) == []
    judge_contiguous(proposals)
    written = values(proposals)
    assert len(written) == len(proposals) == report.proposals, "an aspect was written twice"
    return report, written


@pytest.fixture(scope="module")
def by_default() -> ByDefault:
    """A crawl with default options: what is read is the same each time, so each server is crawled once."""
    done: dict[str, tuple[Report, Values]] = {}

    async def crawl_once(filled: FilledServer, folder: Path) -> tuple[Report, Values]:
        url = filled.server.url
        if url not in done:
            done[url] = await crawled(filled, folder)
        return done[url]

    return crawl_once


@pytest.mark.parametrize("version", WITH_RUNS)
async def test_runs_are_what_the_client_says(version: str, filled_server: Serve, tmp_path: Path) -> None:
    filled = filled_server(version)
    report, written = await crawled(filled, tmp_path, page_size=7)
    runs = filled.reported["runs"]
    names = {experiment["id"]: experiment["name"] for experiment in filled.reported["experiments"]}
    assert report.failures == []
    assert report.read["runs"] == len(runs) == len({run["id"] for run in runs})
    assert {urn for urn, _ in written if ":dataProcessInstance:" in urn} == {run_urn(run["id"]) for run in runs}
    outputs = defaultdict(set)
    for each in filled.reported["versions"]:
        outputs[each["run"]].add(model_urn(each["name"], each["version"], PLAIN))
    for run in runs:
        _compare_run(run, names[run["experiment"]], written)
        edges = written.get((run_urn(run["id"]), "dataProcessInstanceOutput"), {}).get("outputEdges", [])
        assert len(edges) == len(outputs[run["id"]])
        assert {edge["destinationUrn"] for edge in edges} == outputs[run["id"]]
    assert max(len(outputs[run["id"]]) for run in runs) > 1


def _compare_run(run: dict[str, Any], experiment: str, written: Values) -> None:
    urn = run_urn(run["id"])
    properties = written[urn, "dataProcessInstanceProperties"]
    training = written[urn, "mlTrainingRunProperties"]
    # MLflow 1.28 has it in the tag only, and its client says nothing of it.
    in_tag = run["tags"].get("mlflow.runName") or run["id"]
    assert properties["name"] == (in_tag if run["name"] == run["id"] else run["name"])
    assert properties["customProperties"] == run["tags"]
    assert properties["created"]["actor"] == user_urn(run["user"] or "mlflow")
    assert by_name(training["hyperParams"]) == run["params"]
    assert by_name(training["trainingMetrics"]) == run["metrics"]
    assert training["outputUrls"] == [run["artifacts"]]
    assert written[urn, "container"]["container"] == container_urn(Experiment("", experiment), PLAIN)
    parent = run["tags"].get("mlflow.parentRunId")
    assert written.get((urn, "dataProcessInstanceRelationships"), {}).get("parentInstance") == (
        run_urn(parent) if parent else None
    )
    edges = written.get((urn, "dataProcessInstanceInput"), {}).get("inputEdges", [])
    assert sorted(edge["destinationUrn"].split(",")[1] for edge in edges) == sorted(name for name, _ in run["datasets"])
    event = written.get((urn, "dataProcessInstanceRunEvent"))
    assert (event is not None) == (bool(run["end"]) and run["status"] not in {"RUNNING", "SCHEDULED"})
    if event is not None:
        assert event["result"]["type"] == RESULTS.get(run["status"], "SKIPPED")
        assert event["timestampMillis"] == run["end"]
        assert event["durationMillis"] == run["end"] - run["start"]


@pytest.mark.parametrize("version", WITH_RUNS)
async def test_experiments_are_what_the_client_says(
    version: str, filled_server: Serve, by_default: ByDefault, tmp_path: Path
) -> None:
    filled = filled_server(version)
    _, written = await by_default(filled, tmp_path)
    experiments = filled.reported["experiments"]
    assert {urn for urn, _ in written if ":container:" in urn} == {
        container_urn(Experiment("", experiment["name"]), PLAIN) for experiment in experiments
    }
    for experiment in experiments:
        value = written[container_urn(Experiment("", experiment["name"]), PLAIN), "containerProperties"]
        tags = dict(experiment["tags"])
        assert value.get("description") == tags.pop("mlflow.note.content", None)
        assert tags.items() <= value["customProperties"].items()


@pytest.mark.parametrize("version", VERSIONS)
async def test_models_and_versions_are_what_the_client_says(
    version: str, filled_server: Serve, by_default: ByDefault, tmp_path: Path
) -> None:
    filled = filled_server(version)
    report, written = await by_default(filled, tmp_path)
    models, versions = filled.reported["models"], filled.reported["versions"]
    assert (report.read["registered_models"], report.read["model_versions"]) == (len(models), len(versions))
    aliases: dict[tuple[str, str], set[str]] = {}
    for model in models:
        value = written[model_group_urn(model["name"], PLAIN), "mlModelGroupProperties"]
        assert (value["customProperties"], value["description"]) == (model["tags"], model["description"])
        assert value["created"]["time"] == model["created"]
        for alias, number in model["aliases"].items():
            aliases.setdefault((model["name"], str(number)), set()).add(alias)
    for each in versions:
        urn = model_urn(each["name"], each["version"], PLAIN)
        value = written[urn, "mlModelProperties"]
        assert value["customProperties"] == each["tags"]
        assert value["description"] == each["description"]
        assert value["groups"] == [model_group_urn(each["name"], PLAIN)]
        assert value["trainingJobs"] == ([] if each["params"] is None else [run_urn(each["run"])])
        assert by_name(value.get("hyperParams")) == each["params"]
        assert by_name(value.get("trainingMetrics")) == each["metrics"]
        assert written[urn, "globalTags"]["tags"] == [{"tag": f"urn:li:tag:mlflow_{each['stage'].lower()}"}]
        known = {alias["versionTag"] for alias in written[urn, "versionProperties"]["aliases"]}
        assert known == aliases.get((each["name"], each["version"]), set())
    assert [finding.samples for finding in report.warnings if finding.code == "lost_runs"] == [[f"run {NOWHERE}"]]
    if version not in ("1.27.0", "1.28.0"):
        assert len(aliases) == 2 * (len(models) - 1)


@pytest.mark.parametrize("version", ["2.20.4", "3.18.0"])
async def test_datasets_have_a_schema_that_the_client_knows(
    version: str, filled_server: Serve, by_default: ByDefault, tmp_path: Path
) -> None:
    filled = filled_server(version)
    _, written = await by_default(filled, tmp_path)
    schemas = defaultdict(set)
    for name, schema in (dataset for run in filled.reported["runs"] for dataset in run["datasets"]):
        schemas[f"urn:li:dataset:(urn:li:dataPlatform:mlflow,{name},PROD)"].add(schema)
    assert {urn for urn, aspect in written if ":dataset:" in urn and aspect == "status"} >= set(schemas)
    assert max(map(len, schemas.values())) == 2
    for urn, known in schemas.items():
        columns = [json.loads(schema or "{}").get("mlflow_colspec") for schema in known]
        fields = written.get((urn, "schemaMetadata"), {}).get("fields", [])
        found = [{"name": field["fieldPath"], "type": field["nativeDataType"]} for field in fields] or None
        assert found in columns
        texts = {written[urn, "datasetProperties"]["customProperties"].get("schema")}
        assert texts == ({None} if found else known)


async def test_mlflow_1_27_has_no_experiments_to_read(
    filled_server: Serve, by_default: ByDefault, tmp_path: Path
) -> None:
    report, written = await by_default(filled_server("1.27.0"), tmp_path)
    assert {warning.code: warning.count for warning in report.warnings} == {"experiments_missing": 1, "lost_runs": 1}
    assert report.failures == []
    assert (report.read["experiments"], report.read["runs"]) == (0, 0)
    assert not any(":container:" in urn or ":dataProcessInstance:" in urn for urn, _ in written)
    assert sum(aspect == "tagProperties" for _, aspect in written) == 4


async def test_mlflow_1_28_has_no_histories_of_metrics(filled_server: Serve, tmp_path: Path) -> None:
    url = filled_server("1.28.0").server.url
    _, proposals = await crawl_to_file(recipe_file(tmp_path, url), tmp_path)
    report, same = await crawl_to_file(recipe_file(tmp_path, url, {"metric_history": "all"}), tmp_path)
    assert values(same) == values(proposals)
    assert [each.count for each in report.warnings if each.code.startswith("metric_history")] == [1]


async def test_pages_of_any_size_give_the_same(filled_server: Serve, tmp_path: Path) -> None:
    filled = filled_server("2.20.4")
    crawls = [
        await crawled(filled, tmp_path, page_size=size, mlflow_concurrency=n) for size, n in ((1, 3), (7, 1), (500, 4))
    ]
    assert crawls[0][1] == crawls[1][1] == crawls[2][1]


async def test_requests_are_pages(filled_server: Serve, by_default: ByDefault, tmp_path: Path) -> None:
    filled = filled_server("2.20.4")
    report, _ = await by_default(filled, tmp_path)
    # /version, models, versions, experiments, the runs of each active experiment, and those of versions not met there.
    assert report.mlflow.requests == 4 + len(filled.reported["experiments"]) + 1


@pytest.mark.parametrize("size", [7, 20])
async def test_requests_are_pages_of_any_size(size: int, filled_server: Serve, tmp_path: Path) -> None:
    """A page repeats at most half of the one before it, which is what makes it exact while others write."""
    filled = filled_server("2.20.4")
    report, _ = await crawled(filled, tmp_path, page_size=size)
    rows = report.read["runs"] + report.skipped["deleted runs"]
    experiments = len(filled.reported["experiments"])
    pages = report.mlflow.requests - 6
    assert rows / size <= pages <= experiments + 2 * rows / size


@pytest.mark.parametrize("version", VERSIONS)
async def test_gms_gets_what_the_file_gets(
    version: str, filled_server: Serve, by_default: ByDefault, tmp_path: Path
) -> None:
    filled = filled_server(version)
    _, written = await by_default(filled, tmp_path)
    async with Gms(strict=True) as gms:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "max_per_batch": 40}}
        settings = load(recipe_file(tmp_path, filled.server.url, sink=sink), {}, Flags(), home=tmp_path)
        report = await crawl_settings(settings)
    assert report.failures == []
    assert gms.aspects == written
    assert (gms.violations, gms.dropped) == ([], [])
    assert report.delivered == Counter(urn.split(":")[2] for urn in {urn for urn, _ in written})


async def test_a_registry_on_another_server(golden_server: MlflowServer, filled_server: Serve, tmp_path: Path) -> None:
    """Models come from the registry, runs from the tracking server, and a version's run may be on neither."""
    filled = filled_server("2.20.4")
    recipe = recipe_file(tmp_path, golden_server.url, {"registry_uri": filled.server.url})
    report, proposals = await crawl_to_file(recipe, tmp_path)
    written = values(proposals)
    assert report.read["runs"] == 24
    assert report.read["model_versions"] == len(filled.reported["versions"])
    lost = {version["run"] for version in filled.reported["versions"] if version["run"]}
    (warning,) = report.warnings
    assert (warning.code, warning.count) == ("lost_runs", len(lost))
    for each in filled.reported["versions"]:
        value = written[model_urn(each["name"], each["version"], PLAIN), "mlModelProperties"]
        assert "hyperParams" not in value
        assert value["trainingJobs"] == []
