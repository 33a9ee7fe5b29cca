"""Prompts, evaluation datasets and traces of a real MLflow 3.17.2, filled through its own client."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.http.traffic import Traffic
from crawler.mapping.evaluation_datasets import evaluation_dataset_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mlflow.resources import PROMPT_VERSIONS, PROMPTS
from crawler.pipeline.entities import open_mlflow
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.report import Report
from crawler.telemetry.timing import Timing
from tests.mlflow.page_rows import small_pages
from tests.servers.editor import Editor
from tests.servers.environments import DEMO
from tests.servers.filled import GENAI, FilledServer, filled_server
from tests.support.crawls import Proposals, Values, crawl_to_file, recipe_file, values
from tests.support.judge import flapping, judge_contiguous

pytestmark = pytest.mark.slow

PLAIN = MappingSettings(ui_url="http://unused")
BY_NAME = "urn:li:dataset:(urn:li:dataPlatform:mlflow,questions,PROD)"
"""What the official connector makes of the dataset that a run evaluates."""
VERSIONS = [str(number) for number in range(1, 13)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledServer]:
    with filled_server(DEMO, tmp_path_factory.mktemp("genai"), GENAI) as running:
        yield running


Crawled = tuple[FilledServer, Report, Proposals]


@pytest.fixture(scope="module")
def crawled(filled: FilledServer, tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    folder = tmp_path_factory.mktemp("crawled")
    report, proposals = asyncio.run(crawl_to_file(recipe_file(folder, filled.server.url), folder))
    assert (report.warnings, report.failures, flapping(proposals)) == ([], [], [])
    judge_contiguous(proposals)
    return filled, report, proposals


def properties(written: Values, urn: str, aspect: str) -> dict[str, Any]:
    found: dict[str, Any] = written[urn, aspect]["customProperties"]
    return found


def run_inputs(written: Values) -> dict[str, list[str]]:
    """By the name of the run."""
    names = {
        urn: value["name"] for (urn, aspect), value in written.items() if aspect == "dataProcessInstanceProperties"
    }
    edges = {
        urn: value["inputEdges"] for (urn, aspect), value in written.items() if aspect == "dataProcessInstanceInput"
    }
    return {name: [each["destinationUrn"] for each in edges.get(urn, [])] for urn, name in names.items()}


def test_prompts_are_what_the_client_says(crawled: Crawled) -> None:
    filled, report, proposals = crawled
    written = values(proposals)
    assert (report.read["prompts"], report.read["prompt_versions"]) == (3, 14)
    assert (report.read["registered_models"], report.read["model_versions"]) == (1, 1)
    groups = {
        urn for (urn, aspect), value in written.items() if aspect == "subTypes" and value["typeNames"] == ["Prompt"]
    }
    assert groups == {model_group_urn(name, PLAIN) for name in filled.reported["prompts"]}
    greet = properties(written, model_group_urn("greet", PLAIN), "mlModelGroupProperties")
    own = {key: value for key, value in filled.reported["prompts"]["greet"].items() if key in {"team", "lang"}}
    assert own["team"] == "support"
    assert greet == own | {"mlflow.prompt.experiment_ids": filled.reported["experiments"]["support"]}
    for number in VERSIONS:
        urn = model_urn("greet", number, PLAIN)
        value = written[urn, "mlModelProperties"]
        assert value["description"] == f"change {number}\n\n```\nHello {number} {{{{name}}}}\n```"
        assert value["customProperties"]["mlflow.prompt.type"] == "text"
        aliases = {each["versionTag"] for each in written[urn, "versionProperties"]["aliases"]}
        assert aliases == {"12": {"prod"}, "1": {"old"}}.get(number, set())
    order = [each["entityUrn"] for each in proposals if each["aspectName"] == "versionProperties"]
    assert [urn for urn in order if ",greet_" in urn] == [model_urn("greet", number, PLAIN) for number in VERSIONS]
    chat = properties(written, model_urn("dialog", "1", PLAIN), "mlModelProperties")
    assert (chat["mlflow.prompt.type"], json.loads(chat["mlflow.prompt.text"])[0]["content"]) == ("chat", "Be kind.")
    assert json.loads(chat["mlflow.prompt.response_format"]) == {"type": "object"}
    long = written[model_urn("long", "1", PLAIN), "mlModelProperties"]
    assert (len(long["customProperties"]["mlflow.prompt.text"]), len(long["description"]) > 11_000) == (4_096, True)


def test_runs_lead_to_the_prompts_and_the_dataset_that_they_use(crawled: Crawled) -> None:
    filled, _, proposals = crawled
    assert run_inputs(values(proposals)) == {
        "evaluates": [
            BY_NAME,
            evaluation_dataset_urn(filled.reported["used"]),
            model_urn("greet", "2", PLAIN),
            model_urn("dialog", "1", PLAIN),
        ],
        "broken": [],
    }


def test_evaluation_datasets_are_what_the_client_says(crawled: Crawled) -> None:
    filled, report, proposals = crawled
    written = values(proposals)
    datasets = filled.reported["datasets"]
    names = {experiment_id: name for name, experiment_id in filled.reported["experiments"].items()}
    assert report.read["evaluation_datasets"] == len(datasets) == 2
    assert {urn for urn, _ in written if ":dataset:" in urn} == {BY_NAME, *map(evaluation_dataset_urn, datasets)}
    for dataset_id, each in datasets.items():
        value = written[evaluation_dataset_urn(dataset_id), "datasetProperties"]
        found = value["customProperties"]
        assert (value["name"], found["mlflow.dataset.digest"]) == (each["name"], each["digest"])
        assert found.get("mlflow.dataset.records") == (str(each["records"]) if each["records"] else None)
        assert found["mlflow.dataset.experiments"] == ", ".join(names[one] for one in sorted(each["experiments"]))
    used = evaluation_dataset_urn(filled.reported["used"])
    assert properties(written, used, "datasetProperties")["team"] == "support"
    fields = {each["fieldPath"]: each["nativeDataType"] for each in written[used, "schemaMetadata"]["fields"]}
    assert fields == {"inputs.question": "string", "inputs.rounds": "integer", "expectations.answer": "string"}


def test_traces_are_counted_as_the_client_counts_them(crawled: Crawled) -> None:
    filled, report, proposals = crawled
    containers = [each["aspect"]["json"] for each in proposals if each["aspectName"] == "containerProperties"]
    counts = {each["name"]: int(each["customProperties"].get("mlflow.traces", 0)) for each in containers}
    assert counts == {"Default": 0, **filled.reported["traces"]}
    assert filled.reported["traces"] == {"support": 3 + 4, "search": 1, "quiet": 0}
    assert report.skipped["traces (counted, not read)"] == 8


async def test_what_is_left_out(filled: FilledServer, tmp_path: Path) -> None:
    left_out = {"prompts": False, "evaluation_datasets": False, "trace_counts": False}
    report, proposals = await crawl_to_file(recipe_file(tmp_path, filled.server.url, {"include": left_out}), tmp_path)
    written = values(proposals)
    assert not {"prompts", "prompt_versions", "evaluation_datasets"} & report.read.keys()
    assert {urn for urn, _ in written if ":mlModelGroup:" in urn} == {model_group_urn("fraud", PLAIN)}
    assert run_inputs(written)["evaluates"] == [BY_NAME]
    assert not any("mlflow.traces" in json.dumps(each) for each in proposals)


async def test_prompts_that_are_deleted_between_pages_lose_no_other(tmp_path: Path, filled: FilledServer) -> None:
    edit = Editor(filled.server.url)
    tag = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    names = [f"p{number:02}" for number in range(12)]
    for name in names:
        edit("registered-models/create", name=name, tags=tag)
        edit(
            "model-versions/create",
            name=name,
            source="dummy-source",
            tags=[*tag, {"key": "mlflow.prompt.text", "value": name}],
        )
    settings = load(recipe_file(tmp_path, filled.server.url), {}, Flags(), home=tmp_path)
    seen: list[str] = []
    versions: list[str] = []
    doomed, left = names[:8], names[8:]
    with small_pages(prompts=3, prompt_versions=3):
        async with open_mlflow(settings.mlflow, Traffic(), Timing()) as client:
            async for models in client.pages(PROMPTS):
                seen += [row.name for row in models.rows]
                if len(doomed) > 4:
                    edit("registered-models/delete", method="DELETE", name=doomed.pop(0))
            async for page in client.pages(PROMPT_VERSIONS):
                versions += [f"{row.name} {row.version}" for row in page.rows]
                if doomed:
                    edit("registered-models/delete", method="DELETE", name=doomed.pop(0))
    assert not doomed
    assert {*left, *filled.reported["prompts"]} <= set(seen)
    assert {*(f"{name} 1" for name in left), *(f"greet {number}" for number in VERSIONS)} <= set(versions)
    assert (len(set(seen)), len(set(versions))) == (len(seen), len(versions))
    for name in left:
        edit("registered-models/delete", method="DELETE", name=name)
