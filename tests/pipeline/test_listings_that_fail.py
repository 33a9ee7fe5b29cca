"""A listing that fails costs only its own kind: it is named once in the server's words, and all else is read."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawler.cli.check import _lines
from crawler.config.load import load
from crawler.errors import CredentialsRefused, ServerError, WrongServer
from crawler.pipeline.check import check
from crawler.telemetry.report import Report
from tests.mlflow.page_rows import small_pages
from tests.servers.dialect import Dialect, logged_model, prompt, version
from tests.support.crawls import Proposals, crawl_to_file, recipe_file

NOT_HERE = (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'GET /mlflow/model-versions'"})
FORBIDDEN = (403, {"error_code": "PERMISSION_DENIED", "message": "ann may not list these"})
BROKEN = (500, {"error_code": "INTERNAL_ERROR", "message": "the table is gone"})
REBINDING = (403, "Invalid Host header - possible DNS rebinding attack detected")
ALL = {"mlModelGroup": 2, "mlModel": 3, "container": 1, "dataProcessInstance": 3}
OF_LISTING = {
    "registered-models": ("registered_models", "mlModelGroup"),
    "model-versions": ("model_versions", "mlModel"),
    "experiments": ("experiments", "container"),
    "runs": ("runs", "dataProcessInstance"),
}


async def crawled(dialect: Dialect, folder: Path, **options: Any) -> tuple[Report, Proposals]:
    async with dialect.serve() as url:
        return await crawl_to_file(recipe_file(folder, url, {"retry_max_times": 0, **options}), folder)


async def checked(dialect: Dialect, folder: Path, **options: Any) -> Any:
    async with dialect.serve() as url:
        return await check(load(recipe_file(folder, url, {"retry_max_times": 0, **options}), {}, home=folder))


def entities(proposals: Proposals) -> dict[str, int]:
    urns = {(each["entityType"], each["entityUrn"]) for each in proposals}
    counts = Counter(entity_type for entity_type, _ in urns)
    return {entity_type: counts[entity_type] for entity_type in ALL}


def codes(report: Report) -> tuple[list[str], list[str]]:
    return [each.code for each in report.warnings], [each.code for each in report.failures]


async def test_a_server_without_faults(tmp_path: Path) -> None:
    report, proposals = await crawled(Dialect(), tmp_path)
    assert (codes(report), entities(proposals)) == (([], []), ALL)


@pytest.mark.parametrize("listing", OF_LISTING)
@pytest.mark.parametrize("refusal", [FORBIDDEN, BROKEN, REBINDING])
async def test_a_refused_listing_is_a_failure_and_all_else_is_read(
    listing: str, refusal: tuple[int, Any], tmp_path: Path
) -> None:
    dialect = Dialect()
    dialect.refusals = {listing: refusal}
    report, proposals = await crawled(dialect, tmp_path)
    name, entity_type = OF_LISTING[listing]
    lost = {entity_type, "dataProcessInstance"} if listing == "experiments" else {entity_type}
    assert entities(proposals) == {each: 0 if each in lost else count for each, count in ALL.items()}
    warnings, failures = codes(report)
    own = "experiment" if listing == "runs" else f"unread_{name}"
    assert own in failures
    assert set(failures) <= {own, "runs_of_versions", "untimed_unknown"}
    (failure,) = [each for each in report.failures if each.code == own]
    words = refusal[1] if isinstance(refusal[1], str) else refusal[1]["message"]
    assert failure.count == len(failure.samples) == 1
    assert words in failure.samples[0]
    assert warnings == [] or (listing, warnings) == ("runs", ["lost_runs"])


@pytest.mark.parametrize("listing", ["registered-models", "model-versions", "experiments"])
@pytest.mark.parametrize("refusal", [NOT_HERE, (404, "<html>Not Found</html>"), (501, "no")])
async def test_a_listing_that_is_not_there_is_a_warning(listing: str, refusal: tuple[int, Any], tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.refusals = {listing: refusal}
    report, proposals = await crawled(dialect, tmp_path)
    name, entity_type = OF_LISTING[listing]
    found = entities(proposals)
    assert found[entity_type] == 0
    assert {each: count for each, count in found.items() if each != entity_type and listing != "experiments"} == {
        each: count for each, count in ALL.items() if each != entity_type and listing != "experiments"
    }
    assert f"{name}_missing" in codes(report)[0]
    assert codes(report)[1] in ([], ["runs_of_versions"])


@pytest.mark.parametrize("listing", ["registered-models", "model-versions", "experiments"])
@pytest.mark.parametrize("refusal", [NOT_HERE, (404, "<html>Not Found</html>"), (501, "no")])
async def test_a_listing_that_breaks_off_is_a_failure_whatever_the_server_says(
    listing: str, refusal: tuple[int, Any], tmp_path: Path
) -> None:
    """It has the listing: it gave a page of it. What it did not give has not vanished."""
    dialect = Dialect()
    dialect.experiments.append({"experiment_id": "2", "name": "second"})
    dialect.refusals_behind = {listing: refusal}
    with small_pages(registered_models=1, model_versions=1, experiments=1):
        report, _ = await crawled(dialect, tmp_path)
    assert codes(report)[1][:1] == [f"unread_{OF_LISTING[listing][0]}"]
    assert not any(code.endswith("_missing") for code in codes(report)[0])


async def test_a_server_without_registry_has_its_runs_crawled(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.refusals = {"registered-models": NOT_HERE, "model-versions": NOT_HERE}
    report, proposals = await crawled(dialect, tmp_path)
    assert entities(proposals) == ALL | {"mlModelGroup": 0, "mlModel": 0}
    assert codes(report) == (["registry_missing"], [])
    assert "No API found" in report.warnings[0].samples[0]
    found = await checked(dialect, tmp_path)
    assert (found.exit_code, found.mlflow.experiments, found.mlflow.registered_models) == (0, 1, None)


async def test_no_search_of_runs_at_all_is_asked_once(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(500)]
    dialect.versions = []
    dialect.refusals = {"runs": NOT_HERE}
    report, proposals = await crawled(dialect, tmp_path)
    assert entities(proposals) == {"mlModelGroup": 2, "mlModel": 0, "container": 500, "dataProcessInstance": 0}
    assert codes(report) == ([], ["unread_runs"])
    assert dialect.seen["runs"] < 20


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        (FORBIDDEN, CredentialsRefused, "ann may not list these"),
        (REBINDING, ServerError, "possible DNS rebinding attack detected"),
        (NOT_HERE, WrongServer, "is not an MLflow server"),
    ],
)
async def test_a_server_that_gives_no_listing_ends_the_crawl(
    refusal: tuple[int, Any], error: type[ServerError], words: str, tmp_path: Path
) -> None:
    dialect = Dialect()
    dialect.refusals = dict.fromkeys(("registered-models", "model-versions", "experiments"), refusal)
    with pytest.raises(error, match=words) as caught:
        await crawled(dialect, tmp_path)
    assert caught.value.exit_code == 3
    found = await checked(dialect, tmp_path)
    assert (type(found.mlflow.error), found.exit_code) == (error, 3)


async def test_an_empty_server_is_a_warning(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.models, dialect.versions, dialect.experiments = [], [], []
    report, _ = await crawled(dialect, tmp_path)
    assert codes(report) == (["nothing_listed"], [])
    found = await checked(dialect, tmp_path)
    assert ([each.code for each in found.warnings], found.exit_code) == (["nothing_listed"], 0)


async def test_versions_that_are_had_by_model_only(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.versions_by_name = True
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), entities(proposals)) == (([], []), ALL)
    assert report.read["model_versions"] == 3
    found = await checked(dialect, tmp_path)
    assert (found.exit_code, found.mlflow.model_versions, found.failures) == (0, None, [])


async def test_a_model_whose_versions_cannot_be_asked_for_costs_itself(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.versions_by_name = True
    dialect.models.append({"name": "both \" and '"})
    report, proposals = await crawled(dialect, tmp_path)
    assert entities(proposals) == ALL | {"mlModelGroup": 3}
    assert codes(report) == ([], ["unread_model_versions"])
    assert report.failures[0].samples[0].startswith("both \" and ': ")


async def test_an_order_that_is_wanted_as_a_text(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.order_by_text = True
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), entities(proposals)) == (([], []), ALL)


async def test_where_two_servers_give_nothing_the_one_that_is_none_is_named(tmp_path: Path) -> None:
    tracking, registry = Dialect(), Dialect()
    tracking.refusals = registry.refusals = dict.fromkeys(OF_LISTING, NOT_HERE)
    async with tracking.serve() as url, registry.serve() as registry_url:
        recipe = recipe_file(tmp_path, url, {"retry_max_times": 0, "registry_uri": registry_url})
        with pytest.raises(WrongServer, match=f"{registry_url} is not an MLflow server: it has no .*registered-models"):
            await crawl_to_file(recipe, tmp_path)


async def test_versions_of_models_that_are_not_listed_are_not_written(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.versions += [version("secret", "1", ""), {**version("secret", "2", ""), "user_id": "spy"}]
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), entities(proposals)) == ((["hidden_model_versions"], []), ALL)
    assert (report.warnings[0].count, report.warnings[0].samples) == (2, ["secret: 2"])
    assert report.read["model_versions"] == 3
    assert not any("secret" in str(each) or "spy" in str(each) for each in proposals)
    assert dialect.seen["registered-models"] == 2


async def test_versions_of_a_model_that_cannot_be_read_are_written(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.models[0]["tags"] = "none"
    report, proposals = await crawled(dialect, tmp_path)
    assert entities(proposals) == ALL | {"mlModelGroup": 1}
    assert codes(report) == ([], ["unreadable_registered_models"])


async def test_a_model_that_is_made_between_the_listings_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = Dialect()
    search = dialect._search_versions

    async def made_meanwhile(request: Any) -> Any:
        if not any(each["name"] == "new" for each in dialect.models):
            dialect.models.append({"name": "new"})
            dialect.versions.append(version("new", "1", "r2"))
        return await search(request)

    monkeypatch.setattr(dialect, "_search_versions", made_meanwhile)
    report, proposals = await crawled(dialect, tmp_path)
    assert (codes(report), entities(proposals)) == (([], []), ALL | {"mlModelGroup": 3, "mlModel": 4})


async def test_a_check_asks_for_one_page_of_each_listing(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.models = [{"name": f"m{number:05}"} for number in range(1_200)]
    dialect.versions = []
    found = await checked(dialect, tmp_path)
    assert (found.mlflow.registered_models, found.mlflow.more) == (500, ["registered_models"])
    once = ("registered-models", "model-versions", "prompts", "datasets", "experiments", "logged-models", "traces")
    assert +dialect.seen == dict.fromkeys(once, 1)


async def test_a_check_counts_what_newer_servers_have(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.release = "3.17.2"
    dialect.prompts, dialect.prompt_versions = [prompt("greet")], [prompt("greet", "1"), prompt("greet", "2")]
    dialect.evaluation_datasets = [{"dataset_id": f"d-{number}", "name": "questions"} for number in range(3)]
    dialect.dataset_experiments = {"d-0": ["1"]}
    dialect.experiments.append({"experiment_id": "2", "name": "old", "lifecycle_stage": "deleted"})
    dialect.logged_models = [logged_model(number, 10, str(1 + number // 105)) for number in range(107)]
    dialect.traces = {"1": 7, "2": 100}
    found = await checked(dialect, tmp_path)
    lines = [*_lines(found)][2:8]
    assert lines == [
        "  2 registered models, 3 model versions",
        "  1 prompts, 2 prompt versions",
        "  3 evaluation datasets",
        "  2 experiments, deleted ones included",
        "  at least 100 logged models",
        "  7 traces",
    ]
    dialect.datasets_by_experiment = True
    assert (await checked(dialect, tmp_path)).mlflow.evaluation_datasets == 1
    dialect.experiments, experiments = [], dialect.experiments
    found = await checked(dialect, tmp_path)
    assert (found.mlflow.evaluation_datasets, found.failures) == (0, [])
    dialect.experiments = experiments
    include = {"prompts": False, "logged_models": False, "evaluation_datasets": False, "trace_counts": False}
    found = await checked(dialect, tmp_path, include=include)
    assert not any(word in str(_lines(found)) for word in ("prompt", "logged", "dataset", "trace"))
    assert msgspec.to_builtins(found.mlflow).keys() == {
        *("url", "version", "workspaces", "registered_models", "model_versions", "experiments"),
        *("left_out", "more", "error"),
    }


NEWER = {
    "prompts": ("prompts", "unread_prompts"),
    "prompt-versions": ("prompt_versions", "unread_prompt_versions"),
    "datasets": ("evaluation_datasets", "unread_evaluation_datasets"),
    "logged-models": ("logged_models", "unread_logged_models"),
    "traces": ("traces", "traces_not_counted"),
}


@pytest.mark.parametrize("listing", NEWER)
@pytest.mark.parametrize("refusal", [FORBIDDEN, BROKEN, NOT_HERE])
async def test_a_check_says_what_of_that_cannot_be_read(listing: str, refusal: tuple[int, Any], tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.release = "3.17.2"
    dialect.prompts, dialect.prompt_versions = [prompt("greet")], [prompt("greet", "1")]
    dialect.evaluation_datasets, dialect.traces = [], {}
    dialect.refusals = {listing: refusal}
    found = await checked(dialect, tmp_path)
    name, code = NEWER[listing]
    assert getattr(found.mlflow, name) is None
    told = [each.code for each in (*found.warnings, *found.failures)]
    is_absent = refusal is NOT_HERE and listing != "prompt-versions"
    assert told == (([] if listing != "logged-models" else ["logged_models_missing"]) if is_absent else [code])


async def test_a_check_of_an_older_server_asks_for_nothing_newer(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.release = "2.20.4"
    found = await checked(dialect, tmp_path)
    assert +dialect.seen == {"registered-models": 1, "model-versions": 1, "experiments": 1}
    assert (found.mlflow.prompts, found.mlflow.logged_models, found.mlflow.traces) == (None, None, None)
    assert not any(word in str(_lines(found)) for word in ("prompt", "logged", "dataset", "trace"))


async def test_a_check_of_a_server_without_experiments_counts_nothing_that_is_of_them(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.refusals = {"experiments": NOT_HERE}
    found = (await checked(dialect, tmp_path)).mlflow
    assert (found.experiments, found.logged_models, found.traces) == (None, None, None)
    assert dialect.seen["logged-models"] == dialect.seen["traces"] == 0


async def test_experiments_that_fail_where_they_are_all_that_is_listed(tmp_path: Path) -> None:
    include = {"registered_models": False}
    dialect = Dialect()
    report, proposals = await crawled(dialect, tmp_path, include=include)
    assert (codes(report), entities(proposals)) == (([], []), ALL | {"mlModelGroup": 0, "mlModel": 0})
    assert dialect.seen["registered-models"] == dialect.seen["model-versions"] == 0
    dialect.refusals = {"experiments": FORBIDDEN}
    with pytest.raises(CredentialsRefused, match="ann may not list these"):
        await crawled(dialect, tmp_path, include=include)
    dialect.refusals = {"experiments": NOT_HERE}
    report, _ = await crawled(dialect, tmp_path, include=include)
    assert codes(report) == (["experiments_missing"], [])
    dialect.refusals |= {"registered-models": NOT_HERE}
    with pytest.raises(WrongServer, match="is not an MLflow server"):
        await crawled(dialect, tmp_path, include=include)
