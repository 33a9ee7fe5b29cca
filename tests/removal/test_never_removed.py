"""What stale removal must never do: each case by itself, a whole crawl into the double of GMS."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crawler.mapping.users import user_urn
from crawler.telemetry.events import Event, RowsRead
from tests.removal.crawls import (
    CHECKPOINT,
    CHURN,
    JOB,
    SECOND,
    TAG,
    World,
    dataset,
    delete_experiment,
    delete_model,
    experiment,
    group,
    kept_checkpoint,
    model,
    purge_experiment,
    put_checkpoint,
    removed,
    world,
)

FORBIDDEN = (403, {"error_code": "PERMISSION_DENIED", "message": "ann may not list these"})
UNAUTHORIZED = (401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"})


async def test_what_is_gone_is_removed_where_nothing_speaks_against_it(crawled: World) -> None:
    delete_model(crawled.dialect, "churn")
    purge_experiment(crawled.dialect, "second")
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("success", CHURN | SECOND)


@pytest.mark.parametrize("listing", ["registered-models", "model-versions", "experiments", "runs"])
async def test_nothing_after_a_failure_of_mlflow(listing: str, crawled: World) -> None:
    before = kept_checkpoint(crawled.gms)
    delete_model(crawled.dialect, "churn")
    delete_experiment(crawled.dialect, "second")
    crawled.dialect.refusals = {listing: FORBIDDEN}
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("failures", set())
    assert "removal_after_failure" in {each.code for each in report.warnings}
    assert set(kept_checkpoint(crawled.gms)) >= {urn for urn in before if not urn.startswith("urn:li:platformRes")}


async def test_nothing_after_a_failure_of_datahub(tmp_path: Path) -> None:
    async with world(tmp_path, forbidden=[TAG]) as whole:
        put_checkpoint(whole.gms, [group("gone"), group("fraud")])
        report = await whole.crawl()
        assert report.status == "failures"
        assert removed(whole.gms) == set()
        assert group("gone") in kept_checkpoint(whole.gms)


async def test_nothing_after_an_early_end_by_an_error(crawled: World) -> None:
    delete_model(crawled.dialect, "churn")
    crawled.dialect.models.append({"name": "new"})
    crawled.dialect.refusals = {"runs": UNAUTHORIZED}
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("failed: credentials", set())
    assert set(kept_checkpoint(crawled.gms)) >= CHURN | {group("new")}


async def test_nothing_after_an_early_end_by_a_stop(crawled: World) -> None:
    delete_model(crawled.dialect, "churn")
    stop = asyncio.Event()

    def stop_at_runs(event: Event) -> None:
        if isinstance(event, RowsRead) and event.resource == "experiments":
            stop.set()

    report = await crawled.crawl(stop=stop, listeners=[stop_at_runs])
    assert (report.status, removed(crawled.gms)) == ("interrupted: interrupted", set())
    assert set(kept_checkpoint(crawled.gms)) >= CHURN


async def test_nothing_past_the_threshold(crawled: World) -> None:
    before = kept_checkpoint(crawled.gms)
    crawled.stateful["fail_safe_threshold"] = 20
    delete_model(crawled.dialect, "churn")
    delete_experiment(crawled.dialect, "second")
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("failures", set())
    (failure,) = report.failures
    assert failure.code == "removal_threshold"
    # 4 of 14: what is gone of 4 stages, 2 models, 3 versions, 2 experiments, a user and 3 datasets, 1 hosted elsewhere.
    assert "26.7 % of the last crawl's entities are gone, 20 % may be." in failure.samples
    assert set(kept_checkpoint(crawled.gms)) == set(before)
    crawled.stateful["fail_safe_threshold"] = 27
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) >= CHURN | SECOND


def no_models(whole: World) -> set[str]:
    whole.dialect.models.clear()
    whole.dialect.versions.clear()
    return {group("fraud"), model("fraud", 1), model("fraud", 2), *CHURN}


def no_versions(whole: World) -> set[str]:
    whole.dialect.versions.clear()
    return {model("fraud", 1), model("fraud", 2), model("churn", 1)}


def no_experiments(whole: World) -> set[str]:
    whole.dialect.experiments.clear()
    return {experiment("first"), experiment("second"), dataset("shared"), dataset("bucket"), dataset("only second")}


def no_runs(whole: World) -> set[str]:
    whole.dialect.runs.clear()
    return {dataset("shared"), dataset("bucket"), dataset("only second")}


@pytest.mark.parametrize("empty", [no_models, no_versions, no_experiments, no_runs])
async def test_nothing_of_a_kind_whose_listing_came_back_empty(empty: Any, crawled: World) -> None:
    gone = empty(crawled)
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("failures", set())
    assert [each.code for each in report.failures] == ["removal_empty_listing"]
    assert set(kept_checkpoint(crawled.gms)) >= gone
    crawled.flags["removal"] = "confirm"
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == gone


async def test_no_hosted_dataset_no_stage_and_no_user(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        others = [dataset("b/t", "s3"), dataset("x", "snowflake"), user_urn("gone"), "urn:li:tag:mlflow_old"]
        put_checkpoint(whole.gms, [*others, "urn:li:dataProcessInstance:1", group("gone")])
        report = await whole.crawl()
        assert (report.status, removed(whole.gms)) == ("success", {group("gone")})
        assert not set(others) & set(kept_checkpoint(whole.gms))


async def test_a_dataset_that_is_hosted_elsewhere_is_in_no_checkpoint(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        whole.source["materialize_dataset_inputs"] = True
        await whole.crawl()
        assert (dataset("bucket", "s3"), "status") in whole.gms.aspects
        assert dataset("bucket", "s3") not in kept_checkpoint(whole.gms)
        whole.source["materialize_dataset_inputs"] = False
        whole.dialect.runs.pop(1)
        assert (await whole.crawl()).status == "success"
        assert removed(whole.gms) == {dataset("bucket")}


class TestRights:
    """Basic auth shows a right that was taken away as a deletion."""

    @pytest.fixture
    def ann(self, crawled: World) -> World:
        crawled.source |= {"username": "ann", "password": "secret"}
        return crawled

    async def test_what_mlflow_hides_is_kept_until_it_is_confirmed(self, ann: World) -> None:
        ann.dialect.hidden = {"churn", "second"}
        report = await ann.crawl()
        assert (report.status, removed(ann.gms)) == ("success", set())
        assert [each.code for each in report.warnings] == ["hidden_model_versions", "removal_rights"]
        assert set(kept_checkpoint(ann.gms)) >= CHURN | SECOND
        ann.flags["removal"] = "confirm"
        await ann.crawl()
        assert removed(ann.gms) == SECOND

    async def test_a_model_is_asked_for_and_gone_where_mlflow_says_so(self, ann: World) -> None:
        delete_model(ann.dialect, "churn")
        ann.dialect.versions.pop()
        report = await ann.crawl()
        assert (report.status, removed(ann.gms)) == ("success", CHURN | {model("fraud", 2)})
        assert (ann.dialect.seen["registered-models/get"], report.warnings) == (1, [])

    async def test_a_hidden_model_is_kept(self, ann: World) -> None:
        delete_model(ann.dialect, "churn")
        ann.dialect.hidden = {"churn"}
        report = await ann.crawl()
        assert removed(ann.gms) == set()
        assert [each.code for each in report.warnings] == ["removal_rights"]

    async def test_an_experiment_that_is_listed_as_deleted_is_removed_with_its_dataset(self, ann: World) -> None:
        delete_experiment(ann.dialect, "second")
        report = await ann.crawl()
        assert report.status == "success"
        assert {urn for urn in removed(ann.gms) if "dataProcessInstance" not in urn} == SECOND

    async def test_an_admin_sees_everything(self, ann: World) -> None:
        ann.dialect.admins = {"ann"}
        purge_experiment(ann.dialect, "second")
        assert (await ann.crawl()).status == "success"
        assert removed(ann.gms) == SECOND

    async def test_a_token_may_lose_rights_too(self, crawled: World) -> None:
        crawled.source["token"] = "secret"
        purge_experiment(crawled.dialect, "second")
        await crawled.crawl()
        assert removed(crawled.gms) == set()
        crawled.stateful["removal"] = "confirm"
        await crawled.crawl()
        assert removed(crawled.gms) == SECOND


async def test_nothing_where_the_checkpoint_cannot_be_read(crawled: World) -> None:
    delete_model(crawled.dialect, "churn")
    whole = kept_checkpoint(crawled.gms)
    state = crawled.gms.aspects[JOB, CHECKPOINT]["state"]
    state["serde"] = "base85"
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("failures", set())
    assert [each.code for each in report.failures] == ["checkpoint_unread"]
    state["serde"] = "base85-bz2-json"
    assert kept_checkpoint(crawled.gms) == whole, "it was written anew, and what it had is forgotten"


async def test_nothing_without_the_right_to_read_the_checkpoint(tmp_path: Path) -> None:
    async with world(tmp_path, unreadable=[JOB]) as whole:
        put_checkpoint(whole.gms, [group("gone")])
        report = await whole.crawl()
        assert [each.code for each in report.failures] == ["checkpoint_unread"]
        assert (removed(whole.gms), kept_checkpoint(whole.gms)) == (set(), [group("gone")])


async def test_nothing_with_ignore_old_state(crawled: World) -> None:
    delete_model(crawled.dialect, "churn")
    crawled.stateful["ignore_old_state"] = True
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == set()
    assert not CHURN & set(kept_checkpoint(crawled.gms))


async def test_nothing_is_written_with_ignore_new_state(crawled: World) -> None:
    before = kept_checkpoint(crawled.gms)
    delete_model(crawled.dialect, "churn")
    crawled.stateful["ignore_new_state"] = True
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == CHURN
    assert kept_checkpoint(crawled.gms) == before


async def test_what_is_listed_is_never_removed_although_it_was_missing_before(crawled: World) -> None:
    models, versions = list(crawled.dialect.models), list(crawled.dialect.versions)
    delete_model(crawled.dialect, "churn")
    await crawled.crawl()
    crawled.dialect.models, crawled.dialect.versions = models, versions
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == set()
