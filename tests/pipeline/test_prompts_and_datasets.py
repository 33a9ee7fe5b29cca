"""Prompts, evaluation datasets and counts of traces are asked for where a server may have them, and cost only
themselves where it does not answer.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.comparison.run import diff
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.mapping.evaluation_datasets import evaluation_dataset_urn
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.mlflow.page_rows import small_pages
from tests.servers.dialect import Dialect, prompt, run
from tests.support.crawls import Proposals, crawl_settings, crawl_to_file, recipe_file

FORBIDDEN = (403, {"error_code": "PERMISSION_DENIED", "message": "ann may not list these"})
BROKEN = (500, {"error_code": "INTERNAL_ERROR", "message": "the table is gone"})
NOT_HERE = (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"})
FILE_STORE = (500, {"error_code": "FEATURE_DISABLED", "message": "search_datasets is not supported with FileStore."})
OURS = {"Prompt": 2, "Prompt Version": 3, "Evaluation Dataset": 2}
FAILURES = {
    "prompts": "unread_prompts",
    "prompt-versions": "unread_prompt_versions",
    "datasets": "unread_evaluation_datasets",
    "datasets/d-1": "dataset_experiments",
}


def newest(release: str | None = "3.17.2") -> Dialect:
    """A server that has everything."""
    dialect = Dialect()
    dialect.release = release
    dialect.prompts = [prompt("greet"), prompt("part")]
    dialect.prompt_versions = [prompt("greet", "1"), prompt("greet", "2"), prompt("part", "1")]
    dialect.evaluation_datasets = [{"dataset_id": "d-1", "name": "questions"}, {"dataset_id": "d-2", "name": "more"}]
    dialect.dataset_experiments = {"d-1": ["1"], "d-2": []}
    dialect.traces = {"1": 7}
    return dialect


async def crawled(dialect: Dialect, folder: Path, **options: Any) -> tuple[Report, Proposals]:
    async with dialect.serve() as url:
        return await crawl_to_file(recipe_file(folder, url, {"retry_max_times": 0, **options}), folder)


def kinds(proposals: Proposals) -> Counter[str]:
    names = [each["aspect"]["json"]["typeNames"][0] for each in proposals if each["aspectName"] == "subTypes"]
    return Counter(name for name in names if not name.startswith("ML "))


def traces(proposals: Proposals) -> dict[str, str]:
    containers = [each["aspect"]["json"] for each in proposals if each["aspectName"] == "containerProperties"]
    return {
        each["name"]: each["customProperties"]["mlflow.traces"]
        for each in containers
        if "mlflow.traces" in each["customProperties"]
    }


def codes(report: Report) -> list[str]:
    return [each.code for each in (*report.warnings, *report.failures)]


@pytest.mark.parametrize("release", ["3.17.2", None])
async def test_a_server_that_has_them_is_read(release: str | None, tmp_path: Path) -> None:
    dialect = newest(release)
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), kinds(proposals), traces(proposals)) == ([], OURS, {"churn": "7"})
    read = [report.read[each] for each in ("prompts", "prompt_versions", "evaluation_datasets")]
    assert (read, report.skipped["traces (counted, not read)"]) == ([2, 3, 2], 7)
    assert report.read["registered_models"] == 2
    assert {dialect.seen[each] for each in ("prompts", "prompt-versions", "datasets", "traces")} == {1}


@pytest.mark.parametrize(
    ("release", "asked"), [("2.20.4", []), ("2.21.0", ["prompts"]), ("3.4.0", ["prompts", "datasets"])]
)
async def test_an_older_server_is_not_asked_for_what_it_lacks(release: str, asked: list[str], tmp_path: Path) -> None:
    dialect = newest(release)
    report, _ = await crawled(dialect, tmp_path)
    assert codes(report) == []
    assert [each for each in ("prompts", "datasets", "traces") if dialect.seen[each]] == asked


async def test_a_registry_beside_an_older_tracking_server_is_asked_for_prompts(tmp_path: Path) -> None:
    tracking, registry = newest("2.20.4"), newest("3.17.2")
    async with registry.serve() as registry_url:
        report, proposals = await crawled(tracking, tmp_path, registry_uri=registry_url)
    assert (codes(report), kinds(proposals)) == ([], {"Prompt": 2, "Prompt Version": 3})
    assert (tracking.seen["prompts"], registry.seen["prompts"]) == (0, 1)


async def test_what_is_left_out_is_not_asked_for(tmp_path: Path) -> None:
    dialect = newest()
    left_out = {"prompts": False, "evaluation_datasets": False, "trace_counts": False}
    dialect.runs.append(run_of_a_prompt())
    report, proposals = await crawled(dialect, tmp_path, include=left_out)
    assert (codes(report), kinds(proposals), traces(proposals)) == ([], {}, {})
    assert not {"prompts", "prompt-versions", "datasets", "traces"} & dialect.seen.keys()
    assert not any(each["aspectName"] == "dataProcessInstanceInput" for each in proposals)


@pytest.mark.parametrize("takes_prompts", [True, False])
async def test_a_registry_that_does_not_tell_prompts_from_models(takes_prompts: bool, tmp_path: Path) -> None:
    """As MLflow 2.20, where a tag is nothing but a tag."""
    dialect = newest("2.20.4")
    dialect.models += [prompt("greet"), prompt("part")]
    dialect.versions += [prompt("greet", "1"), {**prompt("part", "1"), "tags": []}]
    report, proposals = await crawled(dialect, tmp_path, include={"prompts": takes_prompts})
    assert (codes(report), dialect.seen["prompts"]) == ([], 0)
    assert kinds(proposals) == ({"Prompt": 2, "Prompt Version": 1} if takes_prompts else {})
    left_out = report.skipped["registered models left out"], report.skipped["model versions left out"]
    assert left_out == ((0, 0) if takes_prompts else (2, 2))
    assert any("greet" in each["entityUrn"] for each in proposals) is takes_prompts


def run_of_a_prompt() -> dict[str, Any]:
    tags = [{"key": "mlflow.linkedPrompts", "value": '[{"name": "greet", "version": "2"}]'}]
    return {**run("r9", 1_009), "data": {"tags": tags}}


async def test_a_run_leads_to_its_prompt(tmp_path: Path) -> None:
    dialect = newest()
    dialect.runs.append(run_of_a_prompt())
    _, proposals = await crawled(dialect, tmp_path)
    (edges,) = [each["aspect"]["json"] for each in proposals if each["aspectName"] == "dataProcessInstanceInput"]
    (edge,) = edges["inputEdges"]
    assert edge["destinationUrn"] == "urn:li:mlModel:(urn:li:dataPlatform:mlflow,greet_2,PROD)"


@pytest.mark.parametrize("refusal", [NOT_HERE, FILE_STORE, (404, "<html>")])
async def test_a_server_that_lacks_them_is_no_failure(refusal: tuple[int, Any], tmp_path: Path) -> None:
    dialect = newest()
    dialect.refusals = dict.fromkeys(("prompts", "prompt-versions", "datasets", "traces"), refusal)
    # A file store is not asked again and again.
    report, proposals = await crawled(dialect, tmp_path, retry_max_times=5)
    assert (codes(report), kinds(proposals), traces(proposals)) == ([], {}, {})
    assert [dialect.seen[each] for each in ("prompts", "datasets", "traces")] == [1, 1, 1]


async def test_a_server_of_unknown_version_that_refuses_is_no_failure(tmp_path: Path) -> None:
    dialect = newest(None)
    dialect.prompts = None
    dialect.refusals = dict.fromkeys(("datasets", "traces"), (400, "what is that?"))
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), kinds(proposals), traces(proposals)) == ([], {}, {})
    assert dialect.seen["prompt-versions"] == 0


async def test_models_that_a_server_lists_whatever_the_filter_are_no_prompts(tmp_path: Path) -> None:
    dialect = newest(None)
    dialect.prompts = dialect.models
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), kinds(proposals)) == ([], {"Evaluation Dataset": 2})
    assert dialect.seen["prompt-versions"] == 0


@pytest.mark.parametrize("listing", ["prompts", "prompt-versions", "datasets"])
@pytest.mark.parametrize("release", ["3.17.2", None])
@pytest.mark.parametrize("refusal", [NOT_HERE, (404, "<html>"), (501, "no"), FORBIDDEN])
async def test_a_listing_that_breaks_off_is_a_failure_whatever_the_server_says(
    listing: str, release: str | None, refusal: tuple[int, Any], tmp_path: Path
) -> None:
    dialect = newest(release)
    dialect.refusals_behind = {listing: refusal}
    with small_pages(prompts=1, prompt_versions=1, evaluation_datasets=1):
        report, proposals = await crawled(dialect, tmp_path)
    assert codes(report) == [FAILURES[listing]]
    lost = {"prompts": {}, "prompt-versions": {"Prompt Version": 2}, "datasets": {"Evaluation Dataset": 1}}[listing]
    expected = Counter(OURS) - Counter(lost)
    assert kinds(proposals) == expected - Counter({"Prompt": 1} if listing == "prompts" else {})


@pytest.mark.parametrize("release", ["3.17.2", None])
async def test_prompts_whose_versions_are_not_there_are_a_failure(release: str | None, tmp_path: Path) -> None:
    dialect = newest(release)
    dialect.refusals = {"prompt-versions": NOT_HERE}
    report, proposals = await crawled(dialect, tmp_path)
    assert codes(report) == ["unread_prompt_versions"]
    assert kinds(proposals) == Counter(OURS) - Counter({"Prompt Version": 3})


@pytest.mark.parametrize("listing", FAILURES)
@pytest.mark.parametrize("refusal", [FORBIDDEN, BROKEN])
async def test_a_refused_listing_costs_itself(listing: str, refusal: tuple[int, Any], tmp_path: Path) -> None:
    dialect = newest()
    dialect.refusals = {listing: refusal}
    report, proposals = await crawled(dialect, tmp_path)
    assert [each.code for each in report.failures] == [FAILURES[listing]]
    assert (len(report.failures[0].samples), report.warnings) == (1, [])
    lost = {
        "prompts": {"Prompt": 2, "Prompt Version": 3},
        "prompt-versions": {"Prompt Version": 3},
        "datasets": {"Evaluation Dataset": 2},
    }.get(listing, {})
    assert kinds(proposals) == Counter(OURS) - Counter(lost)
    assert report.delivered["dataProcessInstance"] == 3


async def test_a_refused_count_is_a_warning(tmp_path: Path) -> None:
    dialect = newest()
    dialect.refusals = {"traces": FORBIDDEN}
    report, proposals = await crawled(dialect, tmp_path)
    assert ([each.code for each in report.warnings], report.failures) == (["traces_not_counted"], [])
    assert traces(proposals) == {}


async def test_versions_of_a_prompt_that_is_not_listed_are_not_written(tmp_path: Path) -> None:
    dialect = newest()
    dialect.prompt_versions.append(prompt("secret", "1"))
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), kinds(proposals)) == (["hidden_model_versions"], OURS)
    assert report.skipped["prompt versions of prompts that are not listed"] == 1


async def test_a_dataset_that_is_deleted_while_it_is_read_is_not_written(tmp_path: Path) -> None:
    dialect = newest()
    del dialect.dataset_experiments["d-2"]
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), report.read["evaluation_datasets"]) == ([], 1)
    assert evaluation_dataset_urn("d-2") not in {each["entityUrn"] for each in proposals}


@pytest.mark.parametrize("refusal", [NOT_HERE, (404, "<html>"), (501, "no"), (405, "no"), FORBIDDEN])
async def test_a_dataset_whose_experiments_are_not_told_is_written(refusal: tuple[int, Any], tmp_path: Path) -> None:
    """As behind a proxy that does not let that path through: not every 404 says that the dataset was deleted."""
    dialect = newest()
    dialect.refusals = {"datasets/d-1": refusal}
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), kinds(proposals)) == (["dataset_experiments"], OURS)


async def test_experiments_that_are_told_of_no_dataset_are_not_asked_for_of_each(tmp_path: Path) -> None:
    dialect = newest()
    names = [f"d-{number}" for number in range(400)]
    dialect.evaluation_datasets = [{"dataset_id": name, "name": name} for name in names]
    dialect.refusals = dict.fromkeys((f"datasets/{name}" for name in names), FORBIDDEN)
    report, proposals = await crawled(dialect, tmp_path)
    ((code, count),) = [(each.code, each.count) for each in report.failures]
    assert (code, count, kinds(proposals)["Evaluation Dataset"]) == ("dataset_experiments", 400, 400)
    assert sum(dialect.seen[f"datasets/{name}"] for name in names) < 100


@pytest.mark.parametrize("pages", [1, 10])
async def test_an_account_that_is_given_those_of_experiments_only(pages: int, tmp_path: Path) -> None:
    """As one that is no administrator's, where MLflow has its basic auth."""
    dialect = newest()
    dialect.experiments += [{"experiment_id": str(each), "name": f"e{each}"} for each in range(2, 2 + pages)]
    dialect.datasets_by_experiment = True
    assert dialect.evaluation_datasets is not None
    dialect.evaluation_datasets.append({"dataset_id": "d-3", "name": "of two experiments"})
    dialect.evaluation_datasets.append({"dataset_id": "d-4", "name": "of a hidden one, too"})
    dialect.dataset_experiments |= {"d-3": ["1", "2"], "d-4": ["2", "9999"]}
    dialect.refusals = {"datasets/d-4": FORBIDDEN}
    use = {"dataset": {"name": "questions", "source_type": "mlflow_evaluation_dataset", "digest": "1"}}
    use["dataset"]["source"] = '{"dataset_id": "d-1"}'
    dialect.runs[0]["inputs"] = {"dataset_inputs": [use]}
    with small_pages(experiments=1, evaluation_datasets=1):
        report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), report.read["evaluation_datasets"]) == (["dataset_experiments_hidden"], 3)
    written = {each["entityUrn"] for each in proposals if each["aspectName"] == "datasetProperties"}
    assert {evaluation_dataset_urn(each) for each in ("d-1", "d-3", "d-4")} <= written
    (edges,) = [each["aspect"]["json"] for each in proposals if each["aspectName"] == "dataProcessInstanceInput"]
    assert evaluation_dataset_urn("d-1") in {each["destinationUrn"] for each in edges["inputEdges"]}
    (named,) = [
        each["aspect"]["json"]["customProperties"]
        for each in proposals
        if (each["entityUrn"], each["aspectName"]) == (evaluation_dataset_urn("d-3"), "datasetProperties")
    ]
    assert named["mlflow.dataset.experiments"] == "churn, e2"


async def test_a_dataset_names_its_experiments_also_where_they_are_not_written(tmp_path: Path) -> None:
    dialect = newest()
    dialect.experiments += [
        {"experiment_id": "2", "name": "left out"},
        {"experiment_id": "3", "name": "in the trash", "lifecycle_stage": "deleted"},
    ]
    dialect.dataset_experiments["d-1"] = ["1", "2", "3", "4"]
    _, proposals = await crawled(dialect, tmp_path, experiment_pattern={"deny": ["left"]})
    (found,) = [
        each["aspect"]["json"]["customProperties"]
        for each in proposals
        if (each["entityUrn"], each["aspectName"]) == (evaluation_dataset_urn("d-1"), "datasetProperties")
    ]
    assert found["mlflow.dataset.experiments"] == "churn, left out, in the trash, 4", "MLflow lists no 4"


@pytest.mark.parametrize("with_traces", [0, 1, 3, 40, 200])
async def test_traces_are_counted_in_few_requests(with_traces: int, tmp_path: Path) -> None:
    dialect = newest()
    number = 200
    dialect.experiments = [{"experiment_id": str(each), "name": f"e{each}"} for each in range(number)]
    counted = range(0, number, math.ceil(number / with_traces)) if with_traces else range(0)
    dialect.traces = {str(each): each + 1 for each in counted}
    report, proposals = await crawled(dialect, tmp_path)
    assert codes(report) == []
    assert traces(proposals) == {f"e{each}": str(each + 1) for each in counted}
    assert report.skipped["traces (counted, not read)"] == sum(each + 1 for each in counted)
    # One for all; then eight for each part that has any, or one more than each where all do.
    assert dialect.seen["traces"] <= min(1 + 8 * 3 * with_traces, 1 + 8 + 64 + number)


@pytest.mark.parametrize(("include", "orphans"), [(True, 3), (False, 0)])
async def test_diff_names_what_is_gone_and_nothing_that_was_not_read(
    include: bool, orphans: int, tmp_path: Path
) -> None:
    dialect = newest()
    left_out = {"prompts": include, "evaluation_datasets": include, "trace_counts": True}
    async with dialect.serve() as url, Gms(reads_timeseries=True) as gms:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
        settings = load(recipe_file(tmp_path, url, sink=sink), {}, Flags(), home=tmp_path)
        report = await crawl_settings(settings)
        assert (report.failures, gms.violations, gms.dropped) == ([], [], [])
        differences = await diff(settings)
        assert (differences.missing, differences.different, differences.orphaned) == (0, 0, 0)
        dialect.prompts = [prompt("greet")]
        dialect.prompt_versions = [prompt("greet", "1"), prompt("greet", "2")]
        dialect.evaluation_datasets = [{"dataset_id": "d-1", "name": "questions"}]
        settings = load(recipe_file(tmp_path, url, {"include": left_out}, sink), {}, Flags(), home=tmp_path)
        differences = await diff(settings)
    assert (differences.missing, differences.orphaned) == (0, orphans)


async def test_an_incremental_crawl_sends_what_has_changed_of_them(tmp_path: Path) -> None:
    dialect = newest()
    dialect.runs, dialect.versions = [], []
    assert dialect.prompts is not None
    assert dialect.evaluation_datasets is not None
    async with dialect.serve() as url, Gms(reads_timeseries=True) as gms:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
        settings = load(recipe_file(tmp_path, url, sink=sink), {}, Flags(), home=tmp_path)
        keeps = KeepingCurrent(incremental=IncrementalSettings())
        settings = structs.replace(settings, state=tmp_path / "state", changed_only=keeps)

        async def sent() -> set[tuple[str, str]]:
            before = len(gms.history)
            report = await crawl_settings(settings)
            assert (report.failures, gms.violations) == ([], [])
            return {(urn.split(",")[1] if "," in urn else "", aspect) for urn, aspect, _ in gms.history[before:]}

        assert {("greet_2", "subTypes"), ("d-1", "subTypes"), ("", "containerProperties")} <= await sent()
        assert await sent() == set()
        dialect.prompts[0]["aliases"] = [{"alias": "prod", "version": "2"}]
        assert await sent() == {("greet_1", "versionProperties"), ("greet_2", "versionProperties")}
        dialect.prompt_versions.append(prompt("greet", "3"))
        assert {name for name, _ in await sent()} == {"greet", "greet_3"}
        dialect.evaluation_datasets[0]["profile"] = '{"num_records": 5}'
        assert await sent() == {("d-1", "datasetProperties")}
        dialect.traces = {"1": 8}
        assert await sent() == {("", "containerProperties")}
